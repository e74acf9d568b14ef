"""Several clients change the same job, runs and cluster at once: changes are whole or refused."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from databricks.sdk import WorkspaceClient

from lakeflow_local import daemon
from lakeflow_local.compute import processes
from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask, make_job, probe_task, start_cluster, until
from tests.lakeflow_local.state_model import SeenRun

CLIENTS = 6
STEPS = 40


def test_clients_at_once(endpoint: Endpoint, client: WorkspaceClient, wheel: str) -> None:
    """No request fails by the server's fault, and no two of them half undo each other."""
    clusters = [start_cluster(client), start_cluster(client)]
    jobs = [
        make_job(client, [probe_task(cluster, wheel, "nap", seconds)], max_concurrent_runs=3)
        for cluster, seconds in zip(clusters, ("0.1", "600"), strict=True)
    ]
    runs: list[int] = []

    def post(path: str, **body: Any) -> dict[str, Any]:
        response = ask(endpoint, "POST", path, json=body)
        assert response.status_code in (200, 400, 409), (path, body, response.text)
        answer: dict[str, Any] = response.json()
        return answer

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(STEPS):
            path = dice.choice(
                ["run-now"] * 4
                + ["runs/cancel", "runs/repair", "runs/delete", "runs/cancel-all"]
                + ["clusters/start", "clusters/restart", "clusters/delete"]
                + ["clusters/permanent-delete"] * (number == 0)
            )
            if path.startswith("clusters"):
                # The one that is deleted for good is not the one whose runs are looked at.
                cluster = clusters[0 if path.endswith("permanent-delete") else dice.randrange(2)]
                post(f"/api/2.1/{path}", cluster_id=cluster)
            elif path in ("run-now", "runs/cancel-all"):
                run_id = post(f"/api/2.2/jobs/{path}", job_id=dice.choice(jobs)).get("run_id")
                runs.extend([run_id] if run_id else [])
            elif runs:
                how = {"rerun_all_failed_tasks": True} if path == "runs/repair" else {}
                post(f"/api/2.2/jobs/{path}", run_id=dice.choice(runs), **how)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work, number) for number in range(CLIENTS)]:
            done.result()
    for job in jobs:
        client.jobs.cancel_all_runs(job_id=job)
    until(lambda: not any(client.jobs.list_runs(job_id=jobs[1], active_only=True)) or None)
    until(lambda: not any(client.jobs.list_runs(job_id=jobs[0], active_only=True)) or None)
    assert len(set(runs)) == len(runs)
    found = [run for job in jobs for run in client.jobs.list_runs(job_id=job, expand_tasks=True)]
    assert {run.run_id for run in found} <= set(runs)
    for run in found:
        SeenRun(run.run_id or 0, run.job_id, None).see(run.as_dict())
    assert "Traceback" not in (daemon.state_dir() / "local" / "server.log").read_text()
    assert list(processes.marked(f"{client.get_workspace_id()}/")) == []
