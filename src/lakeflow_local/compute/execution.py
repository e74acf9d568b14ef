"""A task as a process: what it runs, what it finds in its environment, and how it ended."""

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
from lakeflow_local.compute.libraries import library_path
from lakeflow_local.compute.placement import TaskCompute
from lakeflow_local.errors import ConfigurationInvalid
from lakeflow_local.identity.principals import Principal
from lakeflow_local.storage import records
from lakeflow_local.storage.files import Mount, PathOutside
from lakeflow_local.storage.records import Outcome, TaskRun

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
"""What a task gets of the server's own environment: how this machine reaches the network."""


@dataclass
class Execution:
    """A task in the hands of a thread. `stop` is how it is to end, once somebody ends it.

    `token` is the task's own, good until it ends: what it asks the workspace with. `asker` is whose
    rights it has then, and its job run.
    """

    marker: str
    token: str = field(default_factory=lambda: secrets.token_hex(24))
    asker: tuple[Principal, int] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: Outcome | None = None
    pid: int | None = None
    pid_started: str | None = None

    def end(self, outcome: Outcome) -> None:
        """End the task with this outcome, unless somebody has ended it with another."""
        with self.lock:
            self.stop = self.stop or outcome
            if self.pid is not None:
                processes.end(self.pid, self.pid_started, self.marker)


def program(
    mount: Mount, environment: Environment, task: TaskRun, parameters: Sequence[str]
) -> dict[str, Any] | None:
    """What the driver is to run; None where the wheel task's package is not installed."""
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


def variables(place: TaskCompute, execution: Execution, mount: Path | None) -> dict[str, str]:
    """A task's environment; `mount` is where the trees are, if not at the root."""
    place.home.mkdir(parents=True, exist_ok=True)
    bin_folder = place.environment.folder / "bin"
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "LANG": "C.UTF-8",
        "HOME": str(place.home),
        "USER": "root",
        **place.variables,
        "PATH": f"{bin_folder}:{place.variables.get('PATH', SYSTEM_PATH)}",
        "VIRTUAL_ENV": str(place.environment.folder),
        **({} if mount is None else {"LAKEFLOW_MOUNT": str(mount)}),
        processes.MARKER: execution.marker,
    }


def begin(
    execution: Execution,
    python: Path,
    folder: Path,
    task: Mapping[str, Any],
    variables: Mapping[str, str],
) -> subprocess.Popen[bytes] | None:
    """Start the driver on `task` in a new folder; None where the task was ended before."""
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
    """End the task when its own time is over; 0 is no limit."""
    seconds = task.task.get("timeout_seconds", 0)
    if not seconds:
        yield
        return
    timer = threading.Timer(seconds, execution.end, (records.TIMED_OUT,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_result(folder: Path, returncode: int) -> tuple[Outcome, str | None, str | None]:
    """How a process ended: its outcome, its error line and its traceback."""
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        end = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        error = f"The Python process ended with {end} before the entry point returned."
        if returncode == -signal.SIGKILL:
            error = OUT_OF_MEMORY
        return records.WORKLOAD_FAILED, error, None
    finally:
        (folder / "task.json").unlink(missing_ok=True)
        _remove_if_empty(folder / "work")
    if result["error"] is not None:
        return records.WORKLOAD_FAILED, result["error"], result["error_trace"]
    return records.SUCCEEDED, None, None


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
