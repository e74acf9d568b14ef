"""Tools that deploy jobs: from existing wheels, or from a folder that is built first."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from lakeflow.mcp import actions, inputs, presenters, results
from lakeflow.mcp.confirmation import Answer, Confirmation, NoAnswer, can_ask, question, require
from lakeflow.mcp.requests import BuildRequest, DeployWheelsRequest
from lakeflow.mcp.sanitize import short
from lakeflow.mcp.server import gateway_of
from lakeflow.specs.compute import Compute

Folder = Annotated[
    str,
    Field(
        description="The folder with the package's pyproject.toml, below a --root of this server: "
        "absolute, or relative to the first root.",
        max_length=4096,
    ),
]
Package = Annotated[
    str, Field(description="The expected package name; others are refused.", max_length=200)
]


def plan_deploy(
    ctx: Context,
    wheels: inputs.Wheels,
    name: inputs.JobName = "",
    compute: inputs.ComputeKind = "as-is",
    max_workers: inputs.MaxWorkers = 0,
    cluster_id: inputs.ClusterId = "",
) -> results.Plan:
    """Show what deploy_wheels would change: its steps and the changed job settings."""
    gateway = gateway_of(ctx)
    request = _wheels_request(wheels, name, compute, max_workers, cluster_id)
    return presenters.plan(gateway, request, actions.plan_deploy(gateway, request))


def ask_to_deploy(
    ctx: Context,
    wheels: inputs.Wheels,
    name: inputs.JobName,
    compute: inputs.ComputeKind,
    max_workers: inputs.MaxWorkers,
    cluster_id: inputs.ClusterId,
    dry_run: inputs.DryRun,
) -> Elicit[Answer] | NoAnswer:
    """Ask before wheels are deployed."""
    if dry_run or not can_ask(ctx):
        return NoAnswer()
    request = _wheels_request(wheels, name, compute, max_workers, cluster_id)
    changes = actions.plan_deploy(gateway_of(ctx), request)
    return question([*presenters.steps(changes), *presenters.field_changes(changes)])


def deploy_wheels(
    ctx: Context,
    wheels: inputs.Wheels,
    confirmation: Annotated[Confirmation, Resolve(ask_to_deploy)],
    name: inputs.JobName = "",
    compute: inputs.ComputeKind = "as-is",
    max_workers: inputs.MaxWorkers = 0,
    cluster_id: inputs.ClusterId = "",
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Deployed:
    """Create a job from wheels, or update the code of an existing one. Starts no runs.

    Other settings of an existing job, such as its schedule, are kept. Needs confirmation.
    """
    gateway = gateway_of(ctx)
    request = _wheels_request(wheels, name, compute, max_workers, cluster_id)
    if dry_run:
        plan = presenters.plan(gateway, request, actions.plan_deploy(gateway, request))
        return results.Deployed([], plan, plan.next)
    require(confirmation, confirm, "deploy these wheels")
    report = actions.deploy(gateway, request, plan_token or None)
    return results.Deployed(presenters.deployed(gateway, report), None, _NEXT)


def ask_to_build(
    ctx: Context, folder: Folder, name: inputs.JobName, dry_run: inputs.DryRun
) -> Elicit[Answer] | NoAnswer:
    """Ask before a folder's code runs to build it, also in a dry run."""
    gateway_of(ctx).policy.check(BuildRequest(folder), dry_run=dry_run)
    if not can_ask(ctx):
        return NoAnswer()
    job = f"the job {short(name, presenters.NAME)}" if name else "a job"
    steps = [f"build the package in {short(folder, 500)}, which runs its code on this machine"]
    return question(steps if dry_run else [*steps, f"deploy it as {job}"])


def build_and_deploy(
    ctx: Context,
    folder: Folder,
    confirmation: Annotated[Confirmation, Resolve(ask_to_build)],
    package: Package = "",
    name: inputs.JobName = "",
    compute: inputs.ComputeKind = "as-is",
    max_workers: inputs.MaxWorkers = 0,
    cluster_id: inputs.ClusterId = "",
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Deployed:
    """Build the package in a folder, which runs its code here, and deploy it as deploy_wheels does.

    A dry run builds it too, but changes nothing in the workspace. Both need confirmation.
    """
    gateway = gateway_of(ctx)
    target = _compute(compute, max_workers, cluster_id)
    request = BuildRequest(folder, package or None, name or None, target)
    deploying = "" if dry_run else " and deploy it"
    require(confirmation, confirm, f"build {short(folder, presenters.NAME)}{deploying}")
    if dry_run:
        plan = presenters.plan(gateway, request, actions.plan_build(gateway, request))
        return results.Deployed([], plan, plan.next)
    report = actions.build_and_deploy(gateway, request, plan_token or None)
    return results.Deployed(presenters.deployed(gateway, report), None, _NEXT)


def _wheels_request(
    wheels: list[str], name: str, compute: str, max_workers: int, cluster_id: str
) -> DeployWheelsRequest:
    target = _compute(compute, max_workers, cluster_id)
    return DeployWheelsRequest(tuple(wheels), name or None, target)


def _compute(kind: str, max_workers: int, cluster_id: str) -> Compute:
    """Return compute options; the defaults keep what an existing job has."""
    kind = "cluster" if kind == "as-is" else kind
    return Compute(kind=kind, max_workers=max_workers or None, cluster_id=cluster_id or None)


_NEXT = "no runs were started: start them with trigger_runs"
