"""Names of files: those that clients may create, and how those that tasks left are shown."""

from __future__ import annotations

import os
import re

_INVALID = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class NameInvalid(Exception):
    """A name is not UTF-8 or holds control characters; the text is the path, escaped."""


def check_name(path: str) -> None:
    """Refuse names that a task can create and a client cannot. Raises NameInvalid."""
    if _INVALID.search(path):
        raise NameInvalid(shown(path))


def shown(name: str) -> str:
    r"""Return a name as responses have it: bytes that are no text and control characters as `\xff`.

    `Mount.real` finds the file by this name, too.
    """
    return _INVALID.sub(lambda found: _escape(found[0]), name)


def from_shown(name: str) -> str:
    """Return the name of which `shown` made this one."""
    content = re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), os.fsencode(name)
    )
    return os.fsdecode(content)


def is_escaped(name: str) -> bool:
    """Return whether a name may be one that `shown` has escaped."""
    return _ESCAPED.search(name) is not None


def _escape(character: str) -> str:
    try:
        content = os.fsencode(character)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        content = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in content)
