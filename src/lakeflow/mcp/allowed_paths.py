"""Which files of this machine a client may name: those below the roots that the operator gave."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lakeflow.errors import Refused


def confined(text: str, roots: Sequence[Path]) -> Path:
    """The real path that a client means, every link resolved, if it is below one of `roots`.

    A relative path is relative to the first root. Whether it exists is not told of what is outside.
    Raises Refused.
    """
    if not roots:
        raise Refused(
            "this server was started without --root DIR, so it reads no files of its machine. "
            "Wheels that are in the workspace's artifact store can be named by their path there."
        )
    if "\0" in text:
        raise Refused("a path holds no NUL character")
    given = Path(text)
    try:
        real = Path(os.path.realpath(given if given.is_absolute() else roots[0] / given))
        allowed = [Path(os.path.realpath(root)) for root in roots]
    except (OSError, ValueError) as error:  # a path that is too long, say
        raise Refused(f"this is no path: {error}") from None
    if not any(real == root or root in real.parents for root in allowed):
        raise Refused(
            f"{text!r} is not below a folder that this server was started with (--root). "
            "The person who runs it decides on these."
        )
    return real
