"""How long a task takes to start in a warm environment of the local workspace.

From sending `run-now` to the first statement of the user's code, beside the floor: starting
`python -m lakeflow_task` with the same parameters in the same environment. The two take turns.
Times are wall milliseconds.

    ./pants run benchmarks/task_start.py -- [RUNS]
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import jobs

from lakeflow import Launcher
from lakeflow.console import Console
from lakeflow.local import daemon
from lakeflow_task.protocol import encode_call
from tests.support.wheels import make_wheel

PROBE = """
import time
begun = time.time()
import json, sys
def main():
    with open(sys.argv[1], "w") as file:
        json.dump({"begun": begun, "python": sys.executable}, file)
"""


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder:
        os.environ["LAKEFLOW_STATE_DIR"] = f"{folder}/state"
        try:
            warm, floor = measure(Path(folder), count)
        finally:
            daemon.down()
    print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}   ms, {count} each")
    for name, times in (("run-now to user code", warm), ("floor: python -m lakeflow_task", floor)):
        cells = (statistics.median(times), min(times), max(times))
        print(f"{name:34}" + "".join(f"{1000 * cell:8.0f}" for cell in cells))
    ratios = [a / b for a, b in zip(warm, floor, strict=True)]
    print(f"{'ratio, pair by pair':34}{statistics.median(ratios):8.2f}")


def measure(folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds of `count` starts in the workspace, and of as many without it."""
    job_id = deploy(folder)
    endpoint = daemon.ensure_up()
    client = WorkspaceClient(host=endpoint.host, token=endpoint.token, auth_type="pat")
    settings = client.jobs.get(job_id).settings
    assert settings is not None
    assert settings.tasks is not None
    task = settings.tasks[0].python_wheel_task
    assert task is not None
    assert task.parameters is not None
    said = folder / "said.json"
    call = encode_call([str(said)], {}, None)
    python = start_in_workspace(client, job_id, call, said)[1]  # makes the environment
    command = [python, "-m", "lakeflow_task", *filled(task.parameters, call)]
    warm, floor = [], []
    for _ in range(count):
        warm.append(start_in_workspace(client, job_id, call, said)[0])
        floor.append(start_directly(command, f"{folder}/state/local/mount", said))
    return warm, floor


def deploy(folder: Path) -> int:
    """The id of a job of a trivial wheel in the throw-away workspace."""
    wheel = make_wheel(
        folder,
        "probe",
        "1.0",
        {"probe/__init__.py": PROBE},
        entry_points={"console_scripts": {"lakeflow-task": "probe:main"}},
    )
    manifest = folder / "manifest.json"
    entry = {"address": "probe", "root": True, "wheel": wheel.name}
    manifest.write_text(json.dumps({"schema": 1, "project": "benchmark", "distributions": [entry]}))
    quiet = Console(io.StringIO(), io.StringIO())
    (target,) = Launcher(local=True, console=quiet).deploy(manifest).targets
    assert target.job_id is not None
    return target.job_id


def start_in_workspace(
    client: WorkspaceClient, job_id: int, call: str, said: Path
) -> tuple[float, str]:
    """Seconds until the user's code began in a run, and the Python that it ran on."""
    begun = time.time()
    waiter = client.jobs.run_now(job_id, job_parameters={"lakeflow_call": call})
    run_id = waiter.bind()["run_id"]
    while (run := client.jobs.get_run(run_id)).end_time in (None, 0):
        time.sleep(0.02)
    assert run.state is not None
    assert run.state.result_state is jobs.RunResultState.SUCCESS, run.state.state_message
    words = json.loads(said.read_text())
    return words["begun"] - begun, words["python"]


def start_directly(command: list[str], mount: str, said: Path) -> float:
    """Seconds until the user's code began in a process of this command."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LAKEFLOW_MOUNT": mount}
    begun = time.time()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads(said.read_text())["begun"]) - begun


def filled(parameters: list[str], call: str) -> list[str]:
    """The task's parameters with the references replaced as the workspace does."""
    values = {
        "{{job.run_id}}": "1",
        "{{task.run_id}}": "2",
        "{{task.execution_count}}": "1",
        "{{job.parameters.lakeflow_call}}": call,
    }
    for reference, value in values.items():
        parameters = [parameter.replace(reference, value) for parameter in parameters]
    return parameters


if __name__ == "__main__":
    main()
