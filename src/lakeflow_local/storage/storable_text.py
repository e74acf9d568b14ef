"""Make text storable: SQLite and JSON responses hold only valid Unicode."""

from __future__ import annotations

from typing import overload

MAX_MESSAGE_CHARACTERS = 1_000_000
"""Of a message or traceback of a task; SQLite refuses values of 1 GB."""


def storable(text: str) -> str:
    r"""Return text in which lone surrogates are escaped: `\udcff`, as Python writes them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@overload
def storable_message(text: str) -> str: ...
@overload
def storable_message(text: None) -> None: ...
def storable_message(text: str | None) -> str | None:
    """Return a storable text of limited length; None stays None."""
    if text is None:
        return None
    if len(text) > MAX_MESSAGE_CHARACTERS:
        omitted = len(text) - MAX_MESSAGE_CHARACTERS
        text = f"{text[:MAX_MESSAGE_CHARACTERS]}\n[{omitted} characters are missing here]"
    return storable(text)
