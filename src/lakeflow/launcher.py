"""The launcher: what the doors (CLI, Python, MCP) call. Each verb is a line; its room does it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

from lakeflow.client.retry import PATIENCE_SECONDS
from lakeflow.operations import trigger
from lakeflow.operations.observer import OnTransfer, RunObserver, RunPrinter, unseen_transfer
from lakeflow.operations.session import Session
from lakeflow.operations.trigger import Requested
from lakeflow.resources.run_now import RunResult
from lakeflow.resources.runs import Run

if TYPE_CHECKING:
    from lakeflow.client.workspace import Workspace
    from lakeflow.operations.clusters import ClusterPlan
    from lakeflow.operations.copy import Copied
    from lakeflow.operations.doctor import Finding
    from lakeflow.operations.gc import CollectionPlan, UnusedWheel
    from lakeflow.operations.logs import RunLogs
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.report import Report, TargetReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.files import Entry
    from lakeflow.resources.jobs import Job
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.deploy import DeployRequest
    from lakeflow.specs.job import JobOptions


class Launcher:
    """Deploys wheels as jobs, starts runs of them, and shows what they print.

    `local` and `profile` say which workspace (see `lakeflow.client.connect.connect`); it is
    connected to when it is first needed. `observer` gets the events of followed runs and by default
    prints their output on stdout; `on_transfer` is entered for each upload and download. Progress
    goes to the logger `lakeflow`. With
    `read_only` no request is sent that could change anything, whatever verb is called; `patience`
    is how many seconds a workspace that is away is waited for.
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
    def apply(self, plan: CollectionPlan) -> tuple[UnusedWheel, ...]: ...

    def apply(
        self, plan: DeployPlan | ClusterPlan | CollectionPlan, *, report: Path | None = None
    ) -> Report | Cluster | tuple[UnusedWheel, ...]:
        """Do what a plan says.

        The report of a deploy is returned, and written to `report`, also if a run fails. Of a
        shared cluster the cluster is returned, of garbage collection the wheels that were removed.

        Raises UsageError for a plan made for another workspace, WorkspaceError, and Interrupted on
        Ctrl-C while runs are followed.
        """
        from lakeflow.operations import clusters, deploy, gc
        from lakeflow.operations.clusters import ClusterPlan
        from lakeflow.operations.gc import CollectionPlan

        if isinstance(plan, ClusterPlan):
            return clusters.apply(self._session, plan)
        if isinstance(plan, CollectionPlan):
            return gc.apply(self._session, plan)
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

    def build_wheel(
        self,
        target: Path,
        package: str | None = None,
        *,
        python: str | None = None,
        without: Collection[str] = (),
        approve: Callable[[Path], None] = lambda source: None,
    ) -> tuple[Path, ...]:
        """The wheel of the package in a folder, and those of the local ones it needs.

        `approve` is told each folder and archive before any code in it is run, and may raise.
        Raises what `lakeflow.wheels.build.build` raises.
        """
        from lakeflow.wheels import build

        return build.build(target, package, python=python, without=without, approve=approve)

    def upload_wheels(self, wheels: Sequence[Path]) -> tuple[str, ...]:
        """Upload wheels, stamped together; return their paths in the artifact store."""
        from lakeflow.operations import upload

        return upload.upload(self._session, wheels)

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
        """Build the package in the folder `target`, and plan a job of it as `plan_job` does."""
        return self.plan_job(
            name,
            self.build_wheel(target, package, python=python),
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

        Raises what `build_wheel` and `deploy` raise.
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

    def plan_job(
        self,
        name: str,
        wheels: Sequence[Path | str],
        *,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
    ) -> DeployPlan:
        """Plan a job of wheels: files, or paths that `upload_wheels` returned.

        A named cluster is started if it is terminated.

        Raises UsageError unless exactly one wheel is needed by none of the others, and what `plan`
        raises.
        """
        from lakeflow.specs.compute import Compute
        from lakeflow.specs.deploy import DeployRequest
        from lakeflow.specs.job import JobOptions

        chosen = (compute or Compute()).override(max_workers=max_workers, cluster_id=cluster_id)
        request = DeployRequest(
            wheels=tuple(wheels),
            name=name,
            compute=chosen,
            job=job or JobOptions(),
            start_cluster=chosen.cluster_id is not None,
            single_job=True,
        )
        return self.plan(request)

    def create_job(
        self,
        name: str,
        wheels: Sequence[Path | str],
        *,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
    ) -> TargetReport:
        """Create a job of wheels, or update it; starts no run.

        Raises what `plan_job` and `apply` raise.
        """
        plan = self.plan_job(
            name,
            wheels,
            max_workers=max_workers,
            cluster_id=cluster_id,
            compute=compute,
            job=job,
        )
        return self.apply(plan).targets[0]

    def plan_cluster(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        compute: Compute | None = None,
    ) -> ClusterPlan:
        """Compare the shared cluster of this name with what is requested.

        Raises Refused for what the workspace does not have.
        """
        from lakeflow.operations import clusters
        from lakeflow.specs.compute import Compute

        requested = (compute or Compute()).override(max_workers=max_workers)
        return clusters.plan(self._session, name, requested)

    def create_cluster(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        compute: Compute | None = None,
    ) -> Cluster:
        """Create the shared cluster of this name, or change and start it.

        Raises what `plan_cluster` and `apply` raise.
        """
        return self.apply(self.plan_cluster(name, max_workers=max_workers, compute=compute))

    def list_clusters(self) -> list[Cluster]:
        """Return the visible all-purpose clusters, by name."""
        from lakeflow.resources import clusters

        return sorted(clusters.list_all(self.workspace), key=lambda c: (c.name.casefold(), c.id))

    def ensure_cluster_running(self, cluster_id: str) -> Cluster:
        """Start a cluster unless it is up, and wait until it is RUNNING.

        Raises UsageError if not found, and LakeflowError if it terminates instead.
        """
        from lakeflow.operations import clusters

        return clusters.ensure_running(self._session, cluster_id)

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
        """Start a run of a job with these arguments, and with `wait` follow it to its end.

        The variables `secret_env_vars` of this process, and those of `secrets_file`, reach the run
        as secrets.
        Raises UsageError for an unknown job, for arguments that cannot be sent and for a secret
        that is not there, before anything is sent.
        """
        from lakeflow.resources import secrets

        private = secrets.read(secret_env_vars, secrets_file, os.environ)
        return trigger.trigger_run(
            self._session, job_id, argv, env=env, secret_values=private, wait=wait
        )

    def trigger_runs(
        self,
        job_id: int,
        calls: Sequence[Sequence[str]],
        *,
        request_id: str,
        env: Mapping[str, str] | None = None,
        secret_env_vars: Sequence[str] = (),
        approve: Callable[[], None] = lambda: None,
    ) -> Requested:
        """Start a run of a job for each of `calls`, once for each `request_id` however often asked.

        For programs that send a request again when they did not hear of its end: the answer is then
        the runs that are there (`lakeflow.operations.trigger.trigger_runs`). `approve` is called
        before the first is started, and may raise.
        Raises UsageError as `trigger_run` does, and Refused where the request id was used for
        something else.
        """
        from lakeflow.resources import secrets

        private = secrets.read(secret_env_vars, None, os.environ)
        return trigger.trigger_runs(
            self._session,
            job_id,
            calls,
            request_id=request_id,
            env=env,
            secret_values=private,
            approve=approve,
        )

    def prune_secrets(
        self, *, older_than_days: float = 7, dry_run: bool = False
    ) -> tuple[str, ...]:
        """Remove the secret scopes of ours that no run has used for so many days; their names."""
        from lakeflow.resources import secrets

        workspace = self._session.workspace
        found = secrets.expired(workspace, older_than_days)
        return tuple(s.name for s in found if dry_run or secrets.remove(workspace, s))

    def list_job_runs(self, job_id: int, *, limit: int = 24) -> list[Run]:
        """The newest runs of a job. Raises UsageError for an unknown job."""
        return trigger.list_job_runs(self._session, job_id, limit=limit)

    def get_run(self, run_id: int) -> Run:
        """A run with its tasks. Raises UsageError for an unknown one."""
        return trigger.get_run(self._session, run_id)

    def get_run_logs(
        self,
        run_id: int,
        *,
        follow: bool = False,
        tail: int | None = None,
        all_tasks: bool = False,
        download_to: Path | None = None,
        show: bool = True,
    ) -> RunLogs:
        """What a run has printed so far, or with `follow` until its end: shown as it comes, or
        where `show` is false kept in the answer, or written below `download_to`.

        Of several tasks those that failed, or all where none has; `all_tasks` is every attempt of
        every task. `tail` is the number of last lines of each to begin with.

        Raises UsageError for an unknown run, and Interrupted on Ctrl-C while it follows.
        """
        from lakeflow.operations import logs

        return logs.get_run_logs(
            self._session,
            run_id,
            follow=follow,
            tail=tail,
            all_tasks=all_tasks,
            download_to=download_to,
            show=show,
        )

    def cancel_runs(self, run_ids: Sequence[int], *, wait: bool = False) -> tuple[Run, ...]:
        """Ask for the end of runs, and with `wait` see them end.

        Raises UsageError where one is unknown, before any is cancelled.
        """
        return trigger.cancel_runs(self._session, run_ids, wait=wait)

    def repair_run(
        self, run_id: int, *, with_current: bool = False, wait: bool = False
    ) -> RunResult:
        """Run again what failed of a run that has ended, with the arguments it was started with.

        Raises UsageError for an unknown run or job, and Refused where nothing failed, or where the
        job has other code since and `with_current` is false.
        """
        return trigger.repair_run(self._session, run_id, with_current=with_current, wait=wait)

    def repair_once(
        self,
        run_id: int,
        *,
        request_id: str,
        with_current: bool = False,
        approve: Callable[[], None] = lambda: None,
    ) -> Requested:
        """The same, once for each `request_id` however often asked (see `trigger_runs`)."""
        return trigger.repair_once(
            self._session,
            run_id,
            request_id=request_id,
            with_current=with_current,
            approve=approve,
        )

    def get_job(self, job_id: int) -> Job:
        """A job with its settings. Raises UsageError for an unknown one."""
        from lakeflow.resources import jobs

        return jobs.get(self.workspace, job_id)

    def list_jobs(self, *, all_jobs: bool = False) -> list[Job]:
        """The jobs that lakeflow deployed, or all that there are, by name."""
        return trigger.list_jobs(self._session, all_jobs=all_jobs)

    def delete_job(self, job_id: int, *, confirm: Callable[[str], bool] = lambda _: True) -> Job:
        """Delete a job, which ends its runs; `confirm` is asked with what that means.

        Raises UsageError for an unknown job, and Refused where it is not confirmed.
        """
        return trigger.delete_job(self._session, job_id, confirm=confirm)

    def page_of(self, *, run_id: int | None = None, job_id: int | None = None) -> str:
        """The address of the page of a run or of a job. Raises UsageError for an unknown one."""
        return trigger.page_of(self._session, run_id=run_id, job_id=job_id)

    def outputs(self, run_id: int, *, download_to: Path | None = None) -> tuple[OutputFile, ...]:
        """The files that a run's tasks have left, downloaded to a folder where that is asked.

        Raises UsageError for an unknown run or one that lakeflow did not deploy, and LakeflowError
        where a name leads out of the folder or a file did not arrive whole.
        """
        from lakeflow.operations import outputs

        return outputs.outputs(self._session, run_id, download_to=download_to)

    def plan_collection(self, *, older_than: int = 60) -> CollectionPlan:
        """Find the wheels that I uploaded and nothing uses, older than so many days.

        A wheel is in use if a visible job or cluster or an active run refers to it.
        """
        from lakeflow.operations import gc

        return gc.plan(self._session, older_than=older_than)

    def examine(self) -> Iterator[Finding]:
        """What is configured, whether it works, and what to do where it does not."""
        from lakeflow.operations import doctor

        return doctor.examine(self._session)

    def list_files(self, path: str, *, recursive: bool = False) -> list[Entry]:
        """What is in a folder of the workspace, or the file itself. Raises UsageError for none."""
        from lakeflow.operations import copy

        return copy.list_files(self._session, path, recursive=recursive)

    def read_file(
        self, path: str, *, into: BinaryIO | None = None, max_bytes: int | None = None
    ) -> bytes:
        """Return the content of a file, or write it to `into` piece by piece and return nothing.

        Raises UsageError if it does not exist, and Refused if it has more than `max_bytes`.
        """
        from lakeflow.operations import copy

        return copy.read_file(self._session, path, into, max_bytes=max_bytes)

    def make_folder(self, path: str) -> str:
        """Make a folder of the workspace and those above it; returns its path in full."""
        from lakeflow.operations import copy

        return copy.make_folder(self._session, path)

    def remove_files(
        self,
        path: str,
        *,
        recursive: bool = False,
        confirm: Callable[[str], bool] = lambda _: True,
    ) -> Entry:
        """Remove a file of the workspace, or with `recursive` a folder with all that is in it.

        Raises UsageError where there is nothing, and Refused where it is not confirmed.
        """
        from lakeflow.operations import copy

        return copy.remove(self._session, path, recursive=recursive, confirm=confirm)

    def copy_files(
        self,
        source: str,
        target: str,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        resume: bool = False,
    ) -> tuple[Copied, ...]:
        """Copy a file or a folder to, from or within the workspace (see `operations.copy`).

        Raises UsageError and Refused before anything was copied.
        """
        from lakeflow.operations import copy

        return copy.copy(
            self._session,
            source,
            target,
            recursive=recursive,
            overwrite=overwrite,
            resume=resume,
        )

    def wait(self, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
        """Follow runs that were started before to their end.

        Raises UsageError for an unknown run and Interrupted on Ctrl-C.
        """
        return trigger.wait(self._session, run_ids)
