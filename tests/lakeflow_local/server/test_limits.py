"""Limits, and settings that are stored without effect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import (
    JobEmailNotifications,
    JobsHealthMetric,
    JobsHealthOperator,
    JobsHealthRule,
    JobsHealthRules,
    RunLifeCycleState,
    Webhook,
    WebhookNotifications,
)

from lakeflow.resources.termination_codes import meaning_of
from lakeflow_local import daemon
from lakeflow_local.compute.execution_contexts import DRIVER_CONTEXTS
from tests.lakeflow_local.helpers import (
    connect,
    finish,
    make_job,
    probe_task,
    probe_wheel,
    python_task,
    result_of,
    start_cluster,
    trigger,
    until,
    upload,
)


def test_max_processes_limits_the_tasks_at_once(state: Path, tmp_path: Path) -> None:
    """Two run, each in its folder; the third is PENDING until one of them is gone."""
    client = connect(daemon.ensure_up(max_processes=2))
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    cluster = start_cluster(client)
    task = probe_task(cluster, wheel, "hold", str(tmp_path / "pids-{{job.run_id}}"))
    job_id = make_job(client, [task], max_concurrent_runs=3)
    run_ids = [trigger(client, job_id) for _ in range(3)]

    def phases() -> list[str]:
        runs = [client.jobs.get_run(run_id) for run_id in run_ids]
        return [state_of(run.as_dict()["tasks"][0]) for run in runs]

    until(lambda: phases() == ["RUNNING", "RUNNING", "PENDING"] or None)
    until(lambda: len(list(tmp_path.glob("pids-*"))) == 2 or None)
    client.jobs.cancel_run(run_ids[0])
    until(lambda: phases() == ["TERMINATED", "RUNNING", "RUNNING"] or None)
    for run_id in run_ids[1:]:
        client.jobs.cancel_run(run_id)


@pytest.mark.skipif(not os.environ.get("LAKEFLOW_SOAK"), reason="146 processes: LAKEFLOW_SOAK=1")
def test_a_task_over_the_limit_of_its_driver_fails(state: Path) -> None:
    """It fails at once, and the others continue; when one of them is gone another can start."""
    client = connect(daemon.ensure_up(max_processes=DRIVER_CONTEXTS + 2))
    cluster = start_cluster(client)
    program = python_task(client, cluster, "import time; time.sleep(600)")
    job_id = make_job(client, [program], max_concurrent_runs=200)
    run_ids = [trigger(client, job_id) for _ in range(DRIVER_CONTEXTS)]

    def running() -> int:
        runs = client.jobs.list_runs(job_id=job_id, active_only=True)
        return [run.state and run.state.life_cycle_state for run in runs].count(
            RunLifeCycleState.RUNNING
        )

    until(lambda: running() == DRIVER_CONTEXTS or None)
    refused = finish(client, trigger(client, job_id))
    assert refused.state
    assert refused.state.life_cycle_state == RunLifeCycleState.INTERNAL_ERROR
    assert refused.tasks
    (task,) = refused.as_dict()["tasks"]
    details = task["status"]["termination_details"]
    assert details["code"] == "MAX_SPARK_CONTEXTS_EXCEEDED"
    assert (
        "Too many execution contexts are open right now. (Limit set to 150)" in details["message"]
    )
    assert "some 145 runs are the most" in str(meaning_of(details["code"], details["message"]))
    assert running() == DRIVER_CONTEXTS
    client.jobs.cancel_run_and_wait(run_ids[0])
    trigger(client, job_id)
    until(lambda: running() == DRIVER_CONTEXTS or None)
    client.jobs.cancel_all_runs(job_id=job_id)


def state_of(task: dict[str, Any]) -> str:
    return str(task["state"]["life_cycle_state"])


def test_notifications_and_health_rules_are_kept(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    kept: dict[str, Any] = {
        "email_notifications": JobEmailNotifications(on_failure=["ann@example.com"]),
        "webhook_notifications": WebhookNotifications(on_start=[Webhook(id="x")]),
        "health": JobsHealthRules(
            rules=[
                JobsHealthRule(
                    JobsHealthMetric.RUN_DURATION_SECONDS, JobsHealthOperator.GREATER_THAN, 5
                )
            ]
        ),
    }
    job_id = make_job(client, [probe_task(cluster, wheel, "version")], **kept)
    settings = client.jobs.get(job_id).settings
    assert settings
    for name, value in kept.items():
        assert getattr(settings, name).as_dict() == value.as_dict()
    assert result_of(finish(client, trigger(client, job_id))) == "SUCCESS"
