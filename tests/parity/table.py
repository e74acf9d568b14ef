"""docs/parity.md: the tours' findings as tables, and those tables read again."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from tests.parity.catalog import ROWS
from tests.parity.clients import CLIENTS, REPO
from tests.parity.conducting import NOT_OFFERED

PAGE = REPO / "docs" / "parity.md"
Columns = Mapping[str, Mapping[str, str]]
"""Titles of clients to keys of rows to cells."""

_HEAD = """# Parity: unmodified clients against the local workspace

`PYTHONPATH=src:. python -m tests.parity` writes this page: it installs every client, unmodified, in
a separate environment and lets it call a local workspace. `tests/parity` checks that the page still
holds: with a few clients in every run, with all if `LAKEFLOW_SOAK=1`. A call counts only if the
client found the effect that it should have, *and* the workspace responded well at that endpoint.

A cell names the version of the API that the client used (*yes* if the path has none). *-*: the
client does not offer this, or only as in another row. *refused*: the workspace says that it does
not support this, with the error of the number below; it never fakes success. *broken*: the client
itself gets it wrong, with any workspace.

| column | client | how it reaches the workspace |
|---|---|---|
"""
UNKNOWN = "?"
"""The cell of what nobody has tried yet."""


def render(columns: Columns) -> str:
    """The page of all clients' cells."""
    text = [_HEAD]
    for client in CLIENTS:
        text.append(
            f"| {client.title} | {client.package} {client.version}".rstrip()
            + f" | {client.way} |\n"
        )
    reasons: dict[str, int] = {}
    titles = [client.title for client in CLIENTS]
    for area, rows in itertools.groupby(ROWS, key=lambda row: row.area):
        text.append(
            f"\n## {area}\n\n| call | {' | '.join(titles)} |\n|---{'|---' * len(titles)}|\n"
        )
        for row in rows:
            use = f": {row.use}" if row.use else ""
            cells = [
                _short(columns.get(title, {}).get(row.key, UNKNOWN), reasons) for title in titles
            ]
            text.append(f"| `{row.endpoint}`{use} | {' | '.join(cells)} |\n")
    text.append("\n## What is refused, and what is broken\n\n")
    text.extend(f"{number}. {reason}\n" for reason, number in reasons.items())
    return "".join(text)


def _short(cell: str, reasons: dict[str, int]) -> str:
    found = re.fullmatch(r"(refused|broken): (.+)", cell, re.DOTALL)
    if found is None:
        return cell
    return f"{found[1]} ({reasons.setdefault(found[2], len(reasons) + 1)})"


def read(text: str) -> dict[str, dict[str, str]]:
    """The cells of a page that `render` made."""
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    columns: dict[str, dict[str, str]] = {}
    titles: list[str] = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if line.startswith("| call |"):
            titles = parts[1:]
        elif found := re.fullmatch(r"`(.+?)`(?:: (.+))?", parts[0]):
            key = f"{found[1]}: {found[2]}" if found[2] else found[1]
            for title, cell in zip(titles, parts[1:], strict=True):
                number = re.fullmatch(r"(refused|broken) \((\d+)\)", cell)
                full = f"{number[1]}: {reasons[number[2]]}" if number else cell
                columns.setdefault(title, {})[key] = full
    return columns


def offered(columns: Columns) -> int:
    """How many cells are not empty."""
    return sum(
        cell not in (NOT_OFFERED, UNKNOWN)
        for column in columns.values()
        for cell in column.values()
    )
