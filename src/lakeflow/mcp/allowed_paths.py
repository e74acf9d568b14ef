"""Paths that a client may name: files below the server's roots, and files in the workspace."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from lakeflow.errors import Refused, UsageError
from lakeflow.mcp.sanitize import short


def resolve_path(text: str, roots: Sequence[Path]) -> Path:
    """Return the path with every link resolved. Raises Refused unless it is below a root.

    A relative path is relative to the first root. The error does not tell whether a path outside
    exists.
    """
    if not roots:
        raise Refused(
            "this server was started without --root DIR, so it reads no local files. Wheels in "
            "the workspace's artifact store can be named by their path there."
        )
    if "\0" in text:
        raise Refused("a path cannot contain a NUL character")
    given = Path(text)
    try:
        real = Path(os.path.realpath(given if given.is_absolute() else roots[0] / given))
        allowed = [Path(os.path.realpath(root)) for root in roots]
    except (OSError, ValueError) as error:  # for example, it is too long
        raise Refused(f"not a path: {error}") from None
    if not any(real == root or root in real.parents for root in allowed):
        raise Refused(
            f"{text!r} is not below a folder that this server was started with (--root). "
            "Only the person who runs the server can change that."
        )
    return real


def resolve_wheel(text: str, roots: Sequence[Path]) -> Path | str:
    """Return a local wheel as a path, and one in the workspace as it is.

    Raises UsageError if it cannot be a wheel, and Refused if it is a local one outside the roots.
    """
    if not text.endswith(".whl"):
        raise UsageError(f"{short(text, 200)!r} is not a wheel: its name must end in .whl")
    if not text.startswith(("/Workspace/", "/Volumes/")):
        return resolve_path(text, roots)
    if posixpath.normpath(text) != text:
        raise UsageError(f"{short(text, 200)!r}: a workspace path cannot contain ., .. or //")
    return text
