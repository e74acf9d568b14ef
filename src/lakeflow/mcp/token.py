"""The token of the server over HTTP: a file that only its user may read."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from lakeflow.errors import Refused

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")  # RFC 6750, section 2.1, and no short one


def read_or_make_token(path: Path) -> str:
    """The token in a file that only its user may read; made where there is none.

    Raises Refused where others may read it, where it holds no token, or cannot be made.
    """
    try:
        if not path.exists():
            _make_token(path)
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
            raise Refused(f"others than you may read {path}, the file of the token: chmod 600 it")
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"the token cannot be kept in {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not _TOKEN.fullmatch(token):
        raise Refused(
            f"{path} holds no token: 16 characters or more of A-Z a-z 0-9 . _ ~ + / = -. "
            "Where the file is removed, a new one is made."
        )
    return token


def _make_token(path: Path) -> None:
    """Two servers that start at once make one token: who links first."""
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
