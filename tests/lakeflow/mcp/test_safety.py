"""What the server refuses, has confirmed, and does only once."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp_types import ElicitResult

from lakeflow import Launcher
from lakeflow.client.connect import connect
from lakeflow.errors import Refused
from lakeflow.mcp import actions
from lakeflow.mcp.gateway import Gateway
from lakeflow.mcp.policy import Policy
from lakeflow.mcp.requests import (
    BuildRequest,
    CancelRequest,
    DeployWheelsRequest,
    RepairRequest,
    TriggerRequest,
)
from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.lakeflow.mcp.agent import Failed, connected
from tests.lakeflow.mcp.conftest import command, serving
from tests.lakeflow.mcp.raw import HELLO, READY, calling, started
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy

pytestmark = pytest.mark.anyio


def new() -> str:
    return str(uuid.uuid4())


def runs_of(job_id: int) -> set[int]:
    return {
        run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs", job_id=job_id)
    }


def finished(job_id: int) -> None:
    """Return when no run of the job is active."""
    while any(run.state.outcome is None for run in Launcher().runs.list(job_id)):
        time.sleep(0.2)


@pytest.fixture
def foreign_id(job_id: int) -> int:
    """A job like the other one, created by somebody else without lakeflow's tag."""
    workspace = connect()
    settings = workspace.get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    body = {**settings, "name": "somebody's", "tags": {"team": "a"}}
    return int(workspace.post("/api/2.2/jobs/create", body, repeatable=False)["job_id"])


# Arguments.


SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"parameters": [["a"]]}, "parameters: unknown argument"),
    ({"arguments": [["a"]], "python_params": ["b"]}, "python_params: unknown argument"),
    ({"arguments": ["a"]}, "arguments.0: Input should be a valid list"),
    ({"arguments": [[1]]}, "arguments.0.0: Input should be a valid string"),
    ({"arguments": []}, "starts two"),
    ({"arguments": [["a"]], "request_id": ""}, "request_id: String should have at least 1"),
    ({"arguments": [["a"]], "job_id": 1.5}, "job_id: Value error, an id is a positive integer"),
    ({"arguments": [["a"]], "job_id": True}, "job_id: Value error, an id is a positive integer"),
    ({"arguments": [["a"]], "job_id": "1e3"}, "job_id: Value error, an id is a positive integer"),
    ({"arguments": [["a"]], "job_id": 2**63}, "job_id: Value error, an id is a positive integer"),
    ({"arguments": [["a"]], "env": {"A": 1}}, "env.A: Input should be a valid string"),
    ({"arguments": [["a"]], "env": {"A=B": "1"}}, "A=B"),
    ({"arguments": [["x" * 20_000]]}, "Databricks accepts 10000"),
]


async def test_a_call_that_makes_no_sense_starts_nothing(job_id: int, era: str) -> None:
    before = runs_of(job_id)
    async with connected(serving(), era) as agent:
        for arguments, says in SENSELESS:
            call_args = {"job_id": job_id, "request_id": new(), **arguments}
            with pytest.raises(Failed) as refused:
                await agent.call("trigger_runs", **call_args)
            assert says in str(refused.value)
    assert runs_of(job_id) == before


async def test_lists_that_come_as_text_are_read_and_texts_stay_texts(job_id: int) -> None:
    """As some clients send them. What looks like JSON inside a list of arguments stays as it is."""
    async with connected(serving()) as agent:
        result = await agent.call(
            "trigger_runs",
            job_id=str(job_id),
            arguments='[["fi", "[1]"], ["{\\"a\\": 1}"]]',
            request_id=f'["{new()}"]',
        )
    assert [run["arguments"] for run in result["runs"]] == [["fi", "[1]"], ['{"a": 1}']]


async def test_null_is_an_argument_that_was_left_out(job_id: int) -> None:
    """Some clients send all the arguments there are."""
    async with connected(serving()) as agent:
        listed = await agent.call("list_jobs", every=None, name=None, limit=None, offset=None)
        assert listed == await agent.call("list_jobs")
        with pytest.raises(Failed, match="run_id: Field required"):
            await agent.call("get_run", run_id=None)
        with pytest.raises(Failed, match="other: unknown argument"):
            await agent.call("list_jobs", other=None)


