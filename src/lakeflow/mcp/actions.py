"""What the tools that change something do: check a request, plan it, and carry it out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lakeflow.mcp import ownership
from lakeflow.mcp.requests import (
    BuildRequest,
    CancelRequest,
    DeployWheelsRequest,
    RepairRequest,
    Request,
    TriggerRequest,
)
from lakeflow.operations.changes import Change, Resource
from lakeflow.resources import field_diff
from lakeflow.specs.deploy import DeployRequest
from lakeflow.state.hashing import digest

if TYPE_CHECKING:
    from pathlib import Path

    from lakeflow.mcp.gateway import Gateway
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.report import Report
    from lakeflow.operations.trigger import Requested
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.runs import Run


def plan_trigger(gateway: Gateway, request: TriggerRequest) -> list[Change]:
    """Plan to start runs. Raises what `trigger` raises."""
    from lakeflow.operations import run_requests
    from lakeflow.resources import secrets

    gateway.policy.check(request, dry_run=True)
    job = gateway.launcher.jobs.get(request.job_id)
    ownership.check_job(gateway, job)
    values = secrets.read(request.secret_env_vars, None, os.environ)
    run_requests.check_job_calls(job, request.calls, request.env, values)
    return [Change("unchanged", _job(job), _fingerprints(job)), *_triggers(request)]


def trigger(gateway: Gateway, request: TriggerRequest, plan_token: str | None) -> Requested:
    """Start runs, once for each request id; with a token, only if its plan still holds.

    Raises Refused and UsageError.
    """
    gateway.policy.check(request)
    changes = plan_trigger(gateway, request)
    with gateway.launcher.runs.begin_trigger(
        request.job_id,
        request.calls,
        request_id=request.request_id,
        env=request.env,
        secret_env_vars=request.secret_env_vars,
    ) as pending:
        if pending.is_new:
            check_plan(gateway, plan_token, request, changes)
        return pending.start()


def plan_cancel(gateway: Gateway, request: CancelRequest) -> list[Change]:
    """Plan to cancel runs. Raises what `cancel` raises."""
    gateway.policy.check(request, dry_run=True)
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(gateway.launcher.runs.get, request.run_ids))
    ownership.check_runs(gateway, runs)
    return [
        Change("cancel" if run.state.outcome is None else "unchanged", _run(run)) for run in runs
    ]


def cancel(gateway: Gateway, request: CancelRequest, plan_token: str | None) -> tuple[Run, ...]:
    """Cancel runs; with a token, only if its plan still holds. Returns the runs as they were.

    Raises Refused and UsageError.
    """
    gateway.policy.check(request)
    check_plan(gateway, plan_token, request, plan_cancel(gateway, request))
    return gateway.launcher.runs.cancel(request.run_ids)


def repair_changes(
    gateway: Gateway, request: RepairRequest, *, dry_run: bool = False
) -> list[Change]:
    """Return the changes of a repair; unlike `plan_repair`, also if it was carried out already."""
    gateway.policy.check(request, dry_run=dry_run)
    run = gateway.launcher.runs.get(request.run_id)
    ownership.check_runs(gateway, [run])
    job = gateway.launcher.jobs.get(run.job_id)
    failed = [task.key for task in run.tasks if task.state.outcome not in (None, "succeeded")]
    return [Change("repair", _run(run), _fingerprints(job), {"tasks": failed})]


def plan_repair(gateway: Gateway, request: RepairRequest) -> list[Change]:
    """Plan to retry failed tasks. Raises what `repair` raises."""
    from lakeflow.operations import repair as operation

    changes = repair_changes(gateway, request, dry_run=True)
    launcher = gateway.launcher
    run = launcher.runs.get(request.run_id)
    operation.plan_repair(launcher.workspace, run, with_current=request.with_current)
    return changes


def repair(gateway: Gateway, request: RepairRequest, plan_token: str | None) -> Requested:
    """Retry failed tasks, once for each request id; with a token, only if its plan still holds.

    Raises Refused and UsageError.
    """
    changes = repair_changes(gateway, request)
    with gateway.launcher.runs.begin_repair(
        request.run_id, request_id=request.request_id, with_current=request.with_current
    ) as pending:
        if pending.is_new:
            check_plan(gateway, plan_token, request, changes)
        return pending.start()


def plan_deploy(gateway: Gateway, request: DeployWheelsRequest) -> Sequence[Change]:
    """Plan to deploy wheels; only reads. Raises what `deploy` raises."""
    _check_deploy(gateway, request, dry_run=True)
    return _deploy_plan(gateway, request, gateway.policy.wheels(request)).changes


def deploy(gateway: Gateway, request: DeployWheelsRequest, plan_token: str | None) -> Report:
    """Deploy wheels as jobs; with a token, only if its plan still holds.

    Raises Refused, UsageError and what `Launcher.deploy` raises.
    """
    _check_deploy(gateway, request)
    plan = _deploy_plan(gateway, request, gateway.policy.wheels(request))
    return _apply(gateway, request, plan, plan_token)


def plan_build(gateway: Gateway, request: BuildRequest) -> Sequence[Change]:
    """Build a package, which runs its code, and plan to deploy it. Raises what building raises."""
    _check_deploy(gateway, request, dry_run=True)
    return _deploy_plan(gateway, request, _build(gateway, request)).changes


def build_and_deploy(gateway: Gateway, request: BuildRequest, plan_token: str | None) -> Report:
    """Build a package, which runs its code, and deploy it. Raises what building raises."""
    _check_deploy(gateway, request)
    plan = _deploy_plan(gateway, request, _build(gateway, request))
    return _apply(gateway, request, plan, plan_token)


def check_plan(
    gateway: Gateway, plan_token: str | None, request: Request, changes: Sequence[Change]
) -> None:
    """Raise Refused if a plan is given that no longer holds."""
    if plan_token is not None:
        gateway.plans.check(plan_token, request, changes)


def _check_deploy(
    gateway: Gateway, request: DeployWheelsRequest | BuildRequest, *, dry_run: bool = False
) -> None:
    gateway.policy.check(request, dry_run=dry_run)
    if request.compute.cluster_id is not None:
        ownership.check_cluster(gateway, request.compute.cluster_id)


def _build(gateway: Gateway, request: BuildRequest) -> Sequence[Path]:
    policy = gateway.policy
    return gateway.launcher.wheels.build(
        policy.folder(request),
        request.package,
        without=policy.secret_env_vars,
        check_source=policy.check_source,
    )


def _deploy_plan(
    gateway: Gateway, request: DeployWheelsRequest | BuildRequest, wheels: Sequence[Path | str]
) -> DeployPlan:
    deploy_request = DeployRequest(
        wheels=tuple(wheels),
        name=request.name,
        compute=request.compute,
        wait=False,
        code_only=True,
    )
    return gateway.launcher.plan(deploy_request)


def _apply(gateway: Gateway, request: Request, plan: DeployPlan, plan_token: str | None) -> Report:
    check_plan(gateway, plan_token, request, plan.changes)
    return gateway.launcher.apply(plan)


def _triggers(request: TriggerRequest) -> list[Change]:
    shared = {"env": dict(request.env), "secrets": sorted(request.secret_env_vars)}
    return [
        Change("trigger", Resource("run", str(n)), None, {"argv": list(argv), **shared})
        for n, argv in enumerate(request.calls)
    ]


def _job(job: Job) -> Resource:
    return Resource("job", job.name, str(job.id))


def _run(run: Run) -> Resource:
    return Resource("run", run.name, str(run.id))


def _fingerprints(job: Job) -> dict[str, object]:
    """Return a digest of each setting of a job: they may hold what must not be stored."""
    fields = field_diff.flatten(job.settings)
    return {name: digest(value)[:12] for name, value in fields.items()}
