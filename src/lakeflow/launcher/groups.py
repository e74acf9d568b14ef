"""What a launcher offers for each kind of object: jobs, runs, files, clusters, secrets, wheels."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from lakeflow.operations.clusters import ClusterPlan
    from lakeflow.operations.copy import Copied
    from lakeflow.operations.gc import CollectionPlan
    from lakeflow.operations.jobs import JobDeletionPlan
    from lakeflow.operations.logs import RunLogs
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.remote_files import FileRemovalPlan
    from lakeflow.operations.repair import PendingRepair
    from lakeflow.operations.report import TargetReport
    from lakeflow.operations.session import Session
    from lakeflow.operations.trigger import PendingTrigger
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.files import Entry
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.runs import Run
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.job import JobOptions


class _Group:
    def __init__(self, session: Session) -> None:
        self._session = session


class Jobs(_Group):
    """Jobs: `launcher.jobs`."""

    def plan(
        self,
        name: str,
        wheels: Sequence[Path | str],
        *,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        compute: Compute | None = None,
        job: JobOptions | None = None,
    ) -> DeployPlan:
        """Plan a job of wheels: files, or paths that `wheels.upload` returned.

        A named cluster is started if it is terminated.

        Raises UsageError unless exactly one wheel is needed by none of the others, and what
        `Launcher.plan` raises.
        """
        from lakeflow.operations import plan
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
        return plan.plan(self._session, request)

    def create(
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

        Raises what `plan` and `Launcher.apply` raise.
        """
        from lakeflow.operations import deploy

        plan = self.plan(
            name,
            wheels,
            max_workers=max_workers,
            cluster_id=cluster_id,
            compute=compute,
            job=job,
        )
        return deploy.apply(self._session, plan).targets[0]

    def get(self, job_id: int) -> Job:
        """Return a job with its settings. Raises UsageError for an unknown job."""
        from lakeflow.resources import jobs

        return jobs.get(self._session.workspace, job_id)

    def list(self, *, all_jobs: bool = False) -> Sequence[Job]:
        """Return the jobs deployed by lakeflow, or all jobs, by name."""
        from lakeflow.operations import jobs

        return jobs.list_jobs(self._session, all_jobs=all_jobs)

    def plan_delete(self, job_id: int) -> JobDeletionPlan:
        """Find what deleting a job would do. Raises UsageError for an unknown job."""
        from lakeflow.operations import jobs

        return jobs.plan_delete(self._session, job_id)

    def delete(self, job_id: int) -> Job:
        """Delete a job, which cancels its runs. Raises UsageError for an unknown job."""
        from lakeflow.operations import jobs

        return jobs.apply(self._session, self.plan_delete(job_id))

    def url(self, job_id: int) -> str:
        """Return the URL of a job in the web UI. Raises UsageError for an unknown job."""
        from lakeflow.operations import jobs

        return jobs.url_of_job(self._session, job_id)


