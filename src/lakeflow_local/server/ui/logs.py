"""Read a task's log in pieces, while it grows."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

PIECE_BYTES = 128 * 1024
UNFINISHED_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,200})?\Z")


@dataclass(frozen=True)
class Piece:
    """A part of a log: `text` is its bytes from `start` to `end`; the log has `size` bytes."""

    text: str
    start: int
    end: int
    size: int


def read_piece(path: Path, start: int | None, *, growing: bool) -> Piece:
    """Read at most `PIECE_BYTES` of a log from `start`; None is the tail of the log.

    An incomplete character or escape sequence at the end of a growing log is left for the next
    piece. A log that does not exist yet is empty.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            first = max(0, size - PIECE_BYTES) if start is None else min(start, size)
            file.seek(first)
            content = file.read(PIECE_BYTES)
    except FileNotFoundError:
        return Piece("", 0, 0, 0)
    if start is None and first > 0:  # start with a whole line, if there is one
        skipped = content.find(b"\n") + 1
        first, content = first + skipped, content[skipped:]
    if growing and (cut := UNFINISHED_ESCAPE.search(content)):
        content = content[: cut.start()]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    whole = growing or first + len(content) < size
    text = decoder.decode(content, final=not whole)
    end = first + len(content) - len(decoder.getstate()[0])
    return Piece(text, first, end, size)