async def test_a_path_of_the_workspace_is_a_plain_one(endpoint: Endpoint) -> None:
    async with connected(serving()) as agent:
        for path in ("/Volumes/../../a.whl", "/Workspace//a.whl", "/Workspace/./a.whl"):
            with pytest.raises(Failed, match="a workspace path cannot contain"):
                await agent.call("deploy_wheels", wheels=[path], confirm=True)
        with pytest.raises(Failed, match="started without --root"):
            await agent.call("deploy_wheels", wheels=["a.whl"], confirm=True)
        with pytest.raises(Failed, match="is not a wheel"):
            await agent.call("deploy_wheels", wheels=["/etc/passwd"], confirm=True)


# Exactly once.


async def test_a_request_is_carried_out_once(job_id: int, era: str) -> None:
    call_args = {"job_id": job_id, "arguments": [["a"], ["b"]], "request_id": new()}
    before = runs_of(job_id)
    async with connected(serving(), era) as agent:
        first = await agent.call("trigger_runs", **call_args)
        again = await agent.call("trigger_runs", **call_args)
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert again["runs"] == first["runs"]
        assert "nothing new was started" in again["next"]
        with pytest.raises(Failed, match="used before for another request"):
            await agent.call("trigger_runs", **{**call_args, "arguments": [["a"], ["c"]]})
        other = await agent.call("trigger_runs", **{**call_args, "request_id": new()})
        assert {run["id"] for run in other["runs"]}.isdisjoint(run["id"] for run in first["runs"])
    assert len(runs_of(job_id) - before) == 4


async def test_a_server_that_is_killed_while_it_starts_runs_goes_on_where_it_was(
    endpoint: Endpoint, job_id: int, tmp_path: Path
) -> None:
    """Killed after its third trigger took effect, and asked again: exactly four runs."""
    call_args = {"job_id": job_id, "arguments": [["a"], ["b"], ["c"], ["d"]], "request_id": new()}
    before = runs_of(job_id)
    with ForwardingProxy(endpoint.host) as proxy:
        parameters = command(endpoint, tmp_path, DATABRICKS_HOST=proxy.host)
        process = started(parameters)
        proxy.stop_client(
            process.kill,
            at=lambda request: request.path.endswith("/run-now"),
            nth=3,
            after_effect=True,
        )
        messages = (HELLO, READY, calling(2, "trigger_runs", **call_args))
        assert process.stdin is not None
        process.stdin.writelines(json.dumps(message) + "\n" for message in messages)
        process.stdin.flush()
        assert process.wait(60) == -signal.SIGKILL
        process.communicate()
        assert len(runs_of(job_id) - before) == 3
        proxy.let_through()
        async with connected(parameters) as agent:
            result = await agent.call("trigger_runs", **call_args)
    assert len(result["runs"]) == 4
    assert runs_of(job_id) - before == {int(run["id"]) for run in result["runs"]}


async def test_equal_calls_at_once_start_one_launch(job_id: int, era: str) -> None:
    call_args = {"job_id": job_id, "arguments": [["a"], ["b"]], "request_id": new()}
    before = runs_of(job_id)
    result: list[Any] = []
    async with connected(serving(), era) as agent, anyio.create_task_group() as group:

        async def one() -> None:
            result.append(await agent.call("trigger_runs", **call_args))

        for _ in range(20):
            group.start_soon(one)
    assert len(runs_of(job_id) - before) == 2
    assert len({str(answer["runs"]) for answer in result}) == 1
    assert [answer["repeated"] for answer in result].count(False) == 1


# Confirmation.


class Person:
    """A person who gives every question the same answer."""

    def __init__(self, action: str, yes: bool | None = None) -> None:
        self.questions: list[str] = []
        self._says = ElicitResult.model_validate(
            {"action": action, "content": None if yes is None else {"yes": yes}}
        )

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        return self._says


