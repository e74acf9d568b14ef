"""Text of the values that several commands print."""

from __future__ import annotations


def size_text(size: int | None) -> str:
    """Return a size in bytes as a column shows it."""
    return "?" if size is None else str(size)
