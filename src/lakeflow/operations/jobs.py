"""List, look up and delete jobs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lakeflow.operations.changes import Change, Plan, Resource
from lakeflow.operations.session import Session
from lakeflow.resources import jobs, runs
from lakeflow.resources.jobs import Job

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobDeletionPlan(Plan):
    """A job to delete, and whether it has active runs, which are cancelled with it."""

    job: Job
    has_active_runs: bool

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes."""
        before = {"name": self.job.name, "has_active_runs": self.has_active_runs}
        return (Change("delete", Resource("job", self.job.name, str(self.job.id)), before),)


def list_jobs(session: Session, *, all_jobs: bool) -> list[Job]:
    """Return the jobs deployed by lakeflow, or all jobs, by name."""
    found = jobs.list_all(session.workspace)
    ours = (
        job for job in found if all_jobs or jobs.IDENTITY_TAG in (job.settings.get("tags") or {})
    )
    return sorted(ours, key=lambda job: (job.name.casefold(), job.id))


def url_of_job(session: Session, job_id: int) -> str:
    """Return the URL of a job in the web UI. Raises UsageError for an unknown job."""
    return jobs.url_of(session.workspace, jobs.get(session.workspace, job_id).id)


def plan_delete(session: Session, job_id: int) -> JobDeletionPlan:
    """Find what deleting a job would do. Raises UsageError for an unknown job."""
    job = jobs.get(session.workspace, job_id)
    active = runs.any_active(session.workspace, job_id)
    return JobDeletionPlan(session.workspace.host, job, active)


def apply(session: Session, plan: JobDeletionPlan) -> Job:
    """Delete a job, which cancels its runs.

    Its wheels stay until `lakeflow gc`, its cluster until it terminates itself.
    """
    session.check_workspace(plan.workspace)
    job = plan.job
    jobs.delete(session.workspace, job.id)
    _log.info(f"Deleted the job {job.name} ({job.id}).")
    return job
