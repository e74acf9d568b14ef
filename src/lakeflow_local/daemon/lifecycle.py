"""Start and stop the server's process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lakeflow_local import server_record
from lakeflow_local.compute import processes
from lakeflow_local.config import ServerConfig
from lakeflow_local.daemon.connection import (
    Endpoint,
    lock_holder,
    status,
    workspace_folder,
)
from lakeflow_local.daemon.request import ServerRequest
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.server import certificates
from lakeflow_local.source_code import code_digest, copy_code

START_SECONDS = 60.0
STOP_SECONDS = 5.0
LOG_LINES = 20
MAX_LOG_BYTES = 10 << 20
"""A longer log is renamed when a server starts, replacing the one renamed before."""
MIN_FREE_BYTES = 4 << 20
"""With less disk space, a full disk is named as the reason why a server did not start."""


def ensure_up(
    *,
    port: int | None = None,
    max_processes: int | None = None,
    task_memory: int | None = None,
    namespaces: bool = True,
    faults: Path | None = None,
    tls: bool | None = None,
    listen: str | None = None,
    any_python: bool = False,
) -> Endpoint:
    """Return the running server, starting one if necessary. Concurrent callers get the same one.

    A server with other code is replaced; while runs are active it is kept, with a notice.

    Args:
        port: None is the last one used, else 8453, else any free one.
        max_processes: How many tasks run at once; None is the number of cores, at least 4.
        task_memory: MiB that each process of a task may use.
        namespaces: Whether to mount the workspace's file trees for tasks, where the system allows.
            Ignored if a server runs.
        faults: A file of rules for injected faults.
        tls: Whether to speak https; None keeps what the last server did.
        listen: The address of this machine to listen on; None is 127.0.0.1.
        any_python: Whether the nearest Python of this machine may replace a missing one.

    Raises:
        UsageError: The file of faults is invalid, or a package that TLS needs is missing.
        WorkspaceError: The server did not start; the text has the end of its log. Or one runs with
            other settings.
    """
    request = ServerRequest(
        port=port,
        listen=listen,
        tls=tls,
        max_processes=max_processes,
        task_memory=task_memory,
        any_python=any_python,
        namespaces=namespaces,
        faults=faults,
        faults_digest=_digest_of(faults) if faults is not None else None,
    )
    if tls:
        certificates.check_library()
    found = status()
    if found is not None and found.digest == code_digest():
        request.check(found)
        return found.endpoint
    folder = workspace_folder()
    with _writing(folder), _locked(folder / "start.lock"):
        found = status()  # another process may have started it in the meantime
        if found is not None and found.digest != code_digest() and not found.active_runs:
            _stop(folder, found.pid)
            found = None
        if found is None:
            _wait_for_lock(folder)
            server_record.retire(folder)
            last_tls = server_record.last_server(folder).tls
            endpoint = _start(request.config(folder, last_tls=last_tls))
            return replace(endpoint, started=True)
        request.check(found)
        if found.digest == code_digest():
            return found.endpoint
        notice = (
            "the local workspace runs another version of its code, and keeps it while"
            f" {found.active_runs} run(s) are active"
        )
        return replace(found.endpoint, notice=notice)


def down() -> bool:
    """Stop the server and its active runs, and revoke the owner's token.

    Returns whether one was running.

    Raises:
        WorkspaceError: It did not stop.
    """
    folder = workspace_folder()
    if not folder.is_dir():
        return False
    with _writing(folder), _locked(folder / "start.lock"):
        pid = lock_holder(folder)
        if pid is not None:
            _stop(folder, pid)
        _kill_tasks(folder)
        # Whoever listens on the port next must not be sent a token that is still good.
        server_record.retire(folder)
        (folder / "token").unlink(missing_ok=True)
        return pid is not None


def reset() -> None:
    """Stop the server and delete the workspace: jobs, runs, files, secrets.

    Raises:
        WorkspaceError: The server did not stop, or its folder can't be deleted.
    """
    down()
    folder = workspace_folder()
    if folder.is_dir():
        with _writing(folder):
            shutil.rmtree(folder)


def _digest_of(faults: Path) -> str:
    from lakeflow_local.server.fault_rules import read_faults  # rarely needed

    return read_faults(faults).digest


def _start(config: ServerConfig) -> Endpoint:
    """Start a server and wait until it responds."""
    folder = config.folder
    code = copy_code(folder / "server")
    paths = [entry for entry in sys.path if entry and os.path.exists(entry)]
    log_file = folder / "server.log"
    if log_file.exists() and log_file.stat().st_size > MAX_LOG_BYTES:
        os.replace(log_file, folder / "server.log.old")
    with open(log_file, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lakeflow_local", *config.arguments()],
            cwd=code,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(code), *paths])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = status()
        if found is not None and found.pid == process.pid:
            return found.endpoint
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    raise _not_started(folder)


def _wait_for_lock(folder: Path) -> None:
    """Wait until a server that is shutting down has released the workspace.

    Raises:
        WorkspaceError: It does not, and does not prove that it is our server.
    """
    deadline = time.monotonic() + STOP_SECONDS
    while (pid := lock_holder(folder)) is not None:
        if time.monotonic() > deadline:
            raise WorkspaceError(
                f"process {pid} has the workspace in {folder} and does not respond as its server:"
                " it hangs, or runs an older version\n"
                "hint: `lakeflow-local down` stops it"
            )
        time.sleep(0.05)


def _stop(folder: Path, pid: int) -> None:
    """Stop a server with SIGTERM, or with SIGKILL if it does not react."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if lock_holder(folder) != pid:
                return
            time.sleep(0.02)
    raise WorkspaceError(f"the local workspace (process {pid}) does not stop")


def _kill_tasks(folder: Path) -> None:
    """Kill tasks and installations that outlived a killed server."""
    with suppress(FileNotFoundError):
        identity = json.loads((folder / "identity.json").read_text())
        processes.kill_marked(f"{identity['workspace_id']}/")


def _not_started(folder: Path) -> WorkspaceError:
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        return WorkspaceError(
            f"the local workspace did not start: the disk of {folder} is full ({free >> 10} KiB"
            " free)\n"
            "hint: free some space, or set LAKEFLOW_STATE_DIR to a folder on another disk"
        )
    log = folder / "server.log"
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines = []
    tail = "\n".join(f"    {line}" for line in lines)
    return WorkspaceError(f"the local workspace did not start; the end of {log}:\n{tail}")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Report a full or read-only disk together with the folder it concerns."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        yield
    except OSError as error:
        raise WorkspaceError(
            f"the local workspace can't keep its state in {folder}: {error.strerror or error}\n"
            "hint: set LAKEFLOW_STATE_DIR to another folder"
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