@pytest.mark.parametrize("person", [Person("decline"), Person("cancel"), Person("accept", False)])
async def test_the_answer_of_a_person_overrides_the_model(
    job_id: int, tmp_path: Path, era: str, person: Person
) -> None:
    before = runs_of(job_id)
    make_project(tmp_path)
    wheels = [path.name for path in tmp_path.glob("*.whl")]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("trigger_runs", {"job_id": job_id, "arguments": [["a"]] * 11, "request_id": new()}),
        ("deploy_wheels", {"wheels": wheels, "name": f"refused {new()}"}),
        ("build_and_deploy", {"folder": "."}),
        ("build_and_deploy", {"folder": ".", "dry_run": True}),
    ]
    options = {"roots": (tmp_path,), "allow_build": True}
    async with connected(serving(**options), era, elicitation_callback=person) as agent:
        person.questions.clear()
        for tool, arguments in calls:
            with pytest.raises(Failed, match="The user was asked to"):
                await agent.call(tool, **arguments, confirm=True)
        assert len(person.questions) == 4
        assert f"start 11 runs of job agents ({job_id})" in person.questions[0]
        assert ": upload" in person.questions[1] or "unchanged" in person.questions[1]
    assert runs_of(job_id) == before
    names = [job["settings"]["name"] for job in connect().pages("/api/2.2/jobs/list", "jobs")]
    assert not [name for name in names if name.startswith("refused")]


async def test_one_confirmation_is_enough(job_id: int, tmp_path: Path, era: str) -> None:
    person, gate = Person("accept", True), tmp_path / "gate"
    async with connected(serving(ask_above=1), era, elicitation_callback=person) as agent:
        result = await agent.call(
            "trigger_runs", job_id=job_id, arguments=[["wait-for", str(gate)]], request_id=new()
        )
        assert person.questions == []
        run_id = result["runs"][0]["id"]
        gone = await agent.call("cancel_runs", run_ids=[run_id])
        assert gone["cancelling"] == [run_id]
        assert person.questions == [f"An agent asks to do this:\ncancel run {run_id}"]
        planned = await agent.call("cancel_runs", run_ids=[run_id], dry_run=True)
        assert planned["plan"]["token"]
        assert len(person.questions) == 1


async def test_the_question_shows_every_variable(job_id: int, era: str) -> None:
    person = Person("decline")
    env = {**{f"A{n}": "y" * 300 for n in range(21)}, "LD_PRELOAD": "/evil.so"}
    call_args = {"job_id": job_id, "arguments": [["a"]] * 11, "request_id": new()}
    async with connected(serving(), era, elicitation_callback=person) as agent:
        with pytest.raises(Failed, match="The user was asked to"):
            await agent.call("trigger_runs", **call_args, env=env)
    assert "LD_PRELOAD='/evil.so'" in person.questions[0]


async def test_without_elicitation_confirmation_is_an_argument(job_id: int, era: str) -> None:
    before = runs_of(job_id)
    async with connected(serving(ask_above=2), era) as agent:
        call_args = {"job_id": job_id, "arguments": [["a"]] * 3, "request_id": new()}
        with pytest.raises(Failed, match="Confirmation needed to start 3 runs"):
            await agent.call("trigger_runs", **call_args)
        assert runs_of(job_id) == before
        assert len((await agent.call("trigger_runs", **call_args, confirm=True))["runs"]) == 3


# Plans.


