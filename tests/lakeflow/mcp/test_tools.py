"""Every tool, in both eras of the protocol, against the local workspace with real runs."""

from __future__ import annotations

import uuid

import pytest

from lakeflow.workspace import connect
from tests.lakeflow.mcp.agent import Agent, connected
from tests.lakeflow.mcp.conftest import serving

pytestmark = pytest.mark.anyio


async def ended(agent: Agent, ids: list[str]) -> list[dict[str, object]]:
    """The runs once they have ended."""
    while True:
        waited = await agent.call("wait_for_runs", run_ids=ids, timeout_seconds=30)
        if waited["all_ended"]:
            return list(waited["runs"])


async def test_four_copies_are_exactly_four_runs(job_id: int, era: str) -> None:
    asked = [["fi"], ["fie"], ["fo"], ["fum"]]
    before = {run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs")}
    async with connected(serving(), era) as agent:
        made = await agent.call(
            "trigger_runs", job_id=job_id, arguments=asked, request_id=str(uuid.uuid4())
        )
        assert [run["arguments"] for run in made["runs"]] == asked
        assert made["repeated"] is False
        runs = await ended(agent, [run["id"] for run in made["runs"]])
        assert {run["outcome"] for run in runs} == {"succeeded"}
        logs = [await agent.call("read_logs", run_id=run["id"]) for run in runs]
    for argv, log in zip(asked, logs, strict=True):
        assert f'"argv": ["{argv[0]}"]' in log["tasks"][0]["text"]
    now = {run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs")}
    assert now - before == {int(str(run["id"])) for run in runs}
