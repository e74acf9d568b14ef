from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from lakeflow.cli.plan_text import plan_lines
from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import job_options
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"schedule": "0 6 * * *"}, "Quartz"),
        ({"schedule": "0 0 6 * * *"}, "Quartz"),
        ({"schedule": "0 0 6 * * ?; rm"}, "Quartz"),
        ({"timezone": "Europe/Berlin"}, "give both"),
        ({"schedule": "0 0 6 * * ?", "timezone": "Mars"}, "is not a time zone"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"timeout": "0"}, "is not a duration"),
        ({"retries": -1}, "--retries"),
        ({"tags": {f"t{n}": "" for n in range(25)}}, "25 tags"),
        ({"tags": {"lakeflow_id": "x"}}, "reserved"),
        ({"notify": ["somebody"]}, "e-mail"),
        ({"notify": ["never:a@example.com"]}, "e-mail"),
        ({"permissions": ["CAN_FLY:a@example.com"]}, "LEVEL:PRINCIPAL"),
        ({"permissions": ["CAN_VIEW"]}, "LEVEL:PRINCIPAL"),
    ],
)
def test_what_the_jobs_api_would_refuse(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        job_options(**given)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90m", 5400), ("2h", 7200)])
def test_times(text: str, seconds: int) -> None:
    assert job_options(timeout=text).timeout == seconds


def test_a_job_with_options_and_a_diff_of_the_next(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    me = captured.launcher.workspace.me
    requested = job_options(
        timeout="2h",
        retries=2,
        tags={"team": "green"},
        notify=["a@example.com", "success:b@example.com"],
        permissions=[f"CAN_MANAGE:{me}"],
        run_as=me,
    )
    job_id = captured.launcher.deploy(manifest, name="options", job=requested).targets[0].job_id
    settings = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    assert settings["timeout_seconds"] == 7200
    assert settings["tasks"][0]["max_retries"] == 2
    assert settings["tags"]["team"] == "green"
    assert settings["email_notifications"] == {
        "on_failure": ["a@example.com"],
        "on_success": ["b@example.com"],
    }
    again = CapturedLauncher()
    again.launcher.deploy(manifest, name="options", job=requested)
    assert any("job options" in line and "unchanged" in line for line in again.lines)

    request = DeployRequest(manifest=manifest, name="options", job=job_options(retries=1))
    lines = [line.strip() for line in plan_lines(captured.launcher.plan(request))]
    assert "tasks.main.max_retries: 2 -> 1" in lines
    assert "timeout_seconds: 7200 -> not set" in lines
    unchanged = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    assert unchanged == settings


def test_code_that_was_changed_back_waits_for_active_runs(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    one = make_project(tmp_path / "one")
    two = make_project(tmp_path / "two", greeting="goodbye")
    captured.launcher.deploy(one, name="busy", calls=[["1"]])
    created = captured.launcher.deploy(
        two, name="busy", calls=[["wait-for", str(gate)]], wait=False
    )
    (run,) = created.targets[0].runs
    captured.launcher.deploy(two, name="busy")  # the same code needs no restart
    with pytest.raises(Refused, match="wait for the job's runs to finish"):
        captured.launcher.deploy(one, name="busy", calls=[["2"]])
    gate.touch()
    captured.launcher.wait([run.run_id])
    cluster_id = created.targets[0].cluster_id
    with pytest.raises(Refused, match="leave out --cluster-id"):
        captured.launcher.deploy(one, name="busy", cluster_id=cluster_id, calls=[["3"]])
    assert captured.launcher.deploy(one, name="busy", calls=[["4"]]).status == "succeeded"


def test_a_job_of_another_maker_gets_python_params(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    deployed = captured.launcher.deploy(make_project(tmp_path), name="ours").targets[0]
    workspace = connect()
    settings = workspace.get("/api/2.2/jobs/get", job_id=deployed.job_id)["settings"]
    (task,) = settings["tasks"]
    task["python_wheel_task"] |= {"package_name": "try_demo", "entry_point": "lakeflow-task"}
    task["python_wheel_task"]["parameters"] = ["as deployed"]
    theirs = {"name": "theirs", "tasks": [task]}
    job_id = workspace.post("/api/2.2/jobs/create", theirs, repeatable=False)["job_id"]
    with pytest.raises(UsageError, match="--env cannot reach it"):
        captured.launcher.trigger_run(job_id, [], env={"A": "b"})
    with pytest.raises(UsageError, match="ASCII"):
        captured.launcher.trigger_run(job_id, ["ü"])
    result = captured.launcher.trigger_run(job_id, ["a", "--b=c"])
    run = workspace.get("/api/2.2/jobs/runs/get", run_id=result.run_id)
    assert run["overriding_parameters"]["python_params"] == ["a", "--b=c"]
    captured.launcher.runs.cancel([result.run_id])


def test_a_schedule_starts_runs_until_it_is_left_out(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    captured.launcher.deploy(manifest, name="scheduled")  # what runs need is made beforehand
    scheduled = job_options(schedule="* * * * * ?", timezone="Europe/Berlin")
    job_id = captured.launcher.deploy(manifest, name="scheduled", job=scheduled).targets[0].job_id
    assert job_id is not None
    there = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]["schedule"]
    assert (there["pause_status"], there["timezone_id"]) == ("UNPAUSED", "Europe/Berlin")
    until = time.monotonic() + 60
    while not (runs := captured.launcher.runs.list(job_id)):
        assert time.monotonic() < until
        time.sleep(0.1)
    captured.launcher.deploy(manifest, name="scheduled")
    assert "schedule" not in connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    result, *_ = captured.launcher.wait([runs[-1].id])
    assert (result.status, result.argv) == ("succeeded", ())
    captured.launcher.jobs.delete(job_id)
