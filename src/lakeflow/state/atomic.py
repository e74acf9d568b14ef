"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file, and its folder if missing, so that no reader sees a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def remove_older(folder: Path, than: float) -> None:
    """Remove files last changed before a Unix time. Files that cannot be removed are left."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < than:
                path.unlink()
