"""The server as a process of its own, as clients start it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow.local.daemon import Endpoint
from tests.lakeflow.mcp.agent import connected
from tests.lakeflow.mcp.conftest import command

pytestmark = pytest.mark.anyio


async def test_it_is_served_over_stdio(endpoint: Endpoint, tmp_path: Path, era: str) -> None:
    async with connected(command(endpoint, tmp_path), era) as agent:
        assert "trigger_runs" in await agent.tools()
        assert isinstance((await agent.call("list_jobs"))["jobs"], list)
