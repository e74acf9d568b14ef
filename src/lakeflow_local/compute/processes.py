"""Ending the processes of a task, all of them, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "stat").exists()

MARKER = "LAKEFLOW_LOCAL_TASK"
"""Environment variable that all who a server starts inherit; it names the workspace and the task:
`<workspace id>/<task run id>`, and `<workspace id>/server` for what serves no single task."""


def started_at(pid: int) -> str | None:
    """When a process began, in whatever unit the system has: with it, a pid names one process."""
    if HAS_PROC:
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except OSError:
            return None
        return stat.rpartition(")")[2].split()[19]
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True)
    return answer.stdout.decode().strip() or None


def marked(marker: str) -> Iterator[int]:
    """The processes that inherited `marker`, in whatever group or session they are.

    A marker that ends in `/` stands for all that begin with it. Only where there is `/proc`;
    elsewhere what has left its group is not found.
    """
    wanted = f"{MARKER}={marker}".encode()
    is_prefix = marker.endswith("/")
    for entry in PROC.iterdir() if HAS_PROC else ():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in variables or (
                is_prefix and any(variable.startswith(wanted) for variable in variables)
            ):
                yield int(entry.name)


def end(pid: int, started: str | None, marker: str) -> None:
    """Kill a task's process group, and those who left it. Who is gone already is no error."""
    end_group(pid, started)
    end_marked(marker)


def end_group(pid: int, started: str | None) -> None:
    """Kill a process group, if its leader still is the one that began at `started`."""
    if started is not None and started_at(pid) == started:
        _kill(os.killpg, pid)


def end_marked(marker: str) -> None:
    """Kill whoever inherited a marker.

    A killed process can't start another one, so a second look finds who was born meanwhile.
    """
    killed: set[int] = set()
    while newcomers := set(marked(marker)) - killed:
        for other in newcomers:
            _kill(os.kill, other)
        killed |= newcomers


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a group's leader, then kill what it left behind in its group.

    The leader is reaped last: until then nobody else can have its pid.
    """
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    _kill(os.killpg, process.pid)
    process.wait()


def _kill(send: Callable[[int, int], None], pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)
