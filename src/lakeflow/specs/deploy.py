"""What a user asks of a deploy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakeflow.specs.compute import Compute
from lakeflow.specs.job import JobOptions


@dataclass(frozen=True)
class DeployRequest:
    """What to deploy for each target of a manifest.

    `calls` holds the arguments of each run to start; `env` and `secrets` are set for all of them.
    `start_cluster` starts a terminated cluster although no run is requested. `code_only` updates
    the code of an existing job and keeps its other settings.
    """

    name: str | None = None
    compute: Compute = field(default_factory=Compute)
    job: JobOptions = field(default_factory=JobOptions)
    calls: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    wait: bool = True
    start_cluster: bool = False
    shared: bool = False
    runs_per_driver: int | None = None
    code_only: bool = False
