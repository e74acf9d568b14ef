"""The bearer token of the HTTP server, in a file that only its user can read."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from lakeflow.errors import Refused

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")  # RFC 6750, section 2.1; not too short


def read_or_create_token(path: Path) -> str:
    """Return the token in a file, which is created if it does not exist.

    Raises Refused if others can read the file, or if it holds no token.
    """
    try:
        if not path.exists():
            _create_token(path)
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
            raise Refused(f"others can read the token file {path}\nhint: chmod 600 {path}")
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"cannot use the token file {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not _TOKEN.fullmatch(token):
        raise Refused(
            f"{path} holds no token: it needs 16 or more characters of A-Z a-z 0-9 . _ ~ + / = -\n"
            "hint: remove the file, and the server creates a new one."
        )
    return token


def _create_token(path: Path) -> None:
    """Create the file atomically: of two servers that start at once, the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
