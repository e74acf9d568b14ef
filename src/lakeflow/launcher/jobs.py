"""The Python API for jobs: `launcher.jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    from lakeflow.operations.jobs import JobDeletionPlan
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.report import TargetReport
    from lakeflow.resources.jobs import Job
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.job import JobOptions


class Jobs(SessionGroup):
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