async def test_a_plan_is_carried_out_only_as_it_was_shown(
    captured: CapturedLauncher, tmp_path: Path, era: str
) -> None:
    name = f"changing {new()}"
    job_id = captured.launcher.deploy(make_project(tmp_path / "old"), name=name).targets[0].job_id
    assert job_id is not None
    before = runs_of(job_id)
    async with connected(serving(), era) as agent:
        call_args = {"job_id": job_id, "arguments": [["a"], ["b"]], "request_id": new()}
        planned = await agent.call("trigger_runs", **call_args, dry_run=True)
        token = planned["plan"]["token"]
        assert planned["runs"] == []
        assert planned["plan"]["steps"][0] == f"start 2 runs of job {name} ({job_id})"
        for other in ({"arguments": [["a"], ["c"]]}, {"env": {"A": "1"}}, {"request_id": new()}):
            with pytest.raises(Failed, match="is the plan of another call"):
                await agent.call("trigger_runs", **{**call_args, **other}, plan_token=token)
        with pytest.raises(Failed, match="there is no plan"):
            await agent.call("trigger_runs", **call_args, plan_token=f"plan-{'0' * 32}")
        with pytest.raises(Failed, match="there is no plan"):
            await agent.call("trigger_runs", **call_args, plan_token="../../etc/passwd")
        with pytest.raises(Failed, match="is the plan of another call"):
            await agent.call("cancel_runs", run_ids=[1], plan_token=token, confirm=True)

        captured.launcher.deploy(make_project(tmp_path / "new", greeting=new()), name=name)
        with pytest.raises(Failed, match=r"has changed: .*tasks.main.libraries\[1\].whl"):
            await agent.call("trigger_runs", **call_args, plan_token=token)
        assert runs_of(job_id) == before

        token = (await agent.call("trigger_runs", **call_args, dry_run=True))["plan"]["token"]
    async with connected(serving(), era) as agent:  # another server knows it too
        result = await agent.call("trigger_runs", **call_args, plan_token=token)
        again = make_project(tmp_path / "newer", greeting=new())
        await anyio.to_thread.run_sync(finished, job_id)
        captured.launcher.deploy(again, name=name)
        repeated = await agent.call("trigger_runs", **call_args, plan_token=token)
    assert (repeated["repeated"], repeated["runs"]) == (True, result["runs"])
    assert runs_of(job_id) - before == {int(run["id"]) for run in result["runs"]}


@pytest.mark.parametrize(
    "given",
    [
        {"arguments": [["a\0b"]]},
        {"arguments": [["x" * 20_000]]},
        {"env": {"A=B": "c"}},
        {"secret_env_vars": ["NOT_SET_ANYWHERE"]},
    ],
    ids=lambda given: str(given)[:30],
)
async def test_what_cannot_be_started_has_no_plan(
    job_id: int, era: str, given: dict[str, Any]
) -> None:
    call_args = {"job_id": job_id, "arguments": [["a"]], "request_id": new(), **given}
    person = Person("accept", True)
    server = serving(secret_env_vars=("NOT_SET_ANYWHERE",), ask_above=0)
    async with connected(server, era, elicitation_callback=person) as agent:
        said = []
        for how in ({"dry_run": True}, {}):
            with pytest.raises(Failed) as refused:
                await agent.call("trigger_runs", **call_args, **how)
            said.append(str(refused.value))
    assert said[0] == said[1]
    assert person.questions == []


async def test_what_cannot_be_repaired_has_no_plan(
    captured: CapturedLauncher, job_id: int, tmp_path: Path, era: str
) -> None:
    well = captured.launcher.trigger_run(job_id, ["a"], wait=True).run_id
    name = f"changing {new()}"
    target = captured.launcher.deploy(make_project(tmp_path / "old"), name=name).targets[0]
    assert target.job_id is not None
    badly = captured.launcher.trigger_run(target.job_id, ["fail"], wait=True).run_id
    async with connected(serving(), era) as agent:
        with pytest.raises(Failed, match="has no failed tasks to repair"):
            await agent.call("repair_run", run_id=well, request_id=new(), dry_run=True)
        planned = await agent.call("repair_run", run_id=badly, request_id=new(), dry_run=True)
        assert planned["plan"]["steps"] == [f"retry failed tasks of run {badly}: main"]
        captured.launcher.deploy(make_project(tmp_path / "new", greeting=new()), name=name)
        with pytest.raises(Failed, match="was deployed again after"):
            await agent.call("repair_run", run_id=badly, request_id=new(), dry_run=True)
        call_args = {"run_id": badly, "request_id": new(), "with_current": True}
        assert (await agent.call("repair_run", **call_args, dry_run=True))["plan"]["token"]


# Results.


