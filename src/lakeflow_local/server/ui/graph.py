"""The graph of a job's tasks, laid out for an SVG: columns from left to right, arrows between them.

A task stands one column after the last of those it waits for. An arrow over several columns gets
a place in each of them, so that it passes between tasks and not behind them.
Source: the layered drawing of K. Sugiyama et al. (1981), with barycentres for the order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MOST_TASKS = 100
"""More are a page of the list below, and no picture that anybody can read."""
WIDTH, HEIGHT = 170, 46
"""Of a task's box, in pixels."""
COLUMN, ROW, MARGIN = WIDTH + 44, HEIGHT + 18, 2
LETTERS = 20
"""Of a task's name that fit into its box."""
SWEEPS = 4


@dataclass(frozen=True)
class Box:
    """A task to be drawn: `state` gives its colour, `note` is its second line."""

    key: str
    after: Sequence[str]
    url: str = ""
    state: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return self.key if len(self.key) <= LETTERS else f"{self.key[: LETTERS - 1]}…"


@dataclass(frozen=True)
class Graph:
    """Boxes with the places of their upper left corners, and the arrows as paths of an SVG."""

    boxes: Sequence[tuple[Box, int, int]]
    arrows: Sequence[str]
    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT


Spot = tuple[str, int]
"""A task in its column, or an arrow's place in a column that it crosses: what it belongs to."""


def lay_out(boxes: Iterable[Box]) -> Graph | None:
    """The graph of these tasks; None where none waits for another, or there are too many."""
    known = {box.key: box for box in boxes}
    after = {key: [name for name in box.after if name in known] for key, box in known.items()}
    if len(known) > MOST_TASKS or not any(after.values()):
        return None
    columns = _columns(after)
    links: dict[Spot, list[Spot]] = {(key, column): [] for key, column in columns.items()}
    paths: list[list[Spot]] = []
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
    used = {column: sum(1 for spot in rows if spot[1] == column) for _, column in rows}

    def corner(spot: Spot) -> tuple[int, int]:
        free = tallest - used[spot[1]]  # shorter columns stand in the middle
        return MARGIN + spot[1] * COLUMN, MARGIN + int((rows[spot] + free / 2) * ROW)

    return Graph(
        [(box, *corner((key, columns[key]))) for key, box in known.items()],
        [_curve([corner(spot) for spot in path]) for path in paths],
        2 * MARGIN + COLUMN * max(columns.values()) + WIDTH,
        2 * MARGIN + ROW * (tallest - 1) + HEIGHT,
    )


def _columns(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Of each task the length of the longest chain that leads to it. There are no circles."""
    found: dict[str, int] = {}
    while len(found) < len(after):
        for key, names in after.items():
            if key not in found and all(name in found for name in names):
                found[key] = 1 + max((found[name] for name in names), default=-1)
    return found


def _rows(links: Mapping[Spot, Sequence[Spot]]) -> dict[Spot, int]:
    """Places in the columns, where what belongs together stands as near as a few sweeps make it."""
    columns: dict[int, list[Spot]] = {}
    for spot in links:
        columns.setdefault(spot[1], []).append(spot)
    next_to: dict[Spot, list[Spot]] = {spot: [] for spot in links}
    for spot, lefts in links.items():
        for left in lefts:
            next_to[left].append(spot)
    rows = {spot: row for spots in columns.values() for row, spot in enumerate(spots)}
    for sweep in range(SWEEPS):
        neighbours = links if sweep % 2 == 0 else next_to
        for column in sorted(columns, reverse=bool(sweep % 2)):

            def middle(spot: Spot, of: Mapping[Spot, Sequence[Spot]] = neighbours) -> float:
                near = of[spot]
                return sum(rows[other] for other in near) / len(near) if near else rows[spot]

            columns[column].sort(key=middle)
            rows.update({spot: row for row, spot in enumerate(columns[column])})
    return rows


def _curve(corners: Sequence[tuple[int, int]]) -> str:
    """From the right side of the first box to the left side of the last one."""
    half = HEIGHT // 2
    (x, y), *others = corners
    path = f"M{x + WIDTH} {y + half}"
    at_x, at_y = x + WIDTH, y + half
    for number, (x, y) in enumerate(others, 1):
        y += half
        bend = (x - at_x) // 2
        path += f"C{at_x + bend} {at_y} {x - bend} {y} {x} {y}"
        at_x, at_y = x, y
        if number < len(others):  # straight on, through the column that it crosses
            path += f"H{x + WIDTH}"
            at_x = x + WIDTH
    return path
