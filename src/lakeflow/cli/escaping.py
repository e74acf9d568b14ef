"""Text of others on a terminal: names and messages may hold escape sequences."""

from __future__ import annotations


def escaped(text: str, *, keep: str = "") -> str:
    """Return a text with its invisible characters written as Python would, except those of `keep`.

    Escape sequences cannot change the terminal, and a line end cannot forge a line of a list.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written(c) for c in text)


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
