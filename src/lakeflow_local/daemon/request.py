"""What a caller requests: settings of a new server, conditions for a running one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakeflow_local.config import CORES, LOOPBACK, ServerConfig
from lakeflow_local.daemon.connection import Status
from lakeflow_local.errors import WorkspaceError


@dataclass(frozen=True)
class ServerRequest:
    """A caller's wishes, by the names of `ServerConfig`. None and False are no preference.

    `namespaces` is only for a server that is started.
    """

    port: int | None = None
    listen: str | None = None
    tls: bool | None = None
    max_processes: int | None = None
    task_memory: int | None = None
    any_python: bool = False
    namespaces: bool = True
    faults: Path | None = None
    faults_digest: str | None = None

    def config(self, folder: Path, *, last_tls: bool) -> ServerConfig:
        """Return the settings of a new server. Without preference it keeps TLS as it last was."""
        return ServerConfig(
            folder,
            port=self.port,
            listen=LOOPBACK if self.listen is None else self.listen,
            tls=last_tls if self.tls is None else self.tls,
            max_processes=CORES if self.max_processes is None else self.max_processes,
            task_memory=self.task_memory,
            namespaces=self.namespaces,
            any_python=self.any_python,
            faults=self.faults,
        )

    def check(self, found: Status) -> None:
        """Check that a running server has the requested settings.

        Raises:
            WorkspaceError: It was started with other settings.
        """
        difference = self._difference(found)
        if difference is not None:
            raise WorkspaceError(
                f"the local workspace already runs at {found.endpoint.host}, {difference}\n"
                "hint: stop it first with `lakeflow-local down`"
            )

    def _difference(self, found: Status) -> str | None:
        if self.tls is not None and self.tls != (found.endpoint.trust is not None):
            return f"{'without' if self.tls else 'with'} TLS"
        if self.listen is not None and self.listen != found.listen:
            return f"not listening on {self.listen}"
        if self.port is not None and not found.endpoint.host.endswith(f":{self.port}"):
            return f"not on port {self.port}"
        if self.faults_digest is not None and found.faults != self.faults_digest:
            return "without these faults"
        if self.max_processes is not None and found.max_processes != self.max_processes:
            return f"with --max-processes {found.max_processes}"
        if self.task_memory is not None and found.task_memory != self.task_memory:
            memory = found.task_memory
            return f"with --task-memory {memory}" if memory else "without --task-memory"
        if self.any_python and not found.any_python:
            return "without --any-python"
        return None
