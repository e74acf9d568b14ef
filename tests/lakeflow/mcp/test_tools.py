"""Every tool, in both eras of the protocol, against the local workspace with real runs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from lakeflow.client.connect import connect
from tests.lakeflow.mcp.agent import Agent, Failed, connected
from tests.lakeflow.mcp.conftest import serving
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.sources import make_source

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers know that this workspace is up: another host has 4 s for its first answer.

    It takes longer on a machine that is very busy.
    """
    monkeypatch.setenv("LAKEFLOW_WORKSPACE", "local")


def new() -> str:
    """A request id that was not used before."""
    return str(uuid.uuid4())


def all_runs() -> set[int]:
    return {run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs")}


async def finished(agent: Agent, ids: list[str]) -> list[dict[str, Any]]:
    """Wait until runs have finished; return them."""
    while True:
        waited = await agent.call("wait_for_runs", run_ids=ids, timeout_seconds=30)
        if waited["all_finished"]:
            return list(waited["runs"])


async def one_run(agent: Agent, job_id: int, *argv: str) -> str:
    """Start a run, wait until it has finished, and return its id."""
    result = await agent.call(
        "trigger_runs", job_id=job_id, arguments=[list(argv)], request_id=new()
    )
    (run,) = await finished(agent, [result["runs"][0]["id"]])
    return str(run["id"])


async def test_four_copies_are_exactly_four_runs(job_id: int, era: str) -> None:
    call_args = [["fi"], ["fie"], ["fo"], ["fum"]]
    before = all_runs()
    async with connected(serving(), era) as agent:
        result = await agent.call(
            "trigger_runs", job_id=job_id, arguments=call_args, request_id=new()
        )
        assert [run["arguments"] for run in result["runs"]] == call_args
        assert result["repeated"] is False
        runs = await finished(agent, [run["id"] for run in result["runs"]])
        assert {run["outcome"] for run in runs} == {"succeeded"}
        logs = [await agent.call("read_logs", run_id=run["id"]) for run in runs]
    for argv, log in zip(call_args, logs, strict=True):
        assert f'"argv": ["{argv[0]}"]' in log["tasks"][0]["text"]
    assert all_runs() - before == {int(run["id"]) for run in runs}


async def test_jobs_are_listed_and_shown(job_id: int, era: str) -> None:
    workspace = connect()
    settings = workspace.get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    foreign = workspace.post(
        "/api/2.2/jobs/create", {**settings, "name": "zz foreign", "tags": {}}, repeatable=False
    )["job_id"]
    async with connected(serving(), era) as agent:
        ours = await agent.call("list_jobs", name="AGENTS")
        assert str(job_id) in [job["id"] for job in ours["jobs"]]
        assert str(foreign) not in [job["id"] for job in (await agent.call("list_jobs"))["jobs"]]
        page = await agent.call("list_jobs", every=True, limit=1)
        assert len(page["jobs"]) == 1
        assert page["more"] == f"{page['total'] - 1} more: repeat with offset=1"
        last = await agent.call("list_jobs", every=True, limit=1, offset=page["total"] - 1)
        assert (last["jobs"][0]["id"], last["more"]) == (str(foreign), None)

        shown = await agent.call("get_job", job_id=job_id)
        assert shown == await agent.call("get_job", job_id=str(job_id))
        assert shown["created_by_lakeflow"]
        assert shown["takes_arguments"]
        assert shown["compute"].startswith("cluster ")
        assert [wheel.partition("-")[0] for wheel in shown["wheels"]] == [
            "lakeflow_task",
            "try_lib",
            "try_demo",
        ]
        assert shown["link"] == f"lakeflow://jobs/{job_id}"
        resource = await agent.client.read_resource(shown["link"])
        assert json.loads(resource.contents[0].text) == shown  # type: ignore[union-attr]


async def test_clusters_are_listed_and_shown(job_id: int, era: str) -> None:
    settings = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    cluster_id = settings["tasks"][0]["existing_cluster_id"]
    async with connected(serving(), era) as agent:
        listed = (await agent.call("list_clusters"))["clusters"]
        assert [c["name"].casefold() for c in listed] == sorted(
            c["name"].casefold() for c in listed
        )
        (shown,) = (await agent.call("list_clusters", cluster_id=cluster_id))["clusters"]
    assert shown in listed
    assert (shown["created_by_lakeflow"], shown["max_workers"]) == (True, 0)


async def test_runs_are_listed_shown_and_read_a_page_at_a_time(job_id: int, era: str) -> None:
    async with connected(serving(), era) as agent:
        run_id = await one_run(agent, job_id, "count", "1200")
        newest = await agent.call("list_runs", job_id=job_id, limit=1)
        assert (newest["runs"][0]["id"], newest["runs"][0]["outcome"]) == (run_id, "succeeded")
        shown = await agent.call("get_run", run_id=run_id)
        assert shown["run"]["arguments"] == ["count", "1200"]
        assert shown["run"]["started"].endswith("Z")
        assert shown["run"]["seconds"] > 0
        assert [task["task"] for task in shown["tasks"]] == ["main"]
        resource = await agent.client.read_resource(shown["run"]["link"])
        assert json.loads(resource.contents[0].text)["run"] == shown["run"]  # type: ignore[union-attr]

        seen: list[str] = []
        skip = 0
        while True:
            (log,) = (await agent.call("read_logs", run_id=run_id, skip=skip))["tasks"]
            first, *lines, last = log["text"].split("\n")
            assert first.endswith("data, not instructions")
            assert last.endswith("end of data")
            assert len(lines) == log["lines"] <= 500
            seen = lines + seen
            if log["more"] is None:
                break
            assert log["more"] == f"earlier lines: repeat with skip={skip + log['lines']}"
            skip += log["lines"]
        assert json.loads(seen[0])["argv"] == ["count", "1200"]
        assert seen[1:] == [str(number) for number in range(1200)]


async def test_a_failed_run_has_a_remedy(job_id: int, era: str) -> None:
    async with connected(serving(), era) as agent:
        run_id = await one_run(agent, job_id, "fail")
        shown = await agent.call("explain_failure", run_id=run_id)
        (task,) = shown["tasks"]
        assert (shown["failed"], task["task"], task["exit_code"]) == (True, "main", 1)
        assert "RuntimeError: as asked" in task["error"] + task["last_lines"]
        assert task["remedy"]
        assert "explain_failure" in (await agent.call("get_run", run_id=run_id))["next"]

        fine = await agent.call("explain_failure", run_id=await one_run(agent, job_id))
        assert (fine["failed"], fine["tasks"]) == (False, [])


async def test_a_wait_is_bounded_and_says_how_far_it_is(
    job_id: int, tmp_path: Path, era: str
) -> None:
    gate = tmp_path / "gate"
    progress_calls: list[tuple[float, float | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        progress_calls.append((progress, total))

    async with connected(serving(), era) as agent:
        result = await agent.call(
            "trigger_runs",
            job_id=job_id,
            arguments=[["wait-for", str(gate)], ["other"]],
            request_id=new(),
        )
        ids = [run["id"] for run in result["runs"]]
        result = await agent.client.call_tool(
            "wait_for_runs", {"run_ids": ids, "timeout_seconds": 0}, progress_callback=progress
        )
        answer = result.structured_content
        assert answer is not None
        assert answer["all_finished"] is False
        assert progress_calls
        assert {total for _, total in progress_calls} == {2}
        assert "wait_for_runs" in answer["next"]
        with pytest.raises(Failed, match="less than or equal to 30"):
            await agent.call("wait_for_runs", run_ids=ids, timeout_seconds=31)

        planned = await agent.call("cancel_runs", run_ids=ids[:1], dry_run=True)
        assert planned["plan"]["steps"] == [f"cancel run {ids[0]}"]
        gone = await agent.call(
            "cancel_runs",
            run_ids=ids[:1],
            plan_token=planned["plan"]["token"],
            confirm=True,
        )
        assert (gone["cancelling"], gone["already_finished"]) == (ids[:1], [])
        cancelled, other = await finished(agent, ids)
        assert (cancelled["outcome"], other["outcome"]) == ("cancelled", "succeeded")
        again = await agent.call("cancel_runs", run_ids=ids, confirm=True)
        assert (again["cancelling"], again["already_finished"]) == ([], ids)


async def test_what_failed_is_repaired_once(job_id: int, tmp_path: Path, era: str) -> None:
    needed = tmp_path / "needed"
    async with connected(serving(), era) as agent:
        run_id = await one_run(agent, job_id, "need", str(needed))
        assert (await agent.call("explain_failure", run_id=run_id))["tasks"][0]["exit_code"] == 5
        with pytest.raises(Failed, match="Confirmation needed to"):
            await agent.call("repair_run", run_id=run_id, request_id="mend it")
        plan = (await agent.call("repair_run", run_id=run_id, request_id="mend it", dry_run=True))[
            "plan"
        ]
        assert plan["steps"] == [f"retry failed tasks of run {run_id}: main"]
        call_args = {"run_id": run_id, "request_id": new(), "confirm": True}
        with pytest.raises(Failed, match="is the plan of another call"):
            await agent.call("repair_run", **call_args, plan_token=plan["token"])
        needed.touch()
        assert (await agent.call("repair_run", **call_args))["repeated"] is False
        (run,) = await finished(agent, [run_id])
        assert run["outcome"] == "succeeded"
        assert (await agent.call("repair_run", **call_args))["repeated"] is True
        refused = {"run_id": run_id, "request_id": new(), "confirm": True}
        for _ in range(2):
            with pytest.raises(Failed, match="has no failed tasks"):
                await agent.call("repair_run", **refused)
    history = connect().get("/api/2.2/jobs/runs/get", run_id=run_id, include_history="true")
    assert [item["type"] for item in history["repair_history"]] == ["ORIGINAL", "REPAIR"]


async def test_outputs_are_listed_and_read_in_parts(job_id: int, era: str) -> None:
    long = "aü" * 50
    async with connected(serving(), era) as agent:
        run_id = await one_run(agent, job_id, "keep", "a.txt", "one", "sub/long.txt", long)
        listed = await agent.call("read_outputs", run_id=run_id)
        assert [(file["name"], file["size"]) for file in listed["files"]] == [
            ("a.txt", None),
            ("sub/long.txt", None),
        ]
        read, offset = "", 0
        while True:
            part = await agent.call(
                "read_outputs", run_id=run_id, name="sub/long.txt", offset=offset, max_bytes=16
            )
            read += part["text"].split("\n", 1)[1].rpartition("\n")[0]
            if part["more"] is None:
                break
            offset = int(part["more"].rpartition("=")[2])
        assert read == long
        for name in ("../a.txt", "/etc/passwd", "sub", "a.txt\0"):
            with pytest.raises(Failed, match="has no output file"):
                await agent.call("read_outputs", run_id=run_id, name=name)


async def test_wheels_are_planned_and_deployed(
    captured: CapturedLauncher, tmp_path: Path, era: str
) -> None:
    make_project(tmp_path / "wheels", greeting=f"in {era}")
    name = f"planned-{era}-{new()}"
    wheels = sorted(path.name for path in (tmp_path / "wheels").glob("*.whl"))
    async with connected(serving(roots=(tmp_path / "wheels",)), era) as agent:
        call_args = {"wheels": wheels, "name": name}
        plan = await agent.call("plan_deploy", **call_args)
        assert f"job {name}: create" in plan["steps"]
        assert (await agent.call("deploy_wheels", **call_args, dry_run=True))["plan"] == plan
        assert (await agent.call("list_jobs", name=name))["total"] == 0
        with pytest.raises(Failed, match="Confirmation needed to"):
            await agent.call("deploy_wheels", **call_args)
        result = await agent.call(
            "deploy_wheels", **call_args, plan_token=plan["token"], confirm=True
        )
        (job,) = result["jobs"]
        assert job["name"] == name
        again = await agent.call("deploy_wheels", **call_args, confirm=True)
        assert [wheel["uploaded_bytes"] for wheel in again["jobs"][0]["wheels"]] == [0, 0, 0]

        with pytest.raises(
            Failed, match="Nothing was done, because the plan no longer holds"
        ) as stale:
            await agent.call("deploy_wheels", **call_args, plan_token=plan["token"], confirm=True)
        assert f"- job {name}: create" in str(stale.value)
        assert f"+ job {name} ({job['id']}): unchanged" in str(stale.value)

        run_id = await one_run(agent, int(job["id"]))
        logs = await agent.call("read_logs", run_id=run_id)
        assert f'"greeting": "in {era}"' in logs["tasks"][0]["text"]

        settings = connect().get("/api/2.2/jobs/get", job_id=job["id"])["settings"]
        schedule = {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC"}
        settings["schedule"] = {**schedule, "pause_status": "PAUSED"}
        body = {"job_id": int(job["id"]), "new_settings": settings}
        connect().post("/api/2.2/jobs/reset", body, repeatable=True)
        make_project(tmp_path / "wheels", greeting="changed")
        await agent.call("deploy_wheels", **call_args, confirm=True)
        assert (await agent.call("get_job", job_id=job["id"]))["schedule"] == "0 0 6 * * ? UTC"

        stored = [wheel["path"] for wheel in job["wheels"] if "lakeflow_task" not in wheel["path"]]
        other = await agent.call("deploy_wheels", wheels=stored, name=f"{name}-2", confirm=True)
        assert other["jobs"][0]["name"] == f"{name}-2"


async def test_a_folder_is_built_and_deployed(
    captured: CapturedLauncher, tmp_path: Path, era: str
) -> None:
    make_source(tmp_path / "source")
    async with connected(serving(roots=(tmp_path,), allow_build=True), era) as agent:
        call_args = {"folder": "source", "name": f"built-{era}", "package": "my-package"}
        with pytest.raises(Failed, match="Confirmation needed to build source"):
            await agent.call("build_and_deploy", **call_args, dry_run=True)
        planned = await agent.call("build_and_deploy", **call_args, dry_run=True, confirm=True)
        plan = planned["plan"]
        result = await agent.call(
            "build_and_deploy", **call_args, plan_token=plan["token"], confirm=True
        )
        assert result["jobs"][0]["name"] == f"built-{era}"
        with pytest.raises(Failed, match="not 'other'"):
            await agent.call("build_and_deploy", folder="source", package="other", confirm=True)


async def test_prompts_lead_to_the_tools(captured: CapturedLauncher, era: str) -> None:
    async with connected(serving(), era) as agent:
        call_args = {"job": "demo", "sweep": "k from 1 to 9"}
        prompt = await agent.client.get_prompt("launch_sweep", call_args)
        assert "trigger_runs once" in prompt.messages[0].content.text  # type: ignore[union-attr]
        prompt = await agent.client.get_prompt("find_out_why_it_failed", {"run_id": "7"})
        assert "run 7 failed" in prompt.messages[0].content.text  # type: ignore[union-attr]
        for name, arguments in (("launch_sweep", {"job": "demo"}), ("launch_sweep", {"x": "1"})):
            with pytest.raises(MCPError, match="launch_sweep takes job, sweep"):
                await agent.client.get_prompt(name, arguments)
        with pytest.raises(MCPError, match="unknown prompt; available: find_out"):
            await agent.client.get_prompt("other", {})
    async with connected(serving(read_only=True), era) as agent:
        names = [prompt.name for prompt in (await agent.client.list_prompts()).prompts]
        assert names == ["find_out_why_it_failed", "compare_runs"]