class Runs(_Group):
    """Runs: `launcher.runs`. `Launcher.trigger_run` starts one, `Launcher.wait` follows them."""

    def get(self, run_id: int) -> Run:
        """Return a run with its tasks. Raises UsageError for an unknown run."""
        from lakeflow.operations import runs

        return runs.get_run(self._session, run_id)

    def list(self, job_id: int, *, limit: int = 24) -> Sequence[Run]:
        """Return the newest runs of a job. Raises UsageError for an unknown job."""
        from lakeflow.operations import runs

        return runs.list_job_runs(self._session, job_id, limit=limit)

    def logs(
        self,
        run_id: int,
        *,
        follow: bool = False,
        tail: int | None = None,
        all_tasks: bool = False,
        download_to: Path | None = None,
        show: bool = True,
    ) -> RunLogs:
        """Return what a run has printed so far, or with `follow` until it finishes.

        The output goes to the launcher's observer, or with `show=False` into the result, or into
        files below `download_to`. It is that of the failed tasks, or of all if none failed;
        `all_tasks` is every attempt of every task. `tail` is the number of each task's last lines
        to start with.

        Raises UsageError for an unknown run, and Interrupted on Ctrl-C while following.
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

    def outputs(self, run_id: int, *, download_to: Path | None = None) -> tuple[OutputFile, ...]:
        """Return the files in a run's output folders, downloaded if `download_to` is given.

        Raises UsageError for an unknown run or one that lakeflow did not deploy, and LakeflowError
        if a name leads out of the folder or a file did not arrive completely.
        """
        from lakeflow.operations import outputs

        return outputs.outputs(self._session, run_id, download_to=download_to)

    def cancel(self, run_ids: Sequence[int], *, wait: bool = False) -> tuple[Run, ...]:
        """Cancel runs, and with `wait` return when they have finished.

        Raises UsageError for an unknown run, before any is cancelled.
        """
        from lakeflow.operations import runs

        return runs.cancel_runs(self._session, run_ids, wait=wait)

    def repair(self, run_id: int, *, with_current: bool = False, wait: bool = False) -> RunResult:
        """Run the failed tasks of a finished run again, with the arguments it was started with.

        Raises UsageError for an unknown run or job, and Refused if nothing failed, or if the job's
        code has changed and `with_current` is false.
        """
        from lakeflow.operations import repair

        return repair.repair_run(self._session, run_id, with_current=with_current, wait=wait)

    def url(self, run_id: int) -> str:
        """Return the URL of a run in the web UI. Raises UsageError for an unknown run."""
        from lakeflow.operations import runs

        return runs.url_of_run(self._session, run_id)

    def begin_trigger(
        self,
        job_id: int,
        calls: Sequence[Sequence[str]],
        *,
        request_id: str,
        env: Mapping[str, str] | None = None,
        secret_env_vars: Sequence[str] = (),
    ) -> AbstractContextManager[PendingTrigger]:
        """Lock the request for a run of a job for each of `calls`, identified by `request_id`.

        For programs that repeat a request whose response they did not get. Call `start` on it; if
        it `is_new`, ask for permission first. See `lakeflow.operations.trigger.begin_trigger`.
        """
        from lakeflow.operations import trigger
        from lakeflow.resources import secrets

        return trigger.begin_trigger(
            self._session,
            job_id,
            calls,
            request_id=request_id,
            env=env,
            secret_values=secrets.read(secret_env_vars, None, os.environ),
        )

    def begin_repair(
        self, run_id: int, *, request_id: str, with_current: bool = False
    ) -> AbstractContextManager[PendingRepair]:
        """Lock the request for a repair of a run, as `begin_trigger` does for new runs."""
        from lakeflow.operations import repair

        return repair.begin_repair(
            self._session, run_id, request_id=request_id, with_current=with_current
        )


class Files(_Group):
    """Files of the workspace: `launcher.files`."""

    def list(self, path: str, *, recursive: bool = False) -> Sequence[Entry]:
        """Return the content of a folder, or the file itself. Raises UsageError if not found."""
        from lakeflow.operations import remote_files

        return remote_files.list_files(self._session, path, recursive=recursive)

    def read(
        self, path: str, *, into: BinaryIO | None = None, max_bytes: int | None = None
    ) -> bytes:
        """Return the content of a file, or write it to `into` piece by piece and return nothing.

        Raises UsageError if not found, and Refused if it has more than `max_bytes`.
        """
        from lakeflow.operations import remote_files

        return remote_files.read_file(self._session, path, into, max_bytes=max_bytes)

    def create_folder(self, path: str) -> str:
        """Create a folder and its parents; return its full path."""
        from lakeflow.operations import remote_files

        return remote_files.create_folder(self._session, path)

    def plan_remove(self, path: str, *, recursive: bool = False) -> FileRemovalPlan:
        """Find the file to remove, or with `recursive` the folder.

        Raises UsageError if not found, and Refused for a folder of all users.
        """
        from lakeflow.operations import remote_files

        return remote_files.plan_remove(self._session, path, recursive=recursive)

    def remove(self, path: str, *, recursive: bool = False) -> Entry:
        """Remove a file, or with `recursive` a folder and its content.

        Raises what `plan_remove` raises.
        """
        from lakeflow.operations import remote_files

        return remote_files.apply(self._session, self.plan_remove(path, recursive=recursive))

    def copy(
        self,
        source: str,
        target: str,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        resume: bool = False,
    ) -> tuple[Copied, ...]:
        """Copy a file or folder to, from or within the workspace (see `lakeflow.operations.copy`).

        Raises UsageError and Refused before anything is copied.
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


class Clusters(_Group):
    """All-purpose clusters: `launcher.clusters`."""

    def plan(
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

    def create(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        compute: Compute | None = None,
    ) -> Cluster:
        """Create the shared cluster of this name, or change and start it.

        Raises what `plan` and `Launcher.apply` raise.
        """
        from lakeflow.operations import clusters

        plan = self.plan(name, max_workers=max_workers, compute=compute)
        return clusters.apply(self._session, plan)

    def list(self) -> Sequence[Cluster]:
        """Return the visible all-purpose clusters, by name."""
        from lakeflow.resources import clusters

        found = clusters.list_all(self._session.workspace)
        return sorted(found, key=lambda cluster: (cluster.name.casefold(), cluster.id))

    def ensure_running(self, cluster_id: str) -> Cluster:
        """Start a cluster unless it is running, and wait until it is.

        Raises UsageError if not found, and LakeflowError if it terminates instead.
        """
        from lakeflow.operations import clusters

        return clusters.ensure_running(self._session, cluster_id)


class Secrets(_Group):
    """Secret scopes of runs: `launcher.secrets`."""

    def prune(self, *, older_than_days: float = 7, dry_run: bool = False) -> tuple[str, ...]:
        """Remove scopes whose runs all finished that many days ago; return their names."""
        from lakeflow.resources import secrets

        workspace = self._session.workspace
        found = secrets.expired(workspace, older_than_days)
        return tuple(scope.name for scope in found if dry_run or secrets.remove(workspace, scope))


class Wheels(_Group):
    """Wheels and the artifact store: `launcher.wheels`."""

    def build(
        self,
        target: Path,
        package: str | None = None,
        *,
        python: str | None = None,
        without: Collection[str] = (),
        check_source: Callable[[Path], None] = lambda source: None,
    ) -> tuple[Path, ...]:
        """Build the wheel of the package in a folder, and those of the local packages it needs.

        `check_source` is called with each folder and archive before any of its code runs, and may
        raise.
        Raises what `lakeflow.wheels.build.build` raises.
        """
        from lakeflow.wheels import build

        return build.build(
            target, package, python=python, without=without, check_source=check_source
        )

    def upload(self, wheels: Sequence[Path]) -> tuple[str, ...]:
        """Upload wheels to the artifact store, stamped together; return their paths there."""
        from lakeflow.operations import upload

        return upload.upload(self._session, wheels)

    def plan_collection(self, *, older_than: int = 60) -> CollectionPlan:
        """Find the wheels that I uploaded and nothing uses, older than so many days.

        A wheel is in use if a visible job or cluster or an active run refers to it.
        """
        from lakeflow.operations import gc

        return gc.plan(self._session, older_than=older_than)
