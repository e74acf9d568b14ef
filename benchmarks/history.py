"""What many runs of the past cost the local workspace: memory of its server, time of a list.

Memory: resident, after runs of a trivial wheel that were really run, all triggered at once so that
most wait, beside the same server before them. Lists: the newest page over HTTP of a workspace that
holds many finished runs, written by the lifecycle's functions; the floor is a request that reads
nothing. Runs, MiB and wall milliseconds.

    ./pants run benchmarks/history.py -- [RUNS] [STORED]
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Library
from databricks.sdk.service.jobs import PythonWheelTask, Task

from benchmarks.probe import connect, judge, make_probe, temporary_workspace, wheel_of
from lakeflow_local import daemon
from lakeflow_local.runs import lifecycle
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.database import now
from lakeflow_local.storage.repositories import Storage

BATCH = 1000
REQUESTS = 200
API = "/api/2.2/jobs"


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    stored = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with temporary_workspace() as state:
        client = connect()
        job_id = make_direct_job(client, state)
        before = resident()
        run_all(client, job_id, count)
        print(f"{'':34}{'before':>8}{'after':>8}   MiB, {count} runs")
        after = resident()
        print(f"{'memory of the server':34}{before:8.0f}{after:8.0f}")
        judge(f"memory of the server after {count} runs, MiB", after, 143)  # 150 MB
    with temporary_workspace() as state:
        probe = make_probe(state)
        daemon.down()
        store_runs(state / "local" / "workspace.sqlite", probe.job_id, stored)
        connect()
        print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}   ms, {REQUESTS} each, {stored} runs")
        for name, path in (
            ("newest page", f"{API}/runs/list"),
            ("newest page with tasks", f"{API}/runs/list?expand_tasks=true"),
            ("newest page of a job", f"{API}/runs/list?job_id={probe.job_id}"),
            ("active runs", f"{API}/runs/list?active_only=true"),
            ("floor: who I am", "/api/2.0/preview/scim/v2/Me"),
        ):
            times = ask_often(path)
            cells = (statistics.median(times), min(times), max(times))
            print(f"{name:34}" + "".join(f"{1000 * cell:8.1f}" for cell in cells))
            if not name.startswith("floor"):
                judge(f"{name}, of {stored} runs, ms", 1000 * cells[0], 10)


def resident() -> float:
    """MiB of memory that the server has."""
    status = daemon.status()
    assert status is not None
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(status.pid)], check=True, capture_output=True
    )
    return int(shown.stdout) / 1024


def make_direct_job(client: WorkspaceClient, state: Path) -> int:
    """A job that calls the trivial wheel without the runner, on one cluster."""
    cluster = client.clusters.create_and_wait(
        spark_version=client.clusters.select_spark_version(long_term_support=True),
        node_type_id=client.clusters.select_node_type(local_disk=True),
        num_workers=0,
    )
    wheel = wheel_of(state)
    path = f"/Volumes/main/default/lakeflow/{wheel.name}"
    with open(wheel, "rb") as file:
        client.files.upload(path, file)
    task = Task(
        task_key="main",
        existing_cluster_id=cluster.cluster_id,
        libraries=[Library(whl=path)],
        python_wheel_task=PythonWheelTask("probe", "lakeflow-task", parameters=["/dev/null"]),
    )
    job_id = client.jobs.create(name="many", tasks=[task], max_concurrent_runs=1000).job_id
    assert job_id is not None
    return job_id


def run_all(client: WorkspaceClient, job_id: int, count: int) -> None:
    """Run a job that many times, at most 1000 at a time; every run must succeed."""
    left = count
    while left:
        share = min(BATCH, left)
        for _ in range(share):
            client.jobs.run_now(job_id)
        while any(client.jobs.list_runs(job_id=job_id, active_only=True, limit=1)):
            time.sleep(0.2)
        left -= share
    succeeded = 0
    for run in client.jobs.list_runs(job_id=job_id, completed_only=True):
        assert run.state is not None
        assert run.state.result_state is not None
        succeeded += run.state.result_state.value == "SUCCESS"
    assert succeeded == count


def store_runs(path: Path, job_id: int, count: int) -> None:
    """Put finished runs of a job into the database of a workspace that is down."""
    storage = Storage(path)
    job = storage.jobs.get(job_id)
    assert job is not None
    started = now() - count
    for start in range(0, count, BATCH):
        with storage.transaction():
            for moment in range(started + start, started + min(start + BATCH, count)):
                run_id = lifecycle.create(storage, job_id, job.settings, {}, moment)
                (task,) = storage.task_runs.latest(run_id).values()
                lifecycle.finish_task(storage, task, outcomes.SUCCEEDED, moment)
    storage.close()


def ask_often(path: str) -> list[float]:
    """Seconds of requests on one connection."""
    endpoint = daemon.ensure_up()
    connection = http.client.HTTPConnection(endpoint.host.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {endpoint.token}"}

    def ask() -> None:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()

    ask()
    times = [seconds(ask) for _ in range(REQUESTS)]
    connection.close()
    return times


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
