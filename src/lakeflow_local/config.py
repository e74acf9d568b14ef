"""The settings of one server process, from the command line that starts it to its engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8453
LOOPBACK = "127.0.0.1"
ALL_ADDRESSES = "0.0.0.0"
CORES = max(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class ServerConfig:
    """What a server is started with.

    Attributes:
        folder: Where it keeps its state.
        port: None is the last one used, else `DEFAULT_PORT`, else any free one; 0 is any free one.
        listen: The address of this machine to listen on.
        tls: Whether to speak https.
        max_processes: How many tasks run at once.
        task_memory: MiB that each process of a task may use; None is no limit.
        namespaces: Whether to mount the workspace's file trees for tasks, where the system allows.
        any_python: Whether the nearest Python of this machine may replace a missing one.
        faults: A file of rules for injected faults (TOML).
        until_stdin_closes: Whether to stop when standard input is closed.
    """

    folder: Path
    port: int | None = None
    listen: str = LOOPBACK
    tls: bool = False
    max_processes: int = CORES
    task_memory: int | None = None
    namespaces: bool = True
    any_python: bool = False
    faults: Path | None = None
    until_stdin_closes: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def host(self) -> str:
        """The address by which clients on this machine reach the server."""
        return LOOPBACK if self.listen == ALL_ADDRESSES else self.listen

    def arguments(self) -> list[str]:
        """Return the arguments of `python -m lakeflow_local` that start such a server."""
        arguments = [
            f"--folder={self.folder.absolute()}",
            f"--listen={self.listen}",
            f"--max-processes={self.max_processes}",
        ]
        if self.port is not None:
            arguments.append(f"--port={self.port}")
        if self.task_memory is not None:
            arguments.append(f"--task-memory={self.task_memory}")
        if self.faults is not None:
            arguments.append(f"--faults={self.faults.absolute()}")
        flags = {
            "--tls": self.tls,
            "--no-namespaces": not self.namespaces,
            "--any-python": self.any_python,
            "--until-stdin-closes": self.until_stdin_closes,
        }
        return arguments + [name for name, is_set in flags.items() if is_set]
