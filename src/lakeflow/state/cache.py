"""Facts about hosts and credentials, kept for a day so that they are not requested each time.

Values that are missing, too old or unreadable are requested again. Keys are stored as digests, so
that no credential is kept.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from lakeflow.state import atomic
from lakeflow.state.hashing import digest
from lakeflow.state.paths import make_private, state_dir

KEPT_SECONDS = 24 * 3600
"""How long a value is used."""


def get(*key: str) -> dict[str, Any] | None:
    """Return the value of a key, None if it is missing or too old."""
    try:
        kept = json.loads(_path(key).read_text(encoding="utf-8"))
        fresh = 0 <= time.time() - kept["stored_at"] < KEPT_SECONDS
        return dict(kept["value"]) if fresh else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put(*key: str, value: dict[str, Any]) -> None:
    """Keep a value, if the state folder can be written."""
    path = _path(key)
    with contextlib.suppress(OSError):
        if not path.parent.exists():
            _take_over_former_folder(path.parent)
        make_private(path.parent)
        atomic.write_text(path, json.dumps({"stored_at": time.time(), "value": value}))
        atomic.remove_older(path.parent, time.time() - KEPT_SECONDS)


def invalidate(*key: str) -> None:
    """Remove the value of a key."""
    with contextlib.suppress(OSError):
        _path(key).unlink()


def _path(key: tuple[str, ...]) -> Path:
    return state_dir() / "cache" / f"{digest(list(key))[:32]}.json"


def _take_over_former_folder(folder: Path) -> None:
    """Take over the files of earlier versions, so that they are removed when they are too old."""
    with contextlib.suppress(OSError):
        folder.with_name("known").rename(folder)
