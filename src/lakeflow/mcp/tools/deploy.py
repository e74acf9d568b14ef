"""Tools that make jobs: of wheels that are there, or of a folder that is built first."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from lakeflow.mcp import inputs, presenters, results
from lakeflow.mcp.confirmation import Consent, NotAsked, Yes, can_ask, question, require
from lakeflow.mcp.guard import build_request, deploy_request
from lakeflow.mcp.sanitize import short
from lakeflow.mcp.server import guard_of
from lakeflow.specs.compute import Compute

Folder = Annotated[
    str,
    Field(
        description="The folder with the package's pyproject.toml: a path below a root of this "
        "server, relative to the first one or absolute.",
        max_length=4096,
    ),
]
Package = Annotated[
    str, Field(description="The package's name, to be sure that it is this one.", max_length=200)
]


def compute_of(kind: str, max_workers: int, cluster_id: str) -> Compute:
    """Where the runs of a job compute; with nothing said, as it has it."""
    kind = "cluster" if kind == "as-is" else kind
    return Compute(kind=kind, max_workers=max_workers or None, cluster_id=cluster_id or None)


def plan_deploy(
    ctx: Context,
    wheels: inputs.Wheels,
    name: inputs.JobName = "",
    compute: inputs.ComputeKind = "as-is",
    max_workers: inputs.MaxWorkers = 0,
    cluster_id: inputs.ClusterId = "",
) -> results.Plan:
    """Say what deploy_wheels would change, as steps and a diff of the job; changes nothing."""
    guard = guard_of(ctx)
    where = compute_of(compute, max_workers, cluster_id)
    planned, _ = guard.plan_deploy(wheels, name or None, where)
    request = deploy_request(wheels, name or None, where)
    return presenters.plan(guard.plans.keep("deploy_wheels", request, planned), planned)


def ask_to_deploy(
    ctx: Context,
    wheels: inputs.Wheels,
    name: inputs.JobName,
    compute: inputs.ComputeKind,
    max_workers: inputs.MaxWorkers,
    cluster_id: inputs.ClusterId,
    dry_run: inputs.DryRun,
) -> Elicit[Yes] | NotAsked:
    """The question before wheels are deployed."""
    if dry_run or not can_ask(ctx):
        return NotAsked()
    where = compute_of(compute, max_workers, cluster_id)
    planned, _ = guard_of(ctx).plan_deploy(wheels, name or None, where)
    return question([*planned.steps, *planned.changes])


def deploy_wheels(
    ctx: Context,
    wheels: inputs.Wheels,
    consent: Annotated[Consent, Resolve(ask_to_deploy)],
    name: inputs.JobName = "",
    compute: inputs.ComputeKind = "as-is",
    max_workers: inputs.MaxWorkers = 0,
    cluster_id: inputs.ClusterId = "",
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Deployed:
    """Make a job of wheels, or give the job that there is their code; runs nothing.

    What a job has besides its code, a schedule say, stays as it is. It needs a yes.
    """
    guard = guard_of(ctx)
    where = compute_of(compute, max_workers, cluster_id)
    if dry_run:
        planned, _ = guard.plan_deploy(wheels, name or None, where)
        request = deploy_request(wheels, name or None, where)
        plan = presenters.plan(guard.plans.keep("deploy_wheels", request, planned), planned)
        return results.Deployed([], plan, plan.next)
    require(consent, confirm, "deploy these wheels")
    _, report = guard.deploy(wheels, name or None, where, plan=plan_token or None)
    return results.Deployed(presenters.deployed(guard, report), None, _NEXT)


def ask_to_build(
    ctx: Context, folder: Folder, name: inputs.JobName, dry_run: inputs.DryRun
) -> Elicit[Yes] | NotAsked:
    """Ask before a folder's code runs to build it: a dry run builds too."""
    if not can_ask(ctx):
        return NotAsked()
    job = f"the job {short(name, presenters.NAME)}" if name else "a job"
    steps = [f"build the package in {short(folder, 500)}, which runs its code on this machine"]
    return question(steps if dry_run else [*steps, f"deploy it as {job}"])


def build_and_deploy(
    ctx: Context,
    folder: Folder,
    consent: Annotated[Consent, Resolve(ask_to_build)],
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

    A dry run builds it too and changes nothing in the workspace. Both need a yes.
    """
    guard = guard_of(ctx)
    where = compute_of(compute, max_workers, cluster_id)
    deploying = "" if dry_run else " and deploy it"
    require(consent, confirm, f"build {short(folder, presenters.NAME)}{deploying}")
    planned, report = guard.build_and_deploy(
        folder,
        package or None,
        name or None,
        where,
        dry_run=dry_run,
        plan=plan_token or None if not dry_run else None,
    )
    if dry_run:
        request = build_request(folder, package or None, name or None, where)
        plan = presenters.plan(guard.plans.keep("build_and_deploy", request, planned), planned)
        return results.Deployed([], plan, plan.next)
    return results.Deployed(presenters.deployed(guard, report), None, _NEXT)


_NEXT = "nothing was run: start runs with trigger_runs, one list of arguments for each"
