"""Requests that change something, as frozen values that the policy checks and plans refer to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from lakeflow.specs.compute import Compute
from lakeflow.state.hashing import digest


@dataclass(frozen=True)
class Request:
    """What a tool was called to do, apart from how: dry run, plan token and confirmation."""

    def digest(self) -> str:
        """Return 64 hexadecimal digits that are equal for equal requests."""
        return digest([type(self).__name__, dataclasses.asdict(self)])


@dataclass(frozen=True)
class TriggerRequest(Request):
    """Start a run of a job for each of `calls`, once for each `request_id`."""

    job_id: int
    calls: tuple[tuple[str, ...], ...]
    request_id: str
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env_vars: tuple[str, ...] = ()


@dataclass(frozen=True)
class CancelRequest(Request):
    """Cancel runs."""

    run_ids: tuple[int, ...]


@dataclass(frozen=True)
class RepairRequest(Request):
    """Retry the failed tasks of a run, once for each `request_id`."""

    run_id: int
    request_id: str
    with_current: bool = False


@dataclass(frozen=True)
class DeployWheelsRequest(Request):
    """Deploy wheels as jobs: local files, or paths in the workspace."""

    wheels: tuple[str, ...]
    name: str | None = None
    compute: Compute = field(default_factory=Compute)


@dataclass(frozen=True)
class BuildRequest(Request):
    """Build the package in a folder and deploy it."""

    folder: str
    package: str | None = None
    name: str | None = None
    compute: Compute = field(default_factory=Compute)
