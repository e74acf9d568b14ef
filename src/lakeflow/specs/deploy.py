"""What a user requests of a deploy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakeflow.specs.compute import Compute
from lakeflow.specs.job import JobOptions


@dataclass(frozen=True)
class DeployRequest:
    """Wheels to deploy as jobs, and the runs to start.

    The wheels are those of the file `manifest`, or `wheels`: local files, or paths in the
    workspace. Each root of the manifest, or each wheel that none of the others needs, becomes a
    job; `single_job` refuses more than one.

    `calls` holds the arguments of each run to start. `env` and the secrets reach all of them:
    `secret_env_vars` names variables of this process, `secrets_file` has lines NAME=VALUE.
    With `wait` runs are followed until they finish, at most `runs_per_driver` at a time (default:
    the cores of the cluster's driver).

    `start_cluster` starts a terminated cluster although no run is requested. `shared` makes one job
    for all users. `code_only` updates the code of an existing job and keeps its other settings,
    except `compute` where given.
    """

    manifest: Path | None = None
    wheels: tuple[Path | str, ...] = ()
    name: str | None = None
    compute: Compute = field(default_factory=Compute)
    job: JobOptions = field(default_factory=JobOptions)
    calls: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env_vars: tuple[str, ...] = ()
    secrets_file: Path | None = None
    wait: bool = True
    start_cluster: bool = False
    shared: bool = False
    single_job: bool = False
    runs_per_driver: int | None = None
    code_only: bool = False
