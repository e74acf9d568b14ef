"""Lay out the graph of a job's tasks for an SVG: columns from left to right, with arrows between.

A task is one column after the last of its dependencies. An arrow across several columns has a slot
in each of them, so that it passes between tasks, not behind them.
Source: the layered drawing of K. Sugiyama et al. (1981), with barycentres for the order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_TASKS = 100
"""As many as the page lists; a graph of more is not readable."""
WIDTH, HEIGHT = 170, 46
"""Size of a task's box in pixels."""
COLUMN, ROW, MARGIN = WIDTH + 44, HEIGHT + 18, 2
MAX_NAME_LENGTH = 20
"""Characters that fit into a box."""
SWEEPS = 4


@dataclass(frozen=True)
class Box:
    """A task: `after` are its dependencies, `state` gives its colour, `note` is its second line."""

    key: str
    after: Sequence[str]
    url: str = ""
    state: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The key, shortened to fit into the box."""
        if len(self.key) <= MAX_NAME_LENGTH:
            return self.key
        return f"{self.key[: MAX_NAME_LENGTH - 1]}…"


@dataclass(frozen=True)
class Graph:
    """Boxes with their upper left corners, and arrows as paths of an SVG."""

    boxes: Sequence[tuple[Box, int, int]]
    arrows: Sequence[str]
    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT


Slot = tuple[str, int]
"""A task or an arrow, and the column in which it takes up space."""


def lay_out(boxes: Iterable[Box]) -> Graph | None:
    """Lay out tasks; None if there are no dependencies or too many tasks."""
    by_key = {box.key: box for box in boxes}
    after = {key: [name for name in box.after if name in by_key] for key, box in by_key.items()}
    if len(by_key) > MAX_TASKS or not any(after.values()):
        return None
    columns = _columns(after)
    links: dict[Slot, list[Slot]] = {(key, column): [] for key, column in columns.items()}
    paths: list[list[Slot]] = []
    for key, names in after.items():
        for name in names:
            first, last = columns[name], columns[key]
            between = [(f"{name}\0{key}", column) for column in range(first + 1, last)]
            path = [(name, first), *between, (key, last)]
            for left, right in itertools.pairwise(path):
                links.setdefault(right, []).append(left)
            paths.append(path)
    rows = _rows(links)
    tallest = 1 + max(rows.values())
    used = {column: sum(1 for slot in rows if slot[1] == column) for _, column in rows}

    def corner(slot: Slot) -> tuple[int, int]:
        free = tallest - used[slot[1]]  # shorter columns are centred
        return MARGIN + slot[1] * COLUMN, MARGIN + int((rows[slot] + free / 2) * ROW)

    return Graph(
        [(box, *corner((key, columns[key]))) for key, box in by_key.items()],
        [_curve([corner(slot) for slot in path]) for path in paths],
        2 * MARGIN + COLUMN * max(columns.values()) + WIDTH,
        2 * MARGIN + ROW * (tallest - 1) + HEIGHT,
    )


def _columns(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return each task's column, the length of the longest chain before it. There are no cycles."""
    found: dict[str, int] = {}
    while len(found) < len(after):
        for key, names in after.items():
            if key not in found and all(name in found for name in names):
                found[key] = 1 + max((found[name] for name in names), default=-1)
    return found


def _rows(links: Mapping[Slot, Sequence[Slot]]) -> dict[Slot, int]:
    """Return the row of each slot, so that linked slots are close together."""
    columns: dict[int, list[Slot]] = {}
    for slot in links:
        columns.setdefault(slot[1], []).append(slot)
    next_to: dict[Slot, list[Slot]] = {slot: [] for slot in links}
    for slot, lefts in links.items():
        for left in lefts:
            next_to[left].append(slot)
    rows = {slot: row for slots in columns.values() for row, slot in enumerate(slots)}
    for sweep in range(SWEEPS):
        neighbours = links if sweep % 2 == 0 else next_to
        for column in sorted(columns, reverse=bool(sweep % 2)):

            def middle(slot: Slot, of: Mapping[Slot, Sequence[Slot]] = neighbours) -> float:
                near = of[slot]
                return sum(rows[other] for other in near) / len(near) if near else rows[slot]

            columns[column].sort(key=middle)
            rows.update({slot: row for row, slot in enumerate(columns[column])})
    return rows


def _curve(corners: Sequence[tuple[int, int]]) -> str:
    """Return the path from the right side of the first box to the left side of the last one."""
    half = HEIGHT // 2
    (x, y), *others = corners
    path = f"M{x + WIDTH} {y + half}"
    at_x, at_y = x + WIDTH, y + half
    for number, (x, y) in enumerate(others, 1):
        y += half
        bend = (x - at_x) // 2
        path += f"C{at_x + bend} {at_y} {x - bend} {y} {x} {y}"
        at_x, at_y = x, y
        if number < len(others):  # straight through the column
            path += f"H{x + WIDTH}"
            at_x = x + WIDTH
    return path
