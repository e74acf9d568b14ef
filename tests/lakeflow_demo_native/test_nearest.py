from __future__ import annotations

import threading
from array import array

import numpy as np
import pytest

import lakeflow_demo_native
from lakeflow_demo_native._nearest import nearest_into


def nearest(points: object, queries: object, k: int) -> list[list[int]]:
    found: list[list[int]] = np.asarray(lakeflow_demo_native.nearest(points, queries, k)).tolist()
    return found


@pytest.mark.parametrize(
    ("n", "m", "dimensions", "k"), [(1, 1, 1, 1), (50, 7, 3, 5), (9, 4, 64, 9)]
)
def test_it_finds_what_numpy_finds(n: int, m: int, dimensions: int, k: int) -> None:
    random = np.random.default_rng(n)
    points = random.normal(size=(n, dimensions))
    queries = random.normal(size=(m, dimensions))

    distances = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert nearest(points, queries, k) == expected.tolist()


def test_it_finds_what_plain_python_finds_among_equal_distances() -> None:
    random = np.random.default_rng(5)
    points = random.integers(0, 3, size=(40, 2)).astype(float)
    queries = random.integers(0, 3, size=(10, 2)).astype(float)

    expected = [
        sorted(range(40), key=lambda i, q=q: (sum((points[i] - q) ** 2), i))[:7]  # type: ignore[misc]
        for q in queries
    ]
    assert nearest(points, queries, 7) == expected


def test_infinite_and_undefined_distances_come_last() -> None:
    points = np.array([[np.nan], [np.inf], [3.0], [1.0]])

    assert nearest(points, np.array([[0.0]]), 4) == [[3, 2, 0, 1]]


def test_any_buffer_of_doubles_will_do() -> None:
    points = memoryview(array("d", [0, 0, 5, 5])).cast("B").cast("d", (2, 2))
    queries = memoryview(array("d", [4, 4])).cast("B").cast("d", (1, 2))

    assert nearest(points, queries, 1) == [[1]]


GOOD = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("points", "queries", "k", "error", "text"),
    [
        (GOOD.astype("float32"), GOOD, 1, TypeError, "points must be a buffer of doubles"),
        (GOOD.astype(">f8"), GOOD, 1, TypeError, "points must be a buffer of doubles"),
        (GOOD, GOOD.astype("int64"), 1, TypeError, "queries must be a buffer of doubles"),
        (GOOD, [1.0], 1, TypeError, "bytes-like"),
        ("text", GOOD, 1, TypeError, "bytes-like"),
        (np.zeros(6), GOOD, 1, ValueError, "points must be 2-dimensional"),
        (np.zeros((0, 2)), GOOD, 1, ValueError, "points must be 2-dimensional and not empty"),
        (GOOD, np.zeros((0, 2)), 1, ValueError, "not empty"),
        (GOOD, np.zeros(2), 1, ValueError, "2-dimensional"),
        (GOOD, np.zeros((1, 5)), 1, ValueError, "2 dimensions, but queries have 5"),
        (GOOD, GOOD, 4, ValueError, "k is 4, but there are 3 points"),
        (GOOD, GOOD, 0, ValueError, "k at least 1"),
        (np.zeros((3, 4))[:, ::2], GOOD, 1, ValueError, "contiguous"),
    ],
)
def test_other_buffers_are_refused(
    points: object, queries: object, k: int, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        nearest(points, queries, k)


def test_the_result_must_be_writable_and_of_the_right_shape() -> None:
    fixed = np.zeros((3, 1), dtype="int64")
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        nearest_into(GOOD, GOOD, fixed)
    with pytest.raises(TypeError, match="found must be a buffer of 64-bit integers"):
        nearest_into(GOOD, GOOD, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="found has 2 rows for 3 queries"):
        nearest_into(GOOD, GOOD, np.zeros((2, 1), dtype="int64"))


def test_refusals_release_the_buffers() -> None:
    points = bytearray(8 * 4)
    table = memoryview(points).cast("d", (2, 2))
    with pytest.raises(ValueError, match="k is 3"):
        nearest(table, table, 3)

    table.release()
    points.append(0)  # raises BufferError while somebody holds it


def test_threads_search_side_by_side() -> None:
    random = np.random.default_rng(1)
    points, queries = random.normal(size=(200, 8)), random.normal(size=(50, 8))
    expected = nearest(points, queries, 3)
    results: list[object] = []

    threads = [
        threading.Thread(target=lambda: results.append(nearest(points, queries, 3)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
