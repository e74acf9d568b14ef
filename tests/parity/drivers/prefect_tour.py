"""prefect-databricks: its tasks, called from a flow as its users do."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

os.environ |= {
    "PREFECT_HOME": str(Path("prefect").resolve()),
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "400",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

from prefect import flow
from prefect_databricks import DatabricksCredentials
from prefect_databricks.flows import (
    jobs_runs_submit_and_wait_for_completion,
    jobs_runs_submit_by_id_and_wait_for_completion,
)
from prefect_databricks.jobs import (
    jobs_create,
    jobs_delete,
    jobs_get,
    jobs_list,
    jobs_reset,
    jobs_run_now,
    jobs_runs_cancel,
    jobs_runs_cancel_all,
    jobs_runs_delete,
    jobs_runs_export,
    jobs_runs_get,
    jobs_runs_get_output,
    jobs_runs_list,
    jobs_runs_repair,
    jobs_runs_submit,
    jobs_update,
)
from prefect_databricks.models.jobs import (
    JobTaskSettings,
    Library,
    PythonWheelTask,
    RunSubmitTaskSettings,
)

from tests.parity.drivers.tour import Tour, equal

tour = Tour()
facts = tour.facts
credentials = DatabricksCredentials(
    databricks_instance=facts.host.removeprefix("https://"), token=facts.token
)


def settings(function: str, *parameters: str) -> dict[str, Any]:
    return {
        "task_key": "main",
        "existing_cluster_id": facts.cluster_id,
        "libraries": [Library(whl=facts.wheel)],
        "python_wheel_task": PythonWheelTask(
            package_name="probe", entry_point=f"run-{function}", parameters=list(parameters)
        ),
    }


def task(function: str, *parameters: str) -> JobTaskSettings:
    return JobTaskSettings(**settings(function, *parameters))


async def completed(run_id: int) -> dict[str, Any]:
    while True:
        run: dict[str, Any] = await jobs_runs_get(run_id=run_id, databricks_credentials=credentials)
        if run.get("end_time"):
            return run


async def output(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = await jobs_runs_get_output(
        run_id=run["tasks"][-1]["run_id"], databricks_credentials=credentials
    )
    return found


@flow
async def the_tour() -> None:
    with tour.call("POST jobs/create"):
        created = await jobs_create(credentials, name=facts.name, tasks=[task("echo", "one")])
        job_id = created["job_id"]
    with tour.call("GET jobs/get"):
        got = await jobs_get(job_id=job_id, databricks_credentials=credentials)
        equal(got["settings"]["name"], facts.name)
    with tour.call("GET jobs/list"):
        found = await jobs_list(credentials, expand_tasks=True)
        equal(job_id in [each["job_id"] for each in found["jobs"]], True)
    with tour.call("GET jobs/list: by name"):
        found = await jobs_list(credentials, name=facts.name)
        equal([each["job_id"] for each in found["jobs"]], [job_id])
    with tour.call("GET jobs/list: page by page"):
        await jobs_create(credentials, name=facts.name + "-1", tasks=[task("echo")])
        first, second = [await jobs_list(credentials, limit=1, offset=n) for n in (0, 1)]
        equal(first["jobs"][0]["job_id"] != second["jobs"][0]["job_id"], True)
    with tour.call("POST jobs/update"):
        await jobs_update(
            job_id=job_id, databricks_credentials=credentials, new_settings={"timeout_seconds": 600}
        )
        got = await jobs_get(job_id=job_id, databricks_credentials=credentials)
        equal(got["settings"]["timeout_seconds"], 600)
    with tour.call("POST jobs/reset"):
        new = {"name": facts.name, "tasks": [task("echo", "one")]}
        await jobs_reset(job_id=job_id, databricks_credentials=credentials, new_settings=new)
        got = await jobs_get(job_id=job_id, databricks_credentials=credentials)
        equal(got["settings"].get("timeout_seconds", 0), 0)
    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        run = await completed((await jobs_run_now(credentials, job_id=job_id))["run_id"])
        equal(run["state"]["result_state"], "SUCCESS")
    with tour.call("POST jobs/run-now: the same idempotency token twice"):
        requested = {"job_id": job_id, "idempotency_token": facts.name}
        both = [(await jobs_run_now(credentials, **requested))["run_id"] for _ in "12"]
        equal(both[0], both[1])
        await completed(both[0])
    with tour.call("POST jobs/run-now: waited for by the client"):
        await jobs_runs_submit_by_id_and_wait_for_completion(
            credentials, job_id, python_params=["waited"], poll_frequency_seconds=1
        )
        found = await jobs_runs_list(credentials, job_id=job_id)
        equal(
            '["probe", "waited"]'
            in (await output(await completed(found["runs"][0]["run_id"])))["logs"],
            True,
        )
    with tour.call("GET jobs/runs/list"):
        found = await jobs_runs_list(credentials, job_id=job_id)
        equal(run["run_id"] in [each["run_id"] for each in found["runs"]], True)
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        equal('["probe", "one"]' in (await output(run))["logs"], True)
    with tour.call(
        "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"
    ):
        one = RunSubmitTaskSettings(**settings("echo", "submitted"))
        submitted = await jobs_runs_submit(credentials, tasks=[one], run_name="parity")
        logs = (await output(await completed(submitted["run_id"])))["logs"]
        equal('["probe", "submitted"]' in logs, True)
    with tour.call("POST jobs/runs/submit: waited for by the client"):
        await jobs_runs_submit_and_wait_for_completion(
            credentials, tasks=[one], run_name="waited", poll_frequency_seconds=1
        )
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        created = await jobs_create(credentials, name=facts.name, tasks=[task("fail")])
        failing = created["job_id"]
        failed = await completed((await jobs_run_now(credentials, job_id=failing))["run_id"])
        equal(failed["state"]["result_state"], "FAILED")
        equal((await output(failed))["error"], "ValueError: of the test")
        equal("Traceback" in (await output(failed))["error_trace"], True)
    with tour.call("POST jobs/runs/repair"):
        new = {"name": facts.name, "tasks": [task("echo", "repaired")]}
        await jobs_reset(job_id=failing, databricks_credentials=credentials, new_settings=new)
        await jobs_runs_repair(credentials, run_id=failed["run_id"], rerun_tasks=["main"])
        repaired = await completed(failed["run_id"])
        equal(repaired["state"]["result_state"], "SUCCESS")
    with tour.call("GET jobs/runs/export"):
        await jobs_runs_export(run_id=run["tasks"][0]["run_id"], databricks_credentials=credentials)
    with tour.call("POST jobs/runs/cancel"):
        tasks = [task("await_others", "/", "tmp", "100000")]
        holding = (await jobs_create(credentials, name=facts.name, tasks=tasks))["job_id"]
        held = (await jobs_run_now(credentials, job_id=holding))["run_id"]
        await jobs_runs_cancel(run_id=held, databricks_credentials=credentials)
        equal((await completed(held))["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/cancel-all"):
        held = (await jobs_run_now(credentials, job_id=holding))["run_id"]
        await jobs_runs_cancel_all(job_id=holding, databricks_credentials=credentials)
        equal((await completed(held))["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/delete"):
        await jobs_runs_delete(run_id=held, databricks_credentials=credentials)
        found = await jobs_runs_list(credentials, job_id=holding)
        equal(held in [each["run_id"] for each in found.get("runs", [])], False)
    with tour.call("POST jobs/delete"):
        await jobs_delete(job_id=job_id, databricks_credentials=credentials)
        found = await jobs_list(credentials, name=facts.name)
        equal(job_id in [each["job_id"] for each in found.get("jobs", [])], False)


if __name__ == "__main__":
    asyncio.run(the_tour())
