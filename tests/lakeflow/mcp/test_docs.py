"""docs/mcp.md names every tool and option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
import typer.main
from mcp import Client

from lakeflow.cli import app
from lakeflow.mcp.app import create_server
from lakeflow.mcp.policy import Policy

PAGE = Path(__file__).parents[3] / "docs" / "mcp.md"


def first_cells(heading: str) -> set[str]:
    """The code in the first cells of the table below a heading."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|([^|]*)\|", section, re.MULTILINE)
    return {word.split()[0] for row in rows for word in re.findall("`([^`]+)`", row)}


def test_every_option_says_what_it_permits() -> None:
    command = typer.main.get_command(app).get_command(None, "mcp")  # type: ignore[attr-defined]
    options = {param.opts[0] for param in command.params}
    described = first_cells("What each option permits")
    assert described <= options
    # Options of --http are in its section.
    assert options - described == {"--port", "--token-file"}
    assert all(f"`{option} " in PAGE.read_text() for option in options - described)


def test_every_tool_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    server = create_server(Policy(roots=(tmp_path,), allow_build=True))

    async def names() -> set[str]:
        async with Client(server) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert first_cells("Tools") == anyio.run(names)
