"""Deploy: apply a plan, from wheels to jobs and the requested runs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from lakeflow.errors import LakeflowError
from lakeflow.operations import compute, follow, pending, run_requests, upload
from lakeflow.operations.follow import Interrupted
from lakeflow.operations.observer import labels_of
from lakeflow.operations.plan import DeployPlan, TargetPlan
from lakeflow.operations.report import Report, TargetReport, write_report
from lakeflow.operations.session import Session
from lakeflow.resources import cluster_settings, jobs, permissions, run_now
from lakeflow.specs.compute import Placement

_log = logging.getLogger(__name__)


def apply(session: Session, plan: DeployPlan, *, report: Path | None = None) -> Report:
    """Upload wheels, create or update compute and jobs, and start the requested runs.

    All targets are tried before the first error is raised. The report is returned, and written to
    `report`, also if a run fails.

    Raises WorkspaceError, and Interrupted on Ctrl-C while runs are followed.
    """
    session.check_workspace(plan.workspace)
    wheels = [artifact for target in plan.targets for artifact in target.artifacts]
    sent = upload.send(session, wheels)
    done = [target.report(sent, "failed") for target in plan.targets]
    failure: LakeflowError | None = None
    try:
        for index, target in enumerate(plan.targets):
            try:
                placement, done[index] = _deploy(session, target, done[index])
                done[index] = _run(session, plan, target, placement, done[index])
            except Interrupted as stop:
                done[index] = replace(done[index], status="running", runs=stop.results)
                raise
            except LakeflowError as error:
                done[index] = replace(done[index], status="failed", error=str(error))
                failure = failure or error
    finally:
        found = Report(plan.workspace, tuple(done))
        if report is not None:
            write_report(found, report)
    if failure is not None:
        raise failure
    return found


def _deploy(
    session: Session, plan: TargetPlan, report: TargetReport
) -> tuple[Placement, TargetReport]:
    """Create or update a target's compute, then its job."""
    workspace, name = session.workspace, plan.target.job_name
    ready = compute.ensure(session, plan.compute)
    settings = plan.settings(ready.placement)
    if plan.job is None:
        job_id = jobs.create(workspace, settings)
        done = "created"
    else:
        job_id, done = plan.job.id, "unchanged"
        if jobs.differences(settings, plan.job):
            jobs.reset(workspace, job_id, settings)
            done = "updated"
    url = jobs.url_of(workspace, job_id)
    if plan.grants:
        permissions.grant(workspace, "jobs", str(job_id), plan.grants)
        _log.info(f"granted on job {job_id}: {permissions.describe(plan.grants)}")
    _log.info(f"job {name} ({job_id}): {done}, {url}")
    cluster_id = None if ready.cluster is None else ready.cluster.id
    deployed = replace(report, job_id=job_id, job_url=url, cluster_id=cluster_id, status="deployed")
    return ready.placement, deployed


def _run(
    session: Session,
    plan: DeployPlan,
    target: TargetPlan,
    placement: Placement,
    report: TargetReport,
) -> TargetReport:
    """Start the requested runs, and follow them if requested."""
    request, job_id, workspace = plan.request, report.job_id, session.workspace
    assert job_id is not None
    if not request.calls:
        _log.info(f"no run started. Next: {_next_command(session, plan, job_id)}")
        return report
    versions = [str(stamped.wheel.version) for stamped in target.target.wheels]
    names = sorted(plan.secrets)
    key = [workspace.host, job_id, versions, request.calls, dict(request.env), names]
    with pending.invocation_of(key, len(request.calls)) as invocation:
        job = jobs.Job(job_id, target.target.job_name, {}, request.job.run_as)
        if plan.secrets and target.job is not None and job.run_as is None:
            job = jobs.get(workspace, job_id)  # it may have a run-as principal from before
        requested = run_requests.requests_for_deployed_job(
            session, invocation, job, request.calls, request.env, plan.secrets
        )
        if not request.wait:
            started = run_now.start(workspace, requested, invocation)
            run_ids = [run.run_id for run in started]
            _log.info(
                f"{pending.count_of_runs(len(started))} started. To follow: "
                f"{pending.follow_command(session, run_ids, plan.command)}"
            )
            return replace(report, status="running", runs=started)
        with pending.hint_if_interrupted(session, plan.command):
            results = follow.start_and_follow(
                workspace,
                requested,
                invocation,
                session.observer,
                in_flight=_parallel_runs(session, plan, placement),
                labels=labels_of(request.calls),
            )
    failed = sum(result.status == "failed" for result in results)
    _log.info(f"{pending.count_of_runs(len(results))} finished, {failed} failed")
    return replace(report, status="failed" if failed else "succeeded", runs=results)


def _parallel_runs(session: Session, plan: DeployPlan, placement: Placement) -> int:
    """Return how many runs to have in flight: the driver's cores, all without a shared driver."""
    count = len(plan.request.calls)
    if plan.request.runs_per_driver is not None:
        return plan.request.runs_per_driver
    if count == 1 or placement.driver_type is None:
        return count
    return cluster_settings.cores_of(session.workspace, placement.driver_type)


def _next_command(session: Session, plan: DeployPlan, job_id: int) -> str:
    words = ["lakeflow", "trigger-run", str(job_id), "ARGUMENTS"]
    if plan.command:
        words = [plan.command, '--run "ARGUMENTS"']
    return " ".join([*words, *session.workspace_options])
