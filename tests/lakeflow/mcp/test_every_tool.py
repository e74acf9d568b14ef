"""Every tool in memory, over stdio and over HTTP, in both eras of the protocol, with real runs.

test_tools.py has all cases of each tool; this module runs each tool over every transport. Each
transport and era has one server and one client for all tests, and all share a local workspace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.lakeflow.mcp.agent import READ_SECONDS, Agent, connected
from tests.lakeflow.mcp.conftest import command, serving
from tests.lakeflow.mcp.servers import Mode, http_server
from tests.support.packages import make_project
from tests.support.sources import make_source

LINES = [
    f"{transport}-{era}" for transport in ("memory", "stdio", "http") for era in get_args(Mode)
]
WHEELS = ["wheels/try_demo-0.1.0-py3-none-any.whl", "wheels/try_lib-1.0-py3-none-any.whl"]


@dataclass(frozen=True)
class Place:
    """The local workspace, the folder of its state, and the one that servers may read."""

    endpoint: Endpoint
    state: Path
    root: Path


@dataclass(frozen=True)
class Line:
    """A client connected to its server; `name` says how."""

    name: str
    portal: BlockingPortal
    agent: Agent

    def call(self, tool: str, /, **arguments: Any) -> Any:
        """The structured answer of a tool."""
        return self.portal.call(partial(self.agent.call, tool, **arguments))

    def start(self, job_id: str, *calls: list[str], request_id: str) -> list[str]:
        """The ids of new runs with these arguments."""
        result = self.call(
            "trigger_runs", job_id=job_id, arguments=list(calls), request_id=self.named(request_id)
        )
        assert result["repeated"] is False
        return [run["id"] for run in result["runs"]]

    def outcomes(self, *ids: str) -> list[str]:
        """The outcomes of runs, once they have finished."""
        while True:
            waited = self.call("wait_for_runs", run_ids=list(ids), timeout_seconds=20)
            if waited["all_finished"]:
                return [run["outcome"] for run in waited["runs"]]

    def named(self, word: str) -> str:
        """A name unique to this line."""
        return f"{word} {self.name}"


@dataclass(frozen=True)
class Prepared:
    """A job deployed over a line, and two runs: one has an output file, one failed."""

    job_id: str
    cluster_id: str
    kept: str
    failed: str


@pytest.fixture(scope="module")
def place(workspace_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("root")
    make_project(root / "wheels")
    make_source(root / "source")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
        # Any other host has 4 s for its first answer, which takes longer on a busy machine.
        patch.setenv("LAKEFLOW_WORKSPACE", "local")
        yield Place(daemon.ensure_up(), workspace_folder, root)


@pytest.fixture(scope="module", params=LINES)
def line(
    request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    name = str(request.param)
    transport, _, era = name.partition("-")
    talking = _talking(transport, era, place, tmp_path_factory.mktemp(name))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(talking) as agent:
        yield Line(name, portal, agent)


@asynccontextmanager
async def _talking(transport: str, era: Any, place: Place, folder: Path) -> AsyncIterator[Agent]:
    flags = ("--root", str(place.root), "--allow-build")
    if transport == "memory":
        async with connected(serving(roots=(place.root,), allow_build=True), era) as agent:
            yield agent
    elif transport == "stdio":
        started = command(place.endpoint, place.state, *flags, **os.environ)
        async with connected(started, era) as agent:
            yield agent
    else:
        with http_server(folder, *flags) as server:
            async with server.client(era, read_timeout_seconds=READ_SECONDS) as client:
                yield Agent(client)


@pytest.fixture(scope="module")
def prepared(line: Line) -> Prepared:
    """By `plan_deploy`, `deploy_wheels`, `trigger_runs` and `wait_for_runs`."""
    call_args = {"wheels": WHEELS, "name": line.named("deployed")}
    plan = line.call("plan_deploy", **call_args)
    assert line.call("list_jobs", name=call_args["name"])["total"] == 0
    (job,) = line.call("deploy_wheels", **call_args, plan_token=plan["token"], confirm=True)["jobs"]
    kept, failed = line.start(job["id"], ["keep", "a.txt", "one"], ["fail"], request_id="first")
    assert line.outcomes(kept, failed) == ["succeeded", "failed"]
    return Prepared(job["id"], job["cluster_id"], kept, failed)


def test_every_tool_has_a_test(line: Line) -> None:
    tools = line.portal.call(line.agent.tools)
    assert [name for name in tools if f"test_{name}" not in globals()] == []


def test_plan_deploy(line: Line, prepared: Prepared) -> None:
    same = line.call("plan_deploy", wheels=WHEELS, name=line.named("deployed"))
    assert f"job {line.named('deployed')} ({prepared.job_id}): unchanged" in same["steps"]
    other = line.call("plan_deploy", wheels=WHEELS, name=line.named("planned"))
    assert f"job {line.named('planned')}: create" in other["steps"]
    assert line.call("list_jobs", name=line.named("planned"))["total"] == 0


def test_deploy_wheels(line: Line, prepared: Prepared) -> None:
    call_args = {"wheels": WHEELS, "name": line.named("deployed")}
    (again,) = line.call("deploy_wheels", **call_args, confirm=True)["jobs"]
    assert again["id"] == prepared.job_id
    assert [wheel["uploaded_bytes"] for wheel in again["wheels"]] == [0, 0, 0]


def test_build_and_deploy(line: Line) -> None:
    call_args = {"folder": "source", "name": line.named("built")}
    (job,) = line.call("build_and_deploy", **call_args, confirm=True)["jobs"]
    (run_id,) = line.start(job["id"], ["of a build"], request_id="built")
    assert line.outcomes(run_id) == ["succeeded"]
    (log,) = line.call("read_logs", run_id=run_id)["tasks"]
    assert '{"argv": ["of a build"]}' in log["text"]


def test_list_jobs(line: Line, prepared: Prepared) -> None:
    listed = line.call("list_jobs", name=line.named("deployed"))
    assert [(job["id"], job["name"]) for job in listed["jobs"]] == [
        (prepared.job_id, line.named("deployed"))
    ]


def test_get_job(line: Line, prepared: Prepared) -> None:
    shown = line.call("get_job", job_id=prepared.job_id)
    assert (shown["id"], shown["name"]) == (prepared.job_id, line.named("deployed"))
    assert (shown["created_by_lakeflow"], shown["takes_arguments"]) == (True, True)


def test_list_clusters(line: Line, prepared: Prepared) -> None:
    (shown,) = line.call("list_clusters", cluster_id=prepared.cluster_id)["clusters"]
    assert (shown["id"], shown["created_by_lakeflow"]) == (prepared.cluster_id, True)


def test_trigger_runs(line: Line, prepared: Prepared) -> None:
    call_args = {
        "job_id": prepared.job_id,
        "arguments": [["fi"], ["fie"]],
        "request_id": line.named("2"),
    }
    first, second = (line.call("trigger_runs", **call_args) for _ in range(2))
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert [run["arguments"] for run in first["runs"]] == call_args["arguments"]
    assert second["runs"] == first["runs"]
    assert line.outcomes(*(run["id"] for run in first["runs"])) == ["succeeded"] * 2


def test_wait_for_runs(line: Line, prepared: Prepared, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (run_id,) = line.start(prepared.job_id, ["wait-for", str(gate)], request_id="waits")
    assert line.call("wait_for_runs", run_ids=[run_id], timeout_seconds=0)["all_finished"] is False
    gate.touch()
    assert line.outcomes(run_id) == ["succeeded"]


def test_list_runs(line: Line, prepared: Prepared) -> None:
    listed = {run["id"]: run for run in line.call("list_runs", job_id=prepared.job_id)["runs"]}
    assert listed[prepared.kept]["arguments"] == ["keep", "a.txt", "one"]
    assert [listed[i]["outcome"] for i in (prepared.kept, prepared.failed)] == [
        "succeeded",
        "failed",
    ]


def test_get_run(line: Line, prepared: Prepared) -> None:
    shown = line.call("get_run", run_id=prepared.failed)
    assert (shown["run"]["id"], shown["run"]["outcome"]) == (prepared.failed, "failed")
    assert [(task["task"], task["outcome"]) for task in shown["tasks"]] == [("main", "failed")]


def test_read_logs(line: Line, prepared: Prepared) -> None:
    (log,) = line.call("read_logs", run_id=prepared.kept)["tasks"]
    assert '"argv": ["keep", "a.txt", "one"]' in log["text"]


def test_explain_failure(line: Line, prepared: Prepared) -> None:
    shown = line.call("explain_failure", run_id=prepared.failed)
    (task,) = shown["tasks"]
    assert (shown["failed"], task["task"], task["exit_code"]) == (True, "main", 1)
    assert "RuntimeError: as asked" in task["error"] + task["last_lines"]


def test_read_outputs(line: Line, prepared: Prepared) -> None:
    listed = line.call("read_outputs", run_id=prepared.kept)
    assert [(file["name"], file["size"]) for file in listed["files"]] == [("a.txt", None)]
    read = line.call("read_outputs", run_id=prepared.kept, name="a.txt")
    assert read["text"].split("\n")[1:-1] == ["one"]


def test_cancel_runs(line: Line, prepared: Prepared, tmp_path: Path) -> None:
    (run_id,) = line.start(
        prepared.job_id, ["wait-for", str(tmp_path / "no")], request_id="endless"
    )
    gone = line.call("cancel_runs", run_ids=[run_id], confirm=True)
    assert (gone["cancelling"], gone["already_finished"]) == ([run_id], [])
    assert line.outcomes(run_id) == ["cancelled"]


def test_repair_run(line: Line, prepared: Prepared, tmp_path: Path) -> None:
    needed = tmp_path / "needed"
    (run_id,) = line.start(prepared.job_id, ["need", str(needed)], request_id="needs")
    assert line.outcomes(run_id) == ["failed"]
    needed.touch()
    call_args = {"run_id": run_id, "request_id": line.named("mend"), "confirm": True}
    assert line.call("repair_run", **call_args)["repeated"] is False
    assert line.outcomes(run_id) == ["succeeded"]
    assert line.call("repair_run", **call_args)["repeated"] is True
