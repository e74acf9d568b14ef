"""Jobs of several tasks: order, conditions, what a failure does to the others, repairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue
from databricks.sdk.service.jobs import JobSettings, Run, RunIf, SubmitTask, Task, TaskDependency

from lakeflow_local.runs.conditions import decide
from tests.lakeflow_local.helpers import (
    finish,
    logs,
    make_job,
    output,
    probe_task,
    repair,
    result_of,
    results,
    trigger,
    until,
)


def after(*keys: str) -> list[TaskDependency]:
    return [TaskDependency(key) for key in keys]


def run_tasks(client: WorkspaceClient, tasks: list[Task], **options: Any) -> Run:
    return finish(client, trigger(client, make_job(client, tasks, **options)))


def test_tasks_run_in_their_order(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    tasks = [
        probe_task(cluster, wheel, "echo", task_key="last", depends_on=after("left", "right")),
        probe_task(cluster, wheel, "echo", task_key="left", depends_on=after("first")),
        probe_task(cluster, wheel, "echo", task_key="right", depends_on=after("first")),
        probe_task(cluster, wheel, "echo", task_key="first"),
    ]
    run = run_tasks(client, tasks)
    assert result_of(run) == "SUCCESS"
    spans = {task.task_key: task for task in run.tasks or ()}
    for key, upstream in (("last", "left"), ("last", "right"), ("left", "first")):
        assert (spans[key].start_time or 0) >= (spans[upstream].end_time or 0)


def test_blocked_until_its_turn(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    tasks = [
        probe_task(cluster, wheel, "hold", str(tmp_path / "pids"), task_key="first"),
        probe_task(cluster, wheel, "echo", task_key="second", depends_on=after("first")),
    ]
    run_id = trigger(client, make_job(client, tasks))
    until(lambda: (tmp_path / "pids").exists() or None)
    second = (client.jobs.get_run(run_id).tasks or [])[1]
    assert second.state
    assert second.state.life_cycle_state
    assert second.state.life_cycle_state.value == "BLOCKED"
    assert second.status
    assert second.status.state
    assert second.status.state.value == "BLOCKED"
    assert not second.start_time
    client.jobs.cancel_run(run_id)
    run = finish(client, run_id)
    never = (run.tasks or [])[1]
    assert (never.start_time or 0, never.setup_duration or 0) == (0, 0)
    assert result_of(run) == "CANCELED"
    assert results(run) == {"first": "CANCELED", "second": "CANCELED"}


def test_a_failure_goes_downstream(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    def task(key: str, function: str, *upstream: str, run_if: RunIf | None = None) -> Task:
        return probe_task(
            cluster, wheel, function, task_key=key, depends_on=after(*upstream), run_if=run_if
        )

    run = run_tasks(
        client,
        [
            task("good", "echo"),
            task("bad", "fail"),
            task("next", "echo", "bad"),
            task("after_next", "echo", "next"),
            task("always", "echo", "bad", run_if=RunIf.ALL_DONE),
            task("one_of", "echo", "bad", "good", run_if=RunIf.AT_LEAST_ONE_SUCCESS),
            task("on_failure", "echo", "bad", run_if=RunIf.ALL_FAILED),
            task("no_failure", "echo", "good", run_if=RunIf.AT_LEAST_ONE_FAILED),
        ],
    )
    assert results(run) == {
        "good": "SUCCESS",
        "bad": "FAILED",
        "next": "UPSTREAM_FAILED",
        "after_next": "UPSTREAM_FAILED",
        "always": "SUCCESS",
        "one_of": "SUCCESS",
        "on_failure": "SUCCESS",
        "no_failure": "EXCLUDED",
    }
    assert run.state
    assert run.state.as_dict() == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": "Task bad failed with message: Workload failed, see run output for"
        " details. This caused all downstream tasks to get skipped.",
        "user_cancelled_or_timedout": False,
    }


def test_leaves_decide(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    """A failure that was handled is none of the run's."""
    run = run_tasks(
        client,
        [
            probe_task(cluster, wheel, "fail", task_key="bad"),
            probe_task(
                cluster,
                wheel,
                "echo",
                task_key="handler",
                depends_on=after("bad"),
                run_if=RunIf.AT_LEAST_ONE_FAILED,
            ),
        ],
    )
    assert result_of(run) == "SUCCESS_WITH_FAILURES"


