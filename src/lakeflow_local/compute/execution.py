"""A task as a process: its program, its environment variables and its result."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeflow_local.compute import processes
from lakeflow_local.compute.driver import OUT_OF_MEMORY
from lakeflow_local.compute.environments import Environment
from lakeflow_local.compute.errors import ConfigurationInvalid
from lakeflow_local.compute.libraries import library_path
from lakeflow_local.compute.placement import TaskCompute
from lakeflow_local.identity.principals import Principal
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.files import Mount, PathOutside
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.task_run_repository import TaskRun

DRIVER = Path(__file__).with_name("driver.py")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "TZ",
]
"""Variables of the server that tasks inherit: how this machine reaches the network."""


@dataclass(frozen=True)
class TaskIdentity:
    """Whose permissions a task has, and which job run it belongs to."""

    principal: Principal
    job_run_id: int


@dataclass
class Execution:
    """A task run that a thread of the server is running.

    `token` authenticates the task's own requests until it finishes, as `identity`. `stop` is the
    outcome of a task that is being stopped.
    """

    marker: str
    token: str = field(default_factory=lambda: secrets.token_hex(24))
    identity: TaskIdentity | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: Outcome | None = None
    pid: int | None = None
    pid_started: str | None = None

    def kill(self, outcome: Outcome) -> None:
        """Kill the task's processes; its outcome is the first one that was given."""
        with self.lock:
            self.stop = self.stop or outcome
            if self.pid is not None:
                processes.kill_task(self.pid, self.pid_started, self.marker)


@dataclass(frozen=True)
class Result:
    """How a task's process finished; `error` is one line."""

    outcome: Outcome
    error: str | None = None
    error_trace: str | None = None


def program(
    mount: Mount, environment: Environment, task: TaskRun, parameters: Sequence[str]
) -> dict[str, Any] | None:
    """Return what the driver is to run; None if the package of a wheel task is not installed.

    Raises:
        ConfigurationInvalid: the Python file does not exist.
    """
    if "spark_python_task" in task.task:
        path = task.task["spark_python_task"]["python_file"]
        try:
            file = mount.real(library_path(path))
        except PathOutside:
            raise ConfigurationInvalid(f"Invalid path: {path}") from None
        if not file.is_file():
            raise ConfigurationInvalid(
                f"Cannot read the python file {path}. Please check driver logs for more details."
            )
        return {"file": str(file), "argv": [path, *parameters]}
    wheel_task = task.task["python_wheel_task"]
    package = wheel_task["package_name"]
    target = environment.entry_point(package, wheel_task["entry_point"])
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    return {
        "module": module.strip(),
        "attribute": attribute.strip() or wheel_task["entry_point"],
        "argv": [package, *parameters],
    }


def variables(compute: TaskCompute, execution: Execution, mount: Path | None) -> dict[str, str]:
    """Return a task's environment variables.

    `mount` is the folder of the file trees, None if they are mounted at the root.
    """
    compute.home.mkdir(parents=True, exist_ok=True)
    bin_folder = compute.environment.folder / "bin"
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "LANG": "C.UTF-8",
        "HOME": str(compute.home),
        "USER": "root",
        **compute.variables,
        "PATH": f"{bin_folder}:{compute.variables.get('PATH', SYSTEM_PATH)}",
        "VIRTUAL_ENV": str(compute.environment.folder),
        **({} if mount is None else {"LAKEFLOW_MOUNT": str(mount)}),
        processes.MARKER: execution.marker,
    }


def start_driver(
    execution: Execution,
    python: Path,
    folder: Path,
    task: Mapping[str, Any],
    variables: Mapping[str, str],
) -> subprocess.Popen[bytes] | None:
    """Start the driver on `task` in a new folder; return None if the task was stopped before."""
    work = folder / "work"
    work.mkdir(parents=True)
    with open(folder / "task.json", "x", encoding="utf-8", opener=_private) as file:
        json.dump(task, file)
    with execution.lock, open(folder / "log", "xb") as output:
        if execution.stop is not None:
            return None
        process = subprocess.Popen(
            [python, DRIVER, folder],
            cwd=work,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        execution.pid = process.pid
        execution.pid_started = processes.started_at(process.pid)
    return process


@contextmanager
def deadline(task: TaskRun, execution: Execution) -> Iterator[None]:
    """Kill the task when its timeout has passed; 0 is no timeout."""
    seconds = task.task.get("timeout_seconds", 0)
    if not seconds:
        yield
        return
    timer = threading.Timer(seconds, execution.kill, (outcomes.TIMED_OUT,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_result(folder: Path, returncode: int) -> Result:
    """Return how a task's process finished.

    A task can write anything into its folder: a result that is not one of the driver counts as
    missing.
    """
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        error, trace = result["error"], result["error_trace"]
        if not all(text is None or isinstance(text, str) for text in (error, trace)):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        end = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        error = f"The Python process exited with {end} before the entry point returned."
        if returncode == -signal.SIGKILL:
            error = OUT_OF_MEMORY
        return Result(outcomes.WORKLOAD_FAILED, error)
    finally:
        (folder / "task.json").unlink(missing_ok=True)
        _remove_if_empty(folder / "work")
    if error is not None:
        return Result(outcomes.WORKLOAD_FAILED, error, trace)
    return Result(outcomes.SUCCEEDED)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
