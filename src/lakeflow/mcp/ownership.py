"""Which jobs, runs and clusters the server may change: by default, those that it created."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakeflow.errors import Refused, UsageError
from lakeflow.mcp.sanitize import short
from lakeflow.specs.job import IDENTITY_TAG

if TYPE_CHECKING:
    from lakeflow.mcp.gateway import Gateway
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.runs import Run


def created_job(job: Job) -> bool:
    """Return whether lakeflow created a job."""
    return IDENTITY_TAG in (job.settings.get("tags") or {})


def created_cluster(cluster: Cluster) -> bool:
    """Return whether lakeflow created a cluster."""
    return IDENTITY_TAG in cluster.tags


def check_job(gateway: Gateway, job: Job) -> None:
    """Raise Refused if the server may not change a job."""
    if not (gateway.policy.all_resources or created_job(job)):
        raise _foreign(f"the job {short(job.name, 100)} ({job.id})")


def check_runs(gateway: Gateway, runs: Iterable[Run]) -> None:
    """Raise Refused if the server may not change the runs. Requests each job once."""
    if gateway.policy.all_resources:
        return
    for run in {run.job_id: run for run in runs}.values():
        try:
            job = gateway.launcher.jobs.get(run.job_id)
        except UsageError:
            raise _foreign(f"run {run.id}, whose job was deleted,") from None
        if not created_job(job):
            raise _foreign(f"run {run.id} of the job {short(job.name, 100)} ({job.id})")


def check_cluster(gateway: Gateway, cluster_id: str) -> None:
    """Raise Refused if the server may not change a cluster, and UsageError if none exists."""
    if gateway.policy.all_resources:
        return
    found = [c for c in gateway.launcher.clusters.list() if c.id == cluster_id]
    if not found:
        raise UsageError(f"there is no cluster {short(cluster_id, 100)!r}")
    if not created_cluster(found[0]):
        raise _foreign(f"the cluster {short(found[0].name, 100)} ({found[0].id})")


def _foreign(what: str) -> Refused:
    return Refused(
        f"{what} was not created by lakeflow, and this server changes only what was "
        "(--all-resources). Only the person who runs the server can change that."
    )