@pytest.mark.parametrize(
    ("run_if", "upstream", "expected"),
    [
        ("ALL_SUCCESS", ["SUCCESS", "EXCLUDED"], None),
        ("ALL_SUCCESS", ["SUCCESS", "TIMEDOUT"], "UPSTREAM_FAILED"),
        ("ALL_SUCCESS", ["SUCCESS", "CANCELED"], "UPSTREAM_CANCELED"),
        ("ALL_DONE", ["EXCLUDED", "EXCLUDED"], "EXCLUDED"),
        ("NONE_FAILED", ["EXCLUDED", "SUCCESS"], None),
        ("NONE_FAILED", ["UPSTREAM_FAILED"], "UPSTREAM_FAILED"),
        ("AT_LEAST_ONE_SUCCESS", ["FAILED", "EXCLUDED"], "UPSTREAM_FAILED"),
        ("AT_LEAST_ONE_FAILED", ["CANCELED", "SUCCESS"], None),
        ("ALL_FAILED", ["FAILED", "SUCCESS"], "EXCLUDED"),
    ],
)
def test_run_if(run_if: str, upstream: list[str], expected: str | None) -> None:
    outcome = decide(run_if, upstream)
    assert (outcome and outcome.result) == expected


def test_canceling_one_task(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    """It goes downstream, but for those that handle it."""
    tasks = [
        probe_task(cluster, wheel, "hold", str(tmp_path / "pids"), task_key="held"),
        probe_task(cluster, wheel, "echo", task_key="next", depends_on=after("held")),
        probe_task(
            cluster,
            wheel,
            "echo",
            task_key="cleanup",
            depends_on=after("held"),
            run_if=RunIf.ALL_DONE,
        ),
    ]
    run_id = trigger(client, make_job(client, tasks))
    until(lambda: (tmp_path / "pids").exists() or None)
    held = (client.jobs.get_run(run_id).tasks or [])[0].run_id
    assert held
    client.jobs.cancel_run(held)
    run = finish(client, run_id)
    assert results(run) == {"held": "CANCELED", "next": "UPSTREAM_CANCELED", "cleanup": "SUCCESS"}
    assert result_of(run) == "CANCELED"


def test_the_time_of_a_run_counts_for_all_its_tasks(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    """Also where the limit is set while the run is active."""
    tasks = [
        probe_task(cluster, wheel, "hold", str(tmp_path / "pids"), task_key="held", max_retries=3),
        probe_task(cluster, wheel, "echo", task_key="next", depends_on=after("held")),
    ]
    job_id = make_job(client, tasks)
    run_id = trigger(client, job_id)
    until(lambda: (tmp_path / "pids").exists() or None)
    client.jobs.update(job_id, new_settings=JobSettings(timeout_seconds=1))
    run = finish(client, run_id)
    assert results(run) == {"held": "TIMEDOUT", "next": "TIMEDOUT"}
    assert result_of(run) == "TIMEDOUT"
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code
    assert run.status.termination_details.code.value == "CANCELED"


def test_a_one_time_run(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    first = SubmitTask.from_dict(probe_task(cluster, wheel, "echo", "a", task_key="a").as_dict())
    second = SubmitTask.from_dict(
        probe_task(cluster, wheel, "echo", "b", task_key="b", depends_on=after("a")).as_dict()
    )
    before = [job.job_id for job in client.jobs.list()]
    given: dict[str, Any] = {
        "run_name": "once",
        "tasks": [first, second],
        "idempotency_token": "submit",
    }
    run_id: int = client.jobs.submit(**given).run_id
    run = finish(client, run_id)
    assert result_of(run) == "SUCCESS"
    assert run.run_name == "once"
    assert run.run_type
    assert run.run_type.value == "SUBMIT_RUN"
    assert json.loads(logs(output(client, run, 1)))["argv"] == ["probe", "b"]
    assert [job.job_id for job in client.jobs.list()] == before
    assert client.jobs.submit(**given).run_id == run_id
    listed = [item.run_id for item in client.jobs.list_runs(job_id=run.job_id)]
    assert listed == [run_id]


def test_a_deleted_run(client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path) -> None:
    job_id = make_job(client, [probe_task(cluster, wheel, "hold", str(tmp_path / "pids"))])
    run_id = trigger(client, job_id, idempotency_token="deleted")
    with pytest.raises(BadRequest, match="still active"):
        client.jobs.delete_run(run_id)
    client.jobs.cancel_all_runs(job_id=job_id)
    finish(client, run_id)
    client.jobs.delete_run(run_id)
    assert list(client.jobs.list_runs(job_id=job_id)) == []
    with pytest.raises(BadRequest, match="was deleted"):
        trigger(client, job_id, idempotency_token="deleted")


def test_repair(client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path) -> None:
    """Only what failed runs again, under the same run id, with parameters sent again."""
    needed = tmp_path / "needed"
    tasks = [
        probe_task(cluster, wheel, "echo", task_key="good"),
        probe_task(
            cluster,
            wheel,
            "need",
            "{{job.parameters.path}}",
            task_key="bad",
            depends_on=after("good"),
        ),
        probe_task(cluster, wheel, "echo", task_key="next", depends_on=after("bad")),
    ]
    job_id = make_job(client, tasks, parameters={"path": str(tmp_path / "default")})
    run_id = trigger(client, job_id, job_parameters={"path": str(needed)})
    assert result_of(finish(client, run_id)) == "FAILED"
    needed.touch()

    first = repair(client, run_id, rerun_all_failed_tasks=True)
    assert result_of(finish(client, run_id)) == "FAILED"  # the parameter was not sent again
    with pytest.raises(InvalidParameterValue, match="latest_repair_id"):
        client.jobs.repair_run(run_id, rerun_tasks=["bad"])
    second = repair(
        client,
        run_id,
        latest_repair_id=first,
        rerun_tasks=["bad"],
        rerun_dependent_tasks=True,
        job_parameters={"path": str(needed)},
    )
    run = finish(client, run_id)
    assert result_of(run) == "SUCCESS"
    keys = [(task.task_key, task.attempt_number) for task in run.tasks or ()]
    assert sorted(keys) == [("bad", n) for n in range(3)] + [("good", 0)] + [
        ("next", n) for n in range(3)
    ]
    history = client.jobs.get_run(run_id, include_history=True).repair_history or []
    assert [item.type and item.type.value for item in history] == ["ORIGINAL", "REPAIR", "REPAIR"]
    assert [item.id for item in history] == [None, first, second]
    assert [len(item.task_run_ids or ()) for item in history] == [3, 2, 2]
    assert [
        item.state and item.state.result_state and item.state.result_state.value for item in history
    ] == ["FAILED", "FAILED", "SUCCESS"]
    with pytest.raises(InvalidParameterValue, match="no tasks that can be repaired"):
        client.jobs.repair_run(run_id, latest_repair_id=second, rerun_all_failed_tasks=True)


def test_a_repair_uses_the_current_settings(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    job_id = make_job(client, [probe_task(cluster, wheel, "fail", max_retries=1)])
    run_id = trigger(client, job_id)
    assert len(finish(client, run_id).tasks or ()) == 2
    changed = probe_task(cluster, wheel, "echo")
    client.jobs.update(job_id, new_settings=JobSettings(tasks=[changed]))
    client.jobs.repair_run(run_id, rerun_tasks=["main"])
    assert result_of(finish(client, run_id)) == "SUCCESS"
