"""dagster-databricks: its client, and the job runner that its step launcher is made of."""

from __future__ import annotations

import io
import logging
from typing import Any

from dagster_databricks import DatabricksClient, DatabricksError
from dagster_databricks.databricks import DatabricksJobRunner
from databricks.sdk.service import jobs

from tests.parity.drivers.tour import Tour, equal

tour = Tour()
facts = tour.facts
runner = DatabricksJobRunner(host=facts.host, token=facts.token, poll_interval_sec=0.2)
client: DatabricksClient = runner.client
log = logging.getLogger("parity")
SCRIPT = b"import sys\nprint('argv', sys.argv[1:])\n"


def wait(run_id: int) -> None:
    client.wait_for_run_to_complete(log, run_id, poll_interval_sec=0.2, max_wait_time_sec=120)


def task(function: str, *parameters: str) -> dict[str, Any]:
    wheel_task = {"package_name": "probe", "entry_point": f"run-{function}"}
    return {
        "task_key": "main",
        "existing_cluster_id": facts.cluster_id,
        "libraries": [{"whl": facts.wheel}],
        "python_wheel_task": {**wheel_task, "parameters": list(parameters)},
    }


def files() -> None:
    path = f"dbfs:///parity/{facts.name}/script.py"
    with tour.call("POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"):
        client.put_file(io.BytesIO(SCRIPT), path, overwrite=True)
    with tour.call("GET dbfs/read"):
        equal(client.read_file(path), SCRIPT)


def runs() -> None:
    api = client.workspace_client.jobs
    with tour.call(
        "POST jobs/runs/submit",
        "POST jobs/runs/submit: a Python file on DBFS",
        "GET jobs/runs/get",
        "POST jobs/runs/submit: waited for by the client",
        "GET jobs/runs/get-output: of a run that was submitted",
    ):
        config = {
            "run_name": facts.name,
            "cluster": {"existing": facts.cluster_id},
            "install_default_libraries": False,
        }
        file = f"dbfs:/parity/{facts.name}/script.py"
        python = {"spark_python_task": {"python_file": file, "parameters": ["one"]}}
        run_id = runner.submit_run(config, python)
        wait(run_id)
        output = api.get_run_output(api.get_run(run_id).tasks[0].run_id)
        equal(output.logs, "argv ['one']\n")
    with tour.call(
        "POST jobs/create",
        "POST jobs/run-now",
        "POST jobs/run-now: waited for by the client",
        "GET jobs/runs/get-output",
        "GET jobs/runs/get-output: of a wheel task, arguments and all",
    ):
        job_id = api.create(
            name=facts.name, tasks=[jobs.Task.from_dict(task("echo", "one"))]
        ).job_id
        run_id = api.run_now(job_id).run_id
        wait(run_id)
        output = api.get_run_output(api.get_run(run_id).tasks[0].run_id)
        equal('["probe", "one"]' in output.logs, True)
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        failing = api.create(name=facts.name, tasks=[jobs.Task.from_dict(task("fail"))]).job_id
        run_id = api.run_now(failing).run_id
        try:
            wait(run_id)
        except DatabricksError as error:
            equal("FAILED" in str(error), True)
        else:
            raise AssertionError("a run that failed was taken for a good one")
        output = api.get_run_output(api.get_run(run_id).tasks[0].run_id)
        equal((output.error, "Traceback" in output.error_trace), ("ValueError: of the test", True))


if __name__ == "__main__":
    files()
    runs()