async def test_ids_are_strings_in_next_steps_too(job_id: int, tmp_path: Path, era: str) -> None:
    """A model copies them from there, and clients round large numbers."""
    gate = tmp_path / "gate"
    async with connected(serving(), era) as agent:
        call_args = {"job_id": job_id, "arguments": [["wait-for", str(gate)]], "request_id": new()}
        run_id = (await agent.call("trigger_runs", **call_args))["runs"][0]["id"]
        said = [
            (await agent.call("get_job", job_id=job_id))["next"],
            (await agent.call("get_run", run_id=run_id))["next"],
            (await agent.call("explain_failure", run_id=run_id))["next"],
            (await agent.call("wait_for_runs", run_ids=[run_id], timeout_seconds=0))["next"],
        ]
        gate.touch()
        while not (await agent.call("wait_for_runs", run_ids=[run_id]))["all_finished"]:
            pass
        said.append((await agent.call("get_run", run_id=run_id))["next"])
    assert f'trigger_runs (job_id "{job_id}")' in said[0]
    assert all(f'"{run_id}"' in text for text in said[1:])


async def test_the_message_about_a_task_is_data(job_id: int, era: str) -> None:
    run_id = Launcher().trigger_run(job_id, ["fail"], wait=True).run_id
    async with connected(serving(), era) as agent:
        (task,) = (await agent.call("get_run", run_id=run_id))["tasks"]
    assert task["message"].startswith("<<<")
    assert task["message"].endswith(">>> end of data")


# Ownership and limits.


def test_a_job_is_requested_once_for_all_of_its_runs_to_cancel(
    endpoint: Endpoint, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients give up on a call after a minute, and a call may name 100 runs."""
    run_ids = [Launcher().trigger_run(job_id, ["a"]).run_id for _ in range(3)]
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        gateway = Gateway(Policy())
        assert len(actions.plan_cancel(gateway, CancelRequest(tuple(run_ids)))) == 3
        paths = [request.path for request in proxy.requests]
    assert len([path for path in paths if path.endswith("/jobs/get")]) == 1
    assert len([path for path in paths if path.endswith("/jobs/runs/get")]) == 3


async def test_only_what_lakeflow_created_is_changed(
    job_id: int, foreign_id: int, tmp_path: Path, era: str
) -> None:
    launcher = Launcher()
    run = launcher.trigger_run(foreign_id, ["fail"], wait=True)
    changes: list[tuple[str, dict[str, Any]]] = [
        ("trigger_runs", {"job_id": foreign_id, "arguments": [["a"]], "request_id": new()}),
        ("cancel_runs", {"run_ids": [run.run_id]}),
        ("repair_run", {"run_id": run.run_id, "request_id": new()}),
    ]
    before = runs_of(foreign_id)
    async with connected(serving(), era) as agent:
        for tool, arguments in changes:
            with pytest.raises(Failed, match="was not created by lakeflow"):
                await agent.call(tool, **arguments, confirm=True)
            with pytest.raises(Failed, match="was not created by lakeflow"):
                await agent.call(tool, **arguments, dry_run=True)
        assert (await agent.call("get_job", job_id=foreign_id))["created_by_lakeflow"] is False
        assert (await agent.call("explain_failure", run_id=run.run_id))["failed"] is True
    assert runs_of(foreign_id) == before
    async with connected(serving(all_resources=True), era) as agent:
        result = await agent.call(*changes[0][:1], **changes[0][1])
    assert runs_of(foreign_id) - before == {int(result["runs"][0]["id"])}


async def test_caps(job_id: int, tmp_path: Path, era: str) -> None:
    make_project(tmp_path)
    wheels = [path.name for path in tmp_path.glob("*.whl")]
    before = runs_of(job_id)
    async with connected(serving(max_copies=2, max_workers=3, roots=(tmp_path,)), era) as agent:
        with pytest.raises(Failed, match="this server starts at most 2"):
            await agent.call("trigger_runs", job_id=job_id, arguments=[["a"]] * 3, request_id=new())
        with pytest.raises(Failed, match="this server allows at most 3"):
            await agent.call("plan_deploy", wheels=wheels, max_workers=4)
        with pytest.raises(Failed, match="this server allows at most 3"):
            await agent.call("deploy_wheels", wheels=wheels, max_workers=4, confirm=True)
        with pytest.raises(Failed, match="does not pass these variables"):
            await agent.call(
                "trigger_runs",
                job_id=job_id,
                arguments=[["a"]],
                request_id=new(),
                secret_env_vars=["DATABRICKS_TOKEN"],
            )
    assert runs_of(job_id) == before


def test_read_only_is_enforced_below_the_tools(
    endpoint: Endpoint, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: the policy refuses, and the launcher below it sends only GET and HEAD."""
    make_project(tmp_path)
    wheels = [str(path) for path in tmp_path.glob("*.whl")]
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        policy = Policy(read_only=True, roots=(tmp_path,), allow_build=True)
        gateway = Gateway(policy)
        deploy = DeployWheelsRequest(tuple(wheels), f"new {new()}")
        changes = actions.plan_deploy(gateway, deploy)
        assert ("create", "job") in [(change.kind, change.resource.kind) for change in changes]
        for change in (
            lambda: actions.trigger(gateway, TriggerRequest(job_id, (("a",),), new()), None),
            lambda: actions.cancel(gateway, CancelRequest((1,)), None),
            lambda: actions.repair(gateway, RepairRequest(1, new()), None),
            lambda: actions.deploy(gateway, deploy, None),
            lambda: actions.plan_build(gateway, BuildRequest(".")),
            lambda: actions.build_and_deploy(gateway, BuildRequest("."), None),
        ):
            with pytest.raises(Refused, match="read-only"):
                change()
        launcher = Launcher(read_only=True)
        with (
            pytest.raises(Refused, match="read-only"),
            launcher.runs.begin_trigger(job_id, [["a"]], request_id=new()) as pending,
        ):
            pending.start()
        with pytest.raises(Refused, match="read-only"):
            launcher.deploy(wheels=[*map(Path, wheels)], name=f"new {new()}")
        with pytest.raises(Refused, match="read-only"):
            launcher.jobs.delete(job_id)
        assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}


