"""What the benchmarks of the local workspace measure with: a trivial wheel, as a job and directly.

Directly is `python -m lakeflow_task` with the task's own parameters in the task's own environment:
what nobody who runs the wheel can do without, and so the floor.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import jobs

from lakeflow import Launcher
from lakeflow_local import daemon
from lakeflow_task.protocol import encode_call
from tests.support.wheels import make_wheel

PROBE = """
import time
started = time.time()
import json, sys
def main():
    with open(sys.argv[1], "w") as file:
        json.dump({"started": started, "python": sys.executable}, file)
"""


@dataclass(frozen=True)
class Probe:
    """A job of the trivial wheel whose environment is warm, and the same as a command.

    Each run writes when its code began, in Unix seconds, into the file `said`.
    """

    client: WorkspaceClient
    job_id: int
    call: str
    said: Path
    python: str
    parameters: list[str]
    variables: dict[str, str]

    def trigger(self) -> int:
        """Start a run of the job. Its id."""
        waiter = self.client.jobs.run_now(self.job_id, job_parameters={"lakeflow_call": self.call})
        run_id: int = waiter.bind()["run_id"]
        return run_id

    def run_directly(self, run_id: int) -> None:
        """The same as a process; `run_id` is one that no other had."""
        command = [self.python, "-m", "lakeflow_task", *_filled(self.parameters, self.call, run_id)]
        subprocess.run(command, env=self.variables, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def temporary_workspace(max_processes: int | None = None) -> Iterator[Path]:
    """Start a temporary local workspace; yields its state folder."""
    with tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder:
        os.environ["LAKEFLOW_STATE_DIR"] = folder
        try:
            daemon.ensure_up(max_processes=max_processes)
            yield Path(folder)
        finally:
            daemon.down()


def connect() -> WorkspaceClient:
    """A client of the workspace that runs."""
    endpoint = daemon.ensure_up()
    return WorkspaceClient(host=endpoint.host, token=endpoint.token, auth_type="pat")


def make_probe(state: Path) -> Probe:
    """Deploy the wheel into the workspace that runs, and run it once."""
    client = connect()
    job_id = _deploy(state)
    settings = client.jobs.get(job_id).settings
    assert settings is not None
    assert settings.tasks is not None
    task = settings.tasks[0].python_wheel_task
    assert task is not None
    assert task.parameters is not None
    said = state / "said.json"
    call = encode_call([str(said)], {}, None)
    first = Probe(client, job_id, call, said, "", [], {})
    wait(client, first.trigger())
    python = json.loads(said.read_text())["python"]
    mount = f"{state}/local/mount"
    variables = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LAKEFLOW_MOUNT": mount}
    return Probe(client, job_id, call, said, python, task.parameters, variables)


def judge(what: str, value: float, most: float) -> None:
    """Print a result as `.ci/soak` collects them, with the most that it may be."""
    print(f"result: {what}: {value:.2f}, at most {most:g}{' OVER' if value > most else ''}")


def wait(client: WorkspaceClient, run_id: int) -> None:
    """Wait for a run's end, which must be a success."""
    while (run := client.jobs.get_run(run_id)).end_time in (None, 0):
        time.sleep(0.02)
    assert run.state is not None
    assert run.state.result_state is jobs.RunResultState.SUCCESS, run.state.state_message


def wheel_of(state: Path) -> Path:
    """The trivial wheel."""
    return make_wheel(
        state / "wheels",
        "probe",
        "1.0",
        {"probe/__init__.py": PROBE},
        entry_points={"console_scripts": {"lakeflow-task": "probe:main"}},
    )


def _deploy(state: Path) -> int:
    """The id of a job of the wheel."""
    wheel = wheel_of(state)
    manifest = wheel.with_name("manifest.json")
    entry = {"address": "probe", "root": True, "wheel": wheel.name}
    manifest.write_text(json.dumps({"schema": 1, "project": "benchmark", "distributions": [entry]}))
    (target,) = Launcher(local=True).deploy(manifest).targets
    assert target.job_id is not None
    return target.job_id


def _filled(parameters: list[str], call: str, run_id: int) -> list[str]:
    """The task's parameters with the references replaced as the workspace does.

    The 0 keeps the folder of a run's output apart from those of the workspace's own runs.
    """
    values = {
        "{{job.run_id}}": f"0{run_id}",
        "{{task.run_id}}": "0",
        "{{task.execution_count}}": "1",
        "{{job.parameters.lakeflow_call}}": call,
    }
    for reference, value in values.items():
        parameters = [parameter.replace(reference, value) for parameter in parameters]
    return parameters
