"""The launcher: what the CLI, the MCP server and Python programs call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from lakeflow.client.retry import PATIENCE_SECONDS
from lakeflow.launcher.clusters import Clusters
from lakeflow.launcher.files import Files
from lakeflow.launcher.jobs import Jobs
from lakeflow.launcher.runs import Runs
from lakeflow.launcher.secrets import Secrets
from lakeflow.launcher.wheels import Wheels
from lakeflow.operations.observer import OnTransfer, RunObserver, RunPrinter, unseen_transfer
from lakeflow.operations.session import Session

if TYPE_CHECKING:
    from lakeflow.client.workspace import Workspace
    from lakeflow.operations.clusters import ClusterPlan
    from lakeflow.operations.doctor import Finding
    from lakeflow.operations.gc import CollectionPlan, UnusedWheel
    from lakeflow.operations.jobs import JobDeletionPlan
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.remote_files import FileRemovalPlan
    from lakeflow.operations.report import Report, TargetReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.files import Entry
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.deploy import DeployRequest
    from lakeflow.specs.job import JobOptions


class Launcher:
    """Deploys wheels as jobs, starts and follows their runs. The rest is grouped by kind of object.

    `local` and `profile` choose the workspace (see `lakeflow.client.connect.connect`); it is
    connected to when it is first needed. `observer` gets the events of followed runs and by default
    prints their output on stdout; `on_transfer` is entered for each upload and download. Progress
    goes to the logger `lakeflow`. With `read_only` no request is sent that could change anything.
    `patience` is for how many seconds a request to an unreachable workspace is repeated.
    """

    def __init__(
        self,
        *,
        local: bool = False,
        profile: str | None = None,
        observer: RunObserver | None = None,
        on_transfer: OnTransfer = unseen_transfer,
        read_only: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._session = Session(
            observer or RunPrinter(sys.stdout),
            on_transfer,
            local=local,
            profile=profile,
            read_only=read_only,
            patience=patience,
        )

    @property
    def workspace(self) -> Workspace:
        """The workspace, connected. Raises what `lakeflow.client.connect.connect` raises."""
        return self._session.workspace

    @cached_property
    def jobs(self) -> Jobs:
        """Create, list, look up and delete jobs."""
        return Jobs(self._session)

    @cached_property
    def runs(self) -> Runs:
        """List, look up, cancel and repair runs; their logs and output files."""
        return Runs(self._session)

    @cached_property
    def files(self) -> Files:
        """List, read, copy and remove files of the workspace."""
        return Files(self._session)

    @cached_property
    def clusters(self) -> Clusters:
        """Create, list and start all-purpose clusters."""
        return Clusters(self._session)

    @cached_property
    def secrets(self) -> Secrets:
        """Remove secret scopes that are no longer needed."""
        return Secrets(self._session)

    @cached_property
    def wheels(self) -> Wheels:
        """Build, upload and remove wheels."""
        return Wheels(self._session)

    def plan(self, request: DeployRequest) -> DeployPlan:
        """Read and check everything that a deploy needs, and return what it would change.

        Raises UsageError and Refused for what cannot be deployed, and WorkspaceError.
        """
        from lakeflow.operations import plan

        return plan.plan(self._session, request)

    @overload
    def apply(self, plan: DeployPlan, *, report: Path | None = None) -> Report: ...

    @overload
    def apply(self, plan: ClusterPlan) -> Cluster: ...

    @overload
    def apply(self, plan: JobDeletionPlan) -> Job: ...

    @overload
    def apply(self, plan: CollectionPlan) -> tuple[UnusedWheel, ...]: ...

    @overload
    def apply(self, plan: FileRemovalPlan) -> Entry: ...

    def apply(
        self,
        plan: DeployPlan | ClusterPlan | JobDeletionPlan | CollectionPlan | FileRemovalPlan,
        *,
        report: Path | None = None,
    ) -> Report | Cluster | Job | tuple[UnusedWheel, ...] | Entry:
        """Do what a plan says.

        Returns the report of a deploy, which is also written to `report`, even if a run fails; the
        shared cluster; the deleted job; the wheels that garbage collection removed; or the entry of
        the removed file.

        Raises UsageError for a plan made for another workspace, WorkspaceError, and Interrupted on
        Ctrl-C while runs are followed.
        """
        from lakeflow.operations import clusters, deploy, gc, jobs, remote_files
        from lakeflow.operations.clusters import ClusterPlan
        from lakeflow.operations.gc import CollectionPlan
        from lakeflow.operations.jobs import JobDeletionPlan
        from lakeflow.operations.remote_files import FileRemovalPlan

        if isinstance(plan, ClusterPlan):
            return clusters.apply(self._session, plan)
        if isinstance(plan, JobDeletionPlan):
            return jobs.apply(self._session, plan)
        if isinstance(plan, CollectionPlan):
            return gc.apply(self._session, plan)
        if isinstance(plan, FileRemovalPlan):
            return remote_files.apply(self._session, plan)
        return deploy.apply(self._session, plan, report=report)

    def deploy(
        self,
        manifest: Path | None = None,
        *,
        wheels: Sequence[Path | str] = (),
        name: str | None = None,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
        calls: Sequence[Sequence[str]] = (),
        env: Mapping[str, str] | None = None,
        secret_env_vars: Sequence[str] = (),
        secrets_file: Path | None = None,
        wait: bool = True,
        shared: bool = False,
        runs_per_driver: int | None = None,
        code_only: bool = False,
        report: Path | None = None,
    ) -> Report:
        """Deploy wheels as jobs and start a run for each of `calls`: `plan`, then `apply`.

        The arguments are the fields of a `DeployRequest`; `max_workers` and `cluster_id` override
        those of `compute`. Everything is read and checked before anything changes.

        Raises UsageError and Refused before anything changed, and what `apply` raises.
        """
        from lakeflow.specs.compute import Compute
        from lakeflow.specs.deploy import DeployRequest
        from lakeflow.specs.job import JobOptions

        request = DeployRequest(
            manifest=manifest,
            wheels=tuple(wheels),
            name=name,
            compute=(compute or Compute()).override(max_workers=max_workers, cluster_id=cluster_id),
            job=job or JobOptions(),
            calls=tuple(tuple(argv) for argv in calls),
            env=env or {},
            secret_env_vars=tuple(secret_env_vars),
            secrets_file=secrets_file,
            wait=wait,
            shared=shared,
            runs_per_driver=runs_per_driver,
            code_only=code_only,
        )
        return self.apply(self.plan(request), report=report)

    def plan_job_from_source(
        self,
        name: str,
        package: str,
        target: Path,
        *,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
        python: str | None = None,
    ) -> DeployPlan:
        """Build the package in the folder `target`, and plan a job of it as `jobs.plan` does."""
        return self.jobs.plan(
            name,
            self.wheels.build(target, package, python=python),
            max_workers=max_workers,
            cluster_id=cluster_id,
            compute=compute,
            job=job,
        )

    def create_job_from_source(
        self,
        name: str,
        package: str,
        target: Path,
        *,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
        python: str | None = None,
    ) -> TargetReport:
        """Build the package in the folder `target` and create a job of it; starts no run.

        Raises what `wheels.build` and `deploy` raise.
        """
        plan = self.plan_job_from_source(
            name,
            package,
            target,
            max_workers=max_workers,
            cluster_id=cluster_id,
            compute=compute,
            job=job,
            python=python,
        )
        return self.apply(plan).targets[0]

    def trigger_run(
        self,
        job_id: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        secret_env_vars: Sequence[str] = (),
        secrets_file: Path | None = None,
        wait: bool = False,
    ) -> RunResult:
        """Start a run of a job with these arguments, and with `wait` follow it until it finishes.

        The variables `secret_env_vars` of this process, and those of `secrets_file`, reach the run
        as secrets.
        Raises UsageError for an unknown job, for arguments that cannot be sent and for a missing
        secret, before anything is sent.
        """
        from lakeflow.operations import trigger
        from lakeflow.resources import secrets

        return trigger.trigger_run(
            self._session,
            job_id,
            argv,
            env=env,
            secret_values=secrets.read(secret_env_vars, secrets_file, os.environ),
            wait=wait,
        )

    def wait(self, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
        """Follow runs that were started before until they finish.

        Raises UsageError for an unknown run and Interrupted on Ctrl-C.
        """
        from lakeflow.operations import runs

        return runs.wait(self._session, run_ids)

    def diagnose(self) -> Iterator[Finding]:
        """Check the configuration and whether it works, with a remedy for each problem."""
        from lakeflow.operations import doctor

        return doctor.examine(self._session)