async def test_the_next_call_finds_a_workspace_that_was_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("LAKEFLOW_WORKSPACE", "local")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    try:
        port = int(daemon.ensure_up().host.rpartition(":")[2])
        async with connected(serving()) as agent:
            assert (await agent.call("list_jobs"))["total"] == 0
            daemon.reset()
            daemon.ensure_up(port=port)
            with pytest.raises(Failed, match="<workspace> refused"):
                await agent.call("list_jobs")
            assert (await agent.call("list_jobs"))["total"] == 0
    finally:
        daemon.down()


async def test_no_result_holds_a_secret(
    endpoint: Endpoint, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    """A job prints the server's token, its host and a secret that it received."""
    monkeypatch.setenv("HANDED_OVER", "canary-5f0e1d7c")
    secret = ["HANDED_OVER"]
    host = endpoint.host.partition("://")[2]
    async with connected(serving(secret_env_vars=tuple(secret)), era) as agent:
        result = await agent.call(
            "trigger_runs",
            job_id=job_id,
            arguments=[[endpoint.token, host, "canary-5f0e1d7c"]],
            request_id=new(),
            secret_env_vars=secret,
        )
        run_id = result["runs"][0]["id"]
        while not (await agent.call("wait_for_runs", run_ids=[run_id]))["all_finished"]:
            pass
        shown = [result] + [
            await agent.call(tool, run_id=run_id)
            for tool in ("get_run", "read_logs", "explain_failure", "read_outputs")
        ]
        shown.append(await agent.call("list_runs", job_id=job_id))
        shown.append(await agent.client.read_resource(f"lakeflow://runs/{run_id}"))
    assert "<redacted>" in str(shown)
    assert "<workspace>" in str(shown)
    for hidden in (endpoint.token, host, "canary-5f0e1d7c"):
        assert hidden not in str(shown)
    async with connected(serving(links=True), era) as agent:
        shown = await agent.call("get_run", run_id=run_id)
    assert shown["run"]["link"].startswith(f"{endpoint.host}/")
