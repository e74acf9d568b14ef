"""Runs that wait in the queue of their job."""

from __future__ import annotations

from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import RunLifeCycleState

from tests.lakeflow_local.helpers import finish, make_job, present, probe_task, result_of, trigger

TIMEOUT = 4


def test_a_timeout_counts_from_when_a_run_leaves_the_queue(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    task = probe_task(cluster, wheel, "hold", str(tmp_path / "pids"))
    job_id = make_job(client, [task], timeout_seconds=TIMEOUT)  # of API 2.2: it queues
    first, second = trigger(client, job_id), trigger(client, job_id)
    assert present(client.jobs.get_run(second).state).life_cycle_state == RunLifeCycleState.QUEUED
    one, other = finish(client, first), finish(client, second)
    assert result_of(one) == result_of(other) == "TIMEDOUT"
    assert present(other.end_time) >= present(one.end_time) + 1000 * TIMEOUT
