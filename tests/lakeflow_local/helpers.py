"""What many tests of the local workspace do, through the SDK."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.compute import ClusterDetails, Library, State
from databricks.sdk.service.jobs import (
    JobParameterDefinition,
    PythonWheelTask,
    Run,
    RunOutput,
    SparkPythonTask,
    Task,
)
from databricks.sdk.service.workspace import ImportFormat

from lakeflow_local.daemon import Endpoint
from tests.support.typed import present as present
from tests.support.wheels import make_wheel

T = TypeVar("T")
DEADLINE_SECONDS = 180.0  # a busy machine needs minutes for what takes a second else

PROBE = """
import json, os, subprocess, sys, time
from pathlib import Path

def echo():
    print(json.dumps({"argv": sys.argv, "environ": dict(os.environ), "cwd": os.getcwd()}))

def version():
    print("VERSION")
    print("to stderr", file=sys.stderr)

def fail():
    print("before the end")
    raise ValueError("of the test")

def leave():
    sys.exit(0)

def die():
    os._exit(3)

def nap():
    time.sleep(float(sys.argv[1]))

def write():
    sys.stdout.write(sys.argv[1] * int(sys.argv[2]))

def need():
    if not Path(sys.argv[1]).exists():
        raise ValueError("there is no " + sys.argv[1])

def await_others():
    folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    (folder / name).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.01)

def hold():
    # A child in the task's group, one in a separate session, and then the task itself.
    child = [sys.executable, "-c", "import time; time.sleep(600)"]
    pids = [os.getpid(), subprocess.Popen(child).pid]
    pids.append(subprocess.Popen(child, start_new_session=True).pid)
    draft = Path(sys.argv[1] + ".draft")
    draft.write_text(json.dumps(pids))
    draft.rename(sys.argv[1])
    time.sleep(600)
"""
ENTRY_POINTS = (
    "echo",
    "version",
    "fail",
    "leave",
    "die",
    "nap",
    "write",
    "need",
    "await_others",
    "hold",
)


def connect(endpoint: Endpoint) -> WorkspaceClient:
    return WorkspaceClient(
        config=Config(host=endpoint.host, token=endpoint.token, retry_timeout_seconds=5)
    )


def ask(
    endpoint: Endpoint, method: str, path: str, *, token: str | None = None, **options: Any
) -> requests.Response:
    """One plain request, its path sent as it is."""
    session = requests.Session()
    session.trust_env = False
    request = requests.Request(method, endpoint.host, **options).prepare()
    request.url = endpoint.host + path + (request.path_url.removeprefix("/"))
    request.headers["Authorization"] = f"Bearer {token or endpoint.token}"
    return session.send(request, timeout=30)


def until(condition: Callable[[], T | None]) -> T:
    """Wait until a condition returns something other than None, and return that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found is not None:
            return found
        time.sleep(0.01)
    raise AssertionError(f"nothing came in {DEADLINE_SECONDS} seconds")


def probe_wheel(folder: Path, version: str, text: str = "the first text") -> Path:
    """A wheel `probe` of the functions above; `text` is what its `version` prints."""
    return make_wheel(
        folder,
        "probe",
        version,
        {"probe/__init__.py": PROBE.replace("VERSION", text)},
        entry_points={"a_free_name": {f"run-{name}": f"probe:{name}" for name in ENTRY_POINTS}},
    )


def upload(client: WorkspaceClient, wheel: Path, folder: str = "wheels") -> str:
    """Send a wheel to the workspace files. Its path there."""
    home = f"/Workspace/Users/{client.current_user.me().user_name}/{folder}"
    client.workspace.mkdirs(home)
    path = f"{home}/{wheel.name}"
    client.workspace.upload(path, wheel.read_bytes(), format=ImportFormat.AUTO, overwrite=True)
    return path


def start_cluster(client: WorkspaceClient, **options: Any) -> str:
    """A running cluster of the newest runtime. Its id."""
    cluster = client.clusters.create_and_wait(
        cluster_name="test",
        spark_version=client.clusters.select_spark_version(long_term_support=True),
        node_type_id=client.clusters.select_node_type(local_disk=True),
        num_workers=0,
        **options,
    )
    assert cluster.state == State.RUNNING
    assert cluster.cluster_id
    return cluster.cluster_id


def restart(client: WorkspaceClient, cluster_id: str) -> ClusterDetails:
    return client.clusters.restart_and_wait(cluster_id)


def probe_task(
    cluster_id: str | None, wheel: str | None, function: str, *parameters: str, **options: Any
) -> Task:
    """A task of the probe; without a cluster or a wheel `options` say what it has instead."""
    return Task(
        task_key=options.pop("task_key", "main"),
        existing_cluster_id=cluster_id,
        libraries=options.pop("libraries", [Library(whl=wheel)] if wheel else None),
        python_wheel_task=PythonWheelTask(
            package_name="probe", entry_point=f"run-{function}", parameters=list(parameters)
        ),
        **options,
    )


def python_task(
    client: WorkspaceClient, cluster: str, text: str, *parameters: str, key: str = "main"
) -> Task:
    """A task that runs this text as a file."""
    path = f"/Volumes/main/default/lakeflow/programs/{abs(hash(text))}.py"
    client.files.upload(path, io.BytesIO(text.encode()), overwrite=True)
    return Task(
        task_key=key,
        existing_cluster_id=cluster,
        spark_python_task=SparkPythonTask(python_file=path, parameters=list(parameters)),
    )


def make_job(
    client: WorkspaceClient, tasks: Sequence[Task], name: str = "probe", **options: Any
) -> int:
    parameters = [
        JobParameterDefinition(name=key, default=value)
        for key, value in options.pop("parameters", {}).items()
    ]
    job = client.jobs.create(name=name, tasks=list(tasks), parameters=parameters, **options)
    return present(job.job_id)


def trigger(client: WorkspaceClient, job_id: int, **options: Any) -> int:
    return present(client.jobs.run_now(job_id, **options).run_id)


def repair(client: WorkspaceClient, run_id: int, **options: Any) -> int:
    """Repair a run. The repair's id."""
    repair_id: int = client.jobs.repair_run(run_id, **options).response.repair_id  # type: ignore[attr-defined]
    return repair_id


def finish(client: WorkspaceClient, run_id: int) -> Run:
    """Wait until a run has finished."""

    def finished() -> Run | None:
        run = client.jobs.get_run(run_id)
        return run if run.end_time else None

    return until(finished)


def output(client: WorkspaceClient, run: Run, task: int = 0) -> RunOutput:
    return client.jobs.get_run_output(present(present(run.tasks)[task].run_id))


def run_once(client: WorkspaceClient, task: Task, **options: Any) -> tuple[Run, RunOutput]:
    """Create a job of one task and run it once."""
    run = finish(client, trigger(client, make_job(client, [task], **options)))
    return run, output(client, run)


def result_of(run: Run) -> str:
    return present(present(run.state).result_state).value


def results(run: Run) -> dict[str, str]:
    """Return the result of the last attempt of each task."""
    found = {}
    for task in run.tasks or ():
        found[present(task.task_key)] = present(present(task.state).result_state).value
    return found


def is_gone(pid: int) -> bool:
    """Whether a process has exited, reaped or not, and its threads too, which hold its files."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return True


def logs(result: RunOutput) -> str:
    return present(result.logs)
