"""The picture of a job's tasks: whatever they are, it can be read."""

from __future__ import annotations

import re
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_local.server.ui.graph import COLUMN, HEIGHT, MAX_TASKS, WIDTH, Box, lay_out


@st.composite
def jobs(draw: st.DrawFn) -> list[Box]:
    """Tasks of which each waits for some of those before it, in any order."""
    count = draw(st.integers(2, 25))
    boxes = []
    for number in range(count):
        before = st.sampled_from([f"t{other}" for other in range(number)] or ["nobody"])
        boxes.append(Box(f"t{number}", draw(st.lists(before, max_size=4, unique=True))))
    return draw(st.permutations(boxes))


@given(jobs())
def test_boxes_stand_apart_and_arrows_go_to_the_right(boxes: list[Box]) -> None:
    graph = lay_out(boxes)
    waiting = [(box.key, name) for box in boxes for name in box.after if name != "nobody"]
    if graph is None:
        assert not waiting
        return
    positions = {box.key: (x, y) for box, x, y in graph.boxes}
    assert positions.keys() == {box.key for box in boxes}
    for x, y in positions.values():
        assert 0 <= x <= graph.width - WIDTH
        assert 0 <= y <= graph.height - HEIGHT
    for one, other in combinations(positions.values(), 2):
        assert abs(one[0] - other[0]) >= COLUMN or abs(one[1] - other[1]) >= HEIGHT
    assert len(graph.arrows) == len(waiting)
    ends = set()
    for path in graph.arrows:
        numbers = [int(text) for text in re.findall(r"-?\d+", path)]
        ends.add((numbers[0] - WIDTH, numbers[1], numbers[-2], numbers[-1]))
    for key, name in waiting:
        assert positions[name][0] < positions[key][0]
        start, end = positions[name], positions[key]
        half = HEIGHT // 2
        assert (start[0], start[1] + half, end[0], end[1] + half) in ends


def test_an_arrow_over_several_columns_passes_between_the_tasks() -> None:
    chain = [Box("a", ()), Box("b", ["a"]), Box("c", ["b"]), Box("d", ["c", "a"])]
    graph = lay_out(chain)
    assert graph is not None
    rows = {box.key: y for box, _, y in graph.boxes}
    (long,) = (path for path in graph.arrows if "H" in path)
    levels = {int(text) for text in re.findall(r" (\d+)H", long)}
    assert levels.isdisjoint({rows["b"] + HEIGHT // 2, rows["c"] + HEIGHT // 2})


def test_no_picture_where_there_is_nothing_to_see() -> None:
    assert lay_out([Box("a", ()), Box("b", ())]) is None
    assert lay_out([Box("a", ["of another page"])]) is None
    many = [Box("0", ()), *(Box(str(number + 1), ["0"]) for number in range(MAX_TASKS))]
    assert lay_out(many) is None
    assert lay_out(many[:-1]) is not None
