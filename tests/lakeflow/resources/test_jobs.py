from __future__ import annotations

from pathlib import Path
from typing import Any

from lakeflow.resources.jobs import Job, build_settings, differences, identity_of
from lakeflow.specs.compute import ExistingCluster
from lakeflow.specs.job import JobOptions
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.task_wheel import build_task_wheel
from lakeflow.wheels.wheel import read_wheel
from lakeflow_task.protocol import decode_call
from tests.support.wheels import make_wheel


def stamped(folder: Path) -> tuple[StampedWheel, ...]:
    demo = read_wheel(make_wheel(folder, "a-demo", "1.0", {"a.py": ""}))
    return stamp([build_task_wheel(folder / "task"), demo], folder / "stamped")


def settings(folder: Path) -> dict[str, Any]:
    wheels = stamped(folder)
    (own,) = [s for s in wheels if s.wheel.name == "a-demo"]
    return build_settings(
        name="demo",
        description="d",
        identity="i",
        root="/Workspace/x",
        wheel=own,
        libraries=[(s, f"/Workspace/x/{s.wheel.path.name}") for s in wheels],
        placement=ExistingCluster("c", "shared", "local.large"),
        options=JobOptions(),
    )


def test_settings_follow_the_contract(tmp_path: Path) -> None:
    whole = settings(tmp_path)
    (task,) = whole["tasks"]
    (own,) = [s.wheel for s in stamped(tmp_path) if s.wheel.name == "a-demo"]
    assert task["python_wheel_task"]["parameters"] == [
        "--lakeflow-protocol=1",
        "--distribution=a-demo",
        "--entry-point=lakeflow-task",
        "--root=/Workspace/x",
        f"--requires=a-demo=={own.version}",
        "--job-run={{job.run_id}}",
        "--task-run={{task.run_id}}",
        "--attempt={{task.execution_count}}",
        "--call={{job.parameters.lakeflow_call}}",
    ]
    assert (task["max_retries"], whole["max_concurrent_runs"]) == (0, 1000)
    assert whole["queue"] == {"enabled": True}
    assert decode_call(whole["parameters"][0]["default"]).argv == ()


def test_defaults_that_reading_adds_are_no_difference(tmp_path: Path) -> None:
    whole = settings(tmp_path)
    read = {**whole, "format": "MULTI_TASK", "email_notifications": {}, "timeout_seconds": 0}
    read["tasks"] = [{**whole["tasks"][0], "run_if": "ALL_SUCCESS", "email_notifications": {}}]
    assert not differences(whole, Job(1, "demo", read))
    assert differences(whole, Job(1, "demo", {**read, "max_concurrent_runs": 1}))
    assert differences(whole, Job(1, "demo", {**read, "schedule": {"quartz_cron_expression": "x"}}))
    retried = [{**read["tasks"][0], "max_retries": 3}]
    assert differences(whole, Job(1, "demo", {**read, "tasks": retried}))


def test_identity_is_project_target_and_user() -> None:
    identities = {
        identity_of(project, target, user)
        for project in ("p", "q")
        for target in ("a:dist", "b:dist")
        for user in ("me", "you", None)
    }
    assert len(identities) == 12
