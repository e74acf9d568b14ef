"""Tools that start runs, end them, and run again what failed of them."""

from __future__ import annotations

import json
from typing import Annotated

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from lakeflow.mcp import inputs, presenters, results
from lakeflow.mcp.confirmation import Consent, NotAsked, Yes, can_ask, question, require
from lakeflow.mcp.guard import trigger_request
from lakeflow.mcp.server import guard_of

Calls = Annotated[
    list[list[str]],
    Field(
        description="A list of arguments for each run to start: "
        '[["fi"], ["fie"]] starts two runs, [[]] one without arguments.'
    ),
]
Env = Annotated[
    dict[str, str],
    Field(description="Environment variables for every run. Not for secrets: they are stored."),
]
SecretNames = Annotated[
    list[str],
    Field(
        description="Names of variables of this server that are handed to the runs as secrets; "
        "the person who runs it says which there are."
    ),
]
WithCurrent = Annotated[
    bool, Field(description="Also where the job has other code now than when the run was started.")
]


def ask_to_trigger(
    ctx: Context,
    job_id: inputs.JobId,
    arguments: Calls,
    env: Env,
    secret_env_vars: SecretNames,
    dry_run: inputs.DryRun,
) -> Elicit[Yes] | NotAsked:
    """The question before many runs are started."""
    guard = guard_of(ctx)
    if dry_run or len(arguments) <= guard.limits.ask_above or not can_ask(ctx):
        return NotAsked()
    planned = guard.plan_trigger(job_id, arguments, env, secret_env_vars)
    return question(list(planned.steps), most=20 + len(env))  # every variable is seen


def trigger_runs(
    ctx: Context,
    job_id: inputs.JobId,
    arguments: Calls,
    request_id: inputs.RequestId,
    consent: Annotated[Consent, Resolve(ask_to_trigger)],
    env: Env = {},  # noqa: B006
    secret_env_vars: SecretNames = [],  # noqa: B006
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Triggered:
    """Start runs of a job side by side, one for each list of arguments; returns at once."""
    guard = guard_of(ctx)
    if dry_run:
        planned = guard.plan_trigger(job_id, arguments, env, secret_env_vars)
        request = trigger_request(job_id, arguments, env, secret_env_vars, request_id)
        plan = presenters.plan(guard.plans.keep("trigger_runs", request, planned), planned)
        return results.Triggered([], False, plan, plan.next)
    if len(arguments) > guard.limits.ask_above:
        require(consent, confirm, f"start {len(arguments)} runs")
    made = guard.trigger(
        job_id,
        arguments,
        env=env,
        secret_names=secret_env_vars,
        request_id=request_id,
        plan=plan_token or None,
    )
    ids = [str(run.run_id) for run in made.runs]
    told = f"wait_for_runs (run_ids {json.dumps(ids)}) says when they have ended"
    if made.repeated:
        told = (
            "nothing new was started: these are the runs that this request_id has started before. "
            f"For more runs take a new one. {told}"
        )
    return results.Triggered(presenters.started(guard, made.runs), made.repeated, None, told)


def ask_to_cancel(
    ctx: Context, run_ids: inputs.RunIds, dry_run: inputs.DryRun
) -> Elicit[Yes] | NotAsked:
    """The question before runs are ended."""
    if dry_run or not can_ask(ctx):
        return NotAsked()
    ids = list(dict.fromkeys(run_ids))
    return question(list(guard_of(ctx).plan_cancel(ids).steps))


def cancel_runs(
    ctx: Context,
    run_ids: inputs.RunIds,
    consent: Annotated[Consent, Resolve(ask_to_cancel)],
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Cancelled:
    """End runs. What they have done so far is kept; it needs a yes."""
    guard = guard_of(ctx)
    ids = list(dict.fromkeys(run_ids))
    if dry_run:
        planned = guard.plan_cancel(ids)
        plan = presenters.plan(guard.plans.keep("cancel_runs", ids, planned), planned)
        return results.Cancelled([], [], plan, plan.next)
    require(consent, confirm, f"end {len(ids)} runs" if len(ids) > 1 else f"end run {ids[0]}")
    found = guard.cancel(ids, plan=plan_token or None)
    ended = [str(run.id) for run in found if run.state.outcome is not None]
    told = [str(run.id) for run in found if run.state.outcome is None]
    step = (
        f"wait_for_runs (run_ids {json.dumps(told)}) says when they have ended"
        if told
        else "none went on"
    )
    return results.Cancelled(told, ended, None, step)


def ask_to_repair(
    ctx: Context, run_id: inputs.RunId, dry_run: inputs.DryRun
) -> Elicit[Yes] | NotAsked:
    """The question before tasks are run again."""
    if dry_run or not can_ask(ctx):
        return NotAsked()
    return question(list(guard_of(ctx).plan_repair(run_id).steps))


def repair_run(
    ctx: Context,
    run_id: inputs.RunId,
    request_id: inputs.RequestId,
    consent: Annotated[Consent, Resolve(ask_to_repair)],
    with_current: WithCurrent = False,
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Repaired:
    """Run again only what failed of a run, with its arguments, under its id; it needs a yes."""
    guard = guard_of(ctx)
    if dry_run:
        guard.check_repair(run_id, with_current=with_current)
        planned = guard.plan_repair(run_id)
        request = [run_id, with_current, request_id]
        plan = presenters.plan(guard.plans.keep("repair_run", request, planned), planned)
        return results.Repaired(str(run_id), False, plan, plan.next)
    require(consent, confirm, f"run again what failed of run {run_id}")
    made = guard.repair(
        run_id, with_current=with_current, request_id=request_id, plan=plan_token or None
    )
    told = f'wait_for_runs (run_ids ["{run_id}"]) says when it has ended'
    return results.Repaired(str(run_id), made.repeated, None, told)
