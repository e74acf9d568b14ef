"""Deploy: apply a plan, from wheels to jobs and the requested runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lakeflow.errors import LakeflowError
from lakeflow.operations import compute, follow, pending_invocations, run_requests, upload
from lakeflow.operations.follow import Interrupted, RunGroup
from lakeflow.operations.observer import labels_of
from lakeflow.operations.plan import DeployPlan, TargetPlan
from lakeflow.operations.report import Report, TargetReport, write_report
from lakeflow.operations.session import Session
from lakeflow.resources import jobs, node_types, permissions, run_now
from lakeflow.resources.node_types import ServerlessOnly
from lakeflow.specs.compute import NewCluster, Placement

_log = logging.getLogger(__name__)

_PARALLEL_TARGETS = 8
"""Targets that are deployed at the same time."""


def apply(session: Session, plan: DeployPlan, *, report: Path | None = None) -> Report:
    """Upload wheels, create or update compute and jobs, and start the requested runs.

    Targets are deployed in parallel, and their runs followed together. All are tried before the
    first error is raised. The report is returned, and written to `report`, also if a run fails.

    Raises WorkspaceError, and Interrupted on Ctrl-C while runs are followed.
    """
    session.check_workspace(plan.workspace)
    states = [_State(target, target.report({}, "failed")) for target in plan.targets]
    _create_clusters(session, states)
    _upload(session, [state for state in states if state.error is None])
    try:
        _deploy_all(session, [state for state in states if state.error is None])
        _run_all(session, plan, [state for state in states if state.error is None])
    finally:
        found = Report(plan.workspace, tuple(state.report for state in states))
        if report is not None:
            write_report(found, report)
    for state in states:
        if state.error is not None:
            raise state.error
    return found


class _State:
    """How far a target has come."""

    def __init__(self, plan: TargetPlan, report: TargetReport) -> None:
        self.plan = plan
        self.report = report
        self.compute = plan.compute
        self.placement: Placement = plan.compute.placement
        self.error: LakeflowError | None = None

    def fail(self, error: LakeflowError) -> None:
        self.error = error
        self.report = replace(self.report, status="failed", error=str(error))


def _create_clusters(session: Session, states: Sequence[_State]) -> None:
    """Create the clusters that are new: only that shows whether the workspace allows them.

    One that has only serverless compute gets that, unless clusters were requested.
    """

    def create(state: _State) -> None:
        target, requested = state.plan.target, state.plan.request.compute
        try:
            state.compute = compute.ensure(session, state.plan.compute)
        except ServerlessOnly as error:
            if not requested.allows_serverless:
                return state.fail(error)
            wheels = [stamped.source for stamped in target.wheels]
            try:
                state.compute = compute.serverless(
                    requested, state.plan.identity, wheels, target.pythons, only=True
                )
            except LakeflowError as incompatible:
                state.fail(incompatible)
        except LakeflowError as error:
            state.fail(error)

    new = [s for s in states if isinstance(s.plan.compute.placement, NewCluster)]
    with ThreadPoolExecutor(_PARALLEL_TARGETS) as pool:
        for done in [pool.submit(create, state) for state in new]:
            done.result()


def _upload(session: Session, states: Sequence[_State]) -> None:
    """Upload the wheels of these targets; without them their new clusters are terminated."""
    if not states:
        return
    wheels = [artifact for state in states for artifact in state.plan.artifacts]
    try:
        sent = upload.send(session, wheels)
    except BaseException:
        for state in states:
            compute.release(session, replace(state.compute, start=False))
        raise
    for state in states:
        state.report = state.plan.report(sent, "failed")


def _deploy_all(session: Session, states: Sequence[_State]) -> None:
    """Deploy all targets in parallel, those that share a cluster one after the other."""
    queues: dict[object, list[_State]] = {}
    for number, state in enumerate(states):
        cluster = state.plan.compute.cluster
        queues.setdefault(number if cluster is None else cluster.id, []).append(state)

    def deploy(queue: Sequence[_State]) -> None:
        for state in queue:
            try:
                state.placement, state.report = _deploy(session, state)
            except LakeflowError as error:
                state.fail(error)

    with ThreadPoolExecutor(_PARALLEL_TARGETS) as pool:
        for done in [pool.submit(deploy, queue) for queue in queues.values()]:
            done.result()


def _deploy(session: Session, state: _State) -> tuple[Placement, TargetReport]:
    """Create or update a target's compute, then its job."""
    plan, ready = state.plan, state.compute
    if ready is plan.compute:
        ready = compute.ensure(session, ready)
    try:
        job_id, url, done = _deploy_job(session, plan, ready.placement)
        if done == "updated":
            paths = [artifact.path for artifact in plan.artifacts]
            compute.detach_superseded(session, ready, plan.root, paths)
    finally:
        compute.release(session, ready)
    cluster_id = None if ready.cluster is None else ready.cluster.id
    deployed = replace(
        state.report, job_id=job_id, job_url=url, cluster_id=cluster_id, status="deployed"
    )
    return ready.placement, deployed


