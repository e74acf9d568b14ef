"""Nearest neighbours, with the inner loop in C."""

from __future__ import annotations

from typing import Any

from lakeflow_demo_native import _nearest

__all__ = ["Buffer", "nearest"]

Buffer = Any
"""An object with the buffer protocol; before Python 3.12 it has no type, and numpy's has none."""


def nearest(points: Buffer, queries: Buffer, k: int) -> memoryview:
    """Indices of the `k` points nearest to each query by Euclidean distance, nearest first.

    `points` (n, d) and `queries` (m, d) are C-contiguous buffers of doubles, such as numpy arrays;
    the result is an int64 buffer (m, k). Of points equally far the one with the lower index comes
    first; one whose distance is not a number counts as infinitely far. Other threads keep running.

    Raises TypeError or ValueError for buffers of another type or shape, and for a `k` out of 1..n.
    """
    shape = memoryview(queries).shape or ()
    if len(shape) != 2 or shape[0] < 1 or k < 1:
        raise ValueError("queries must be 2-dimensional and not empty, and k at least 1")
    found = memoryview(bytearray(8 * shape[0] * k)).cast("q", (shape[0], k))
    _nearest.nearest_into(points, queries, found)
    return found
