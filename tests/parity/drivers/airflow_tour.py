"""apache-airflow-providers-databricks: its hook, with a connection from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.parity.drivers.tour import Tour, equal, until

tour = Tour()
facts = tour.facts
ADDRESS = urlsplit(facts.host).netloc
ENVIRON = {
    "AIRFLOW_HOME": str(Path("airflow").resolve()),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    "AIRFLOW_CONN_DATABRICKS_DEFAULT": f"databricks://:{quote(facts.token)}@{ADDRESS}",
}


def make_hook() -> Any:
    """Airflow reads its environment when it is imported."""
    os.environ.update(ENVIRON)
    from airflow.providers.databricks.hooks.databricks import DatabricksHook

    return DatabricksHook()


hook = make_hook()


def task(function: str, *parameters: str) -> dict[str, Any]:
    wheel_task = {"package_name": "probe", "entry_point": f"run-{function}"}
    return {
        "task_key": "main",
        "existing_cluster_id": facts.cluster_id,
        "libraries": [{"whl": facts.wheel}],
        "python_wheel_task": {**wheel_task, "parameters": list(parameters)},
    }


def completed(run_id: int) -> dict[str, Any]:
    until(lambda: hook.get_run_state(run_id).is_terminal)
    found: dict[str, Any] = hook.get_run(run_id)
    return found


def output(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = hook.get_run_output(run["tasks"][-1]["run_id"])
    return found


def jobs_and_runs() -> None:
    with tour.call("POST jobs/create"):
        job_id = hook.create_job({"name": facts.name, "tasks": [task("echo", "one")]})
    with tour.call("GET jobs/list", "GET jobs/list: page by page"):
        for number in range(2):
            hook.create_job({"name": f"{facts.name}-{number}", "tasks": [task("echo")]})
        found = [each["job_id"] for each in hook.list_jobs(limit=1, expand_tasks=True)]
        equal(job_id in found, True)
    with tour.call("GET jobs/list: by name"):
        equal(hook.find_job_id_by_name(facts.name), job_id)
    with tour.call("POST jobs/update"):
        hook.update_job(job_id, {"timeout_seconds": 600})
        equal(settings(job_id)["timeout_seconds"], 600)
    with tour.call("POST jobs/reset"):
        new = {
            "name": facts.name,
            "tasks": [task("echo", "one")],
            "access_control_list": [{"group_name": "users", "permission_level": "CAN_VIEW"}],
        }
        hook.reset_job(job_id, new)
        equal(settings(job_id).get("timeout_seconds", 0), 0)
    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        run = completed(hook.run_now({"job_id": job_id}))
        equal(hook.get_run_state(run["run_id"]).is_successful, True)
        equal(hook.get_run_page_url(run["run_id"]).endswith(str(run["run_id"])), True)
        equal(hook.get_job_id(run["run_id"]), job_id)
    with tour.call("POST jobs/run-now: the same idempotency token twice"):
        requested = {"job_id": job_id, "idempotency_token": facts.name}
        first, second = (hook.run_now(requested) for _ in "12")
        equal(first, second)
        completed(first)
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        equal('["probe", "one"]' in output(run)["logs"], True)
    with tour.call(
        "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"
    ):
        requested = {"run_name": "parity", "tasks": [task("echo", "submitted")]}
        submitted = completed(hook.submit_run(requested))
        equal('["probe", "submitted"]' in output(submitted)["logs"], True)
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        failing = hook.create_job({"name": facts.name + "-fails", "tasks": [task("fail")]})
        failed = completed(hook.run_now({"job_id": failing}))
        equal(hook.get_run_state(failed["run_id"]).result_state, "FAILED")
        equal(output(failed)["error"], "ValueError: of the test")
        equal("Traceback" in output(failed)["error_trace"], True)
    with tour.call("POST jobs/runs/repair"):
        hook.reset_job(failing, {"name": facts.name, "tasks": [task("echo", "repaired")]})
        repair_id = hook.repair_run({"run_id": failed["run_id"], "rerun_all_failed_tasks": True})
        completed(failed["run_id"])
        equal(hook.get_run_state(failed["run_id"]).is_successful, True)
        equal(hook.get_latest_repair_id(failed["run_id"]), repair_id)
    with tour.call("POST jobs/runs/cancel"):
        tasks = [task("await_others", "/", "tmp", "100000")]
        holding = hook.create_job({"name": facts.name + "-holds", "tasks": tasks})
        held = hook.run_now({"job_id": holding})
        hook.cancel_run(held)
        completed(held)
        equal(hook.get_run_state(held).result_state, "CANCELED")
    with tour.call("POST jobs/runs/cancel-all"):
        held = hook.run_now({"job_id": holding})
        hook.cancel_all_runs(holding)
        completed(held)
        equal(hook.get_run_state(held).result_state, "CANCELED")
    with tour.call("POST jobs/runs/delete"):
        hook.delete_run(held)
    with tour.call("PATCH permissions/jobs/{id}"):
        grant = {"group_name": "users", "permission_level": "CAN_MANAGE_RUN"}
        answer = hook.update_job_permission(job_id, {"access_control_list": [grant]})
        equal("CAN_MANAGE_RUN" in str(answer), True)


def settings(job_id: int) -> dict[str, Any]:
    (found,) = (job for job in hook.list_jobs(expand_tasks=True) if job["job_id"] == job_id)
    created: dict[str, Any] = found["settings"]
    return created


def clusters() -> None:
    wheel = {"cluster_id": facts.cluster_id, "libraries": [{"whl": facts.wheel}]}
    one = {"cluster_id": facts.cluster_id}

    def reach(state: str) -> None:
        until(lambda: hook.get_cluster_state(facts.cluster_id).state == state)

    with tour.call("GET clusters/spark-versions"):
        equal(hook.test_connection()[0], True)
    with tour.call("POST libraries/install"):
        hook.install(wheel)
    with tour.call("POST libraries/uninstall"):
        hook.uninstall(wheel)
    with tour.call("POST clusters/restart", "GET clusters/get"):
        hook.restart_cluster(one)
        reach("RUNNING")
    with tour.call("POST clusters/delete"):
        hook.terminate_cluster(one)
        reach("TERMINATED")
    with tour.call("POST clusters/start"):
        hook.start_cluster(one)
        reach("RUNNING")


def others() -> None:
    with tour.call("GET workspace/get-status"):
        equal(hook.get_repo_by_path(facts.wheel), None)
    with tour.call("GET pipelines"):
        hook.list_pipelines()


if __name__ == "__main__":
    jobs_and_runs()
    clusters()
    others()