def _deploy_job(session: Session, plan: TargetPlan, placement: Placement) -> tuple[int, str, str]:
    """Create or update a target's job; return its id, its page's address and what was done."""
    workspace, name = session.workspace, plan.target.job_name
    settings = plan.settings(placement)
    if plan.job is None:
        job_id = jobs.create(workspace, settings)
        done = "created"
    else:
        job_id, done = plan.job.id, "unchanged"
        if jobs.differences(settings, plan.job):
            jobs.reset(workspace, job_id, settings)
            done = "updated"
    url = jobs.url_of(workspace, job_id)
    if plan.permissions:
        permissions.grant(workspace, "jobs", str(job_id), plan.permissions)
        _log.info(f"granted on job {job_id}: {permissions.describe(plan.permissions)}")
    _log.info(f"job {name} ({job_id}): {done}, {url}")
    return job_id, url, done


def _run_all(session: Session, plan: DeployPlan, states: Sequence[_State]) -> None:
    """Start the requested runs of all targets, and follow them if requested."""
    if not plan.request.calls:
        for state in states:
            job_id = state.report.job_id
            _log.info(f"no run started. Next: {_next_command(session, plan, job_id)}")
        return
    with ExitStack() as stack:
        groups: list[tuple[_State, RunGroup]] = []
        for state in states:
            try:
                groups.append((state, _run_group(session, plan, state, states, stack)))
            except LakeflowError as error:
                state.fail(error)
        if plan.request.wait:
            _follow_all(session, plan, groups)
            return
        for state, group in groups:
            try:
                _start(session, plan, state, group)
            except LakeflowError as error:
                state.fail(error)


def _run_group(
    session: Session,
    plan: DeployPlan,
    state: _State,
    states: Sequence[_State],
    stack: ExitStack,
) -> RunGroup:
    """Return the runs to start for a target; `stack` holds its invocation."""
    request, workspace, target = plan.request, session.workspace, state.plan.target
    job_id = state.report.job_id
    assert job_id is not None
    versions = [str(stamped.wheel.version) for stamped in target.wheels]
    names = sorted(plan.secrets)
    key = [workspace.host, job_id, versions, request.calls, dict(request.env), names]
    invocation = stack.enter_context(pending_invocations.invocation_of(key, len(request.calls)))
    job = jobs.Job(job_id, target.job_name, {}, request.job.run_as)
    if plan.secrets and state.plan.job is not None and job.run_as is None:
        job = jobs.get(workspace, job_id)  # it may have a run-as principal from before
    requested = run_requests.requests_for_deployed_job(
        session, invocation, job, request.calls, request.env, plan.secrets
    )
    labels = labels_of(request.calls)
    if len(states) > 1:
        labels = [f"{target.job_name} {label}" for label in labels]
    sharing = [other for other in states if other.placement == state.placement]
    in_flight = _parallel_runs(session, plan, state.placement)
    if state.placement.driver_type is not None:
        in_flight = max(1, in_flight // len(sharing))
    return RunGroup(requested, invocation, in_flight, labels)


def _start(session: Session, plan: DeployPlan, state: _State, group: RunGroup) -> None:
    """Start the runs of a target without following them."""
    started = run_now.start(session.workspace, group.requests, group.invocation)
    run_ids = [run.run_id for run in started]
    _log.info(
        f"{pending_invocations.count_of_runs(len(started))} started. To follow: "
        f"{pending_invocations.follow_command(session, run_ids, plan.command)}"
    )
    state.report = replace(state.report, status="running", runs=started)


def _follow_all(
    session: Session, plan: DeployPlan, groups: Sequence[tuple[_State, RunGroup]]
) -> None:
    """Start the runs of all targets and follow them together until they finish."""
    try:
        with pending_invocations.hint_if_interrupted(session, plan.command):
            found = follow.start_and_follow(
                session.workspace, [group for _, group in groups], session.observer
            )
    except Interrupted as stop:
        for (state, _), results in zip(groups, stop.groups, strict=True):
            state.report = replace(state.report, status="running", runs=results)
        raise
    for (state, _), result in zip(groups, found, strict=True):
        failed = sum(run.status == "failed" for run in result.results)
        status = "failed" if failed else "succeeded"
        state.report = replace(state.report, status=status, runs=result.results)
        if result.error is not None:
            state.fail(result.error)
        name = f"{state.plan.target.job_name}: " if len(groups) > 1 else ""
        count = pending_invocations.count_of_runs(len(result.results))
        _log.info(f"{name}{count} finished, {failed} failed")


def _parallel_runs(session: Session, plan: DeployPlan, placement: Placement) -> int:
    """Return how many runs to have in flight: the driver's cores, all without a shared driver."""
    count = len(plan.request.calls)
    if plan.request.runs_per_driver is not None:
        return plan.request.runs_per_driver
    if count == 1 or placement.driver_type is None:
        return count
    return node_types.cores_of(session.workspace, placement.driver_type)


def _next_command(session: Session, plan: DeployPlan, job_id: int | None) -> str:
    words = ["lakeflow", "trigger-run", str(job_id), "ARGUMENTS"]
    if plan.command:
        words = [plan.command, '--run "ARGUMENTS"']
    return " ".join([*words, *session.workspace_options])
