"""Kill the processes of a task: all of them, and no others."""

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
"""Environment variable that all processes of a server inherit: `<workspace id>/<task run id>`, or
`<workspace id>/server` for processes that serve no single task."""


def started_at(pid: int) -> str | None:
    """Return when a process started, in a unit of the system; with it, a pid is unambiguous."""
    if HAS_PROC:
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except OSError:
            return None
        return stat.rpartition(")")[2].split()[19]
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True)
    return done.stdout.decode().strip() or None


def marked(marker: str) -> Iterator[int]:
    """Yield the processes that inherited `marker`, in whatever group or session they are.

    A marker that ends in `/` stands for all that begin with it. Without `/proc`, processes that
    have left their group are not found.
    """
    inherited = f"{MARKER}={marker}".encode()
    is_prefix = marker.endswith("/")
    for entry in PROC.iterdir() if HAS_PROC else ():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if inherited in variables or (
                is_prefix and any(variable.startswith(inherited) for variable in variables)
            ):
                yield int(entry.name)


def kill_task(pid: int, started: str | None, marker: str) -> None:
    """Kill a task's process group, and the processes that left it, if they still exist."""
    kill_group(pid, started)
    kill_marked(marker)


def kill_group(pid: int, started: str | None) -> None:
    """Kill a process group if its leader is still the process that started at `started`."""
    if started is not None and started_at(pid) == started:
        _kill(os.killpg, pid)


def kill_marked(marker: str) -> None:
    """Kill all processes that inherited a marker.

    A killed process cannot start another one, so the loop finds those that were started before.
    """
    killed: set[int] = set()
    while fresh := set(marked(marker)) - killed:
        for other in fresh:
            _kill(os.kill, other)
        killed |= fresh


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a group's leader to exit, then kill the rest of its group.

    The leader is reaped last: until then no other process can get its pid.
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
