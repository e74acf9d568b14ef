"""What was learned of a host or a credential before, so that it is not asked for each time.

A cache: what is missing, too old or unreadable is asked for again. Keys are digests, so that no
credential is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from lakeflow.state.invocations import digest
from lakeflow.state.paths import state_dir

KEPT_SECONDS = 24 * 3600
"""How long something counts as known."""


def recall(*key: str) -> dict[str, Any] | None:
    """What is known under a key; None where it is not, or not any more."""
    try:
        kept = json.loads(_path(key).read_text(encoding="utf-8"))
        fresh = 0 <= time.time() - kept["learned"] < KEPT_SECONDS
        return dict(kept["facts"]) if fresh else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(*key: str, facts: dict[str, Any]) -> None:
    """Keep facts under a key, where the state folder can be written."""
    path = _path(key)
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_old(path.parent)
        hidden.write_text(json.dumps({"learned": time.time(), "facts": facts}), encoding="utf-8")
        hidden.replace(path)


def forget(*key: str) -> None:
    """Ask again next time."""
    with contextlib.suppress(OSError):
        _path(key).unlink()


def _path(key: tuple[str, ...]) -> Path:
    return state_dir() / "known" / f"{digest(list(key))[:32]}.json"


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()
