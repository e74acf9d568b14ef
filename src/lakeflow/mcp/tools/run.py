"""Tools that start, cancel and repair runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from lakeflow.mcp import actions, inputs, presenters, results
from lakeflow.mcp.confirmation import Answer, Confirmation, NoAnswer, can_ask, question, require
from lakeflow.mcp.requests import CancelRequest, RepairRequest, TriggerRequest
from lakeflow.mcp.server import gateway_of

Calls = Annotated[
    list[list[str]],
    Field(
        description='One list of arguments for each run to start: [["fi"], ["fie"]] starts two '
        "runs, [[]] starts one without arguments."
    ),
]
Env = Annotated[
    dict[str, str],
    Field(description="Environment variables of every run. Not for secrets: they are stored."),
]
SecretNames = Annotated[
    list[str],
    Field(
        description="Variables of this server to pass to the runs as secrets. The person who runs "
        "the server decides which are allowed."
    ),
]
WithCurrent = Annotated[
    bool, Field(description="Repair even if the job has new code since the run was started.")
]


def ask_to_trigger(
    ctx: Context,
    job_id: inputs.JobId,
    arguments: Calls,
    env: Env,
    secret_env_vars: SecretNames,
    dry_run: inputs.DryRun,
) -> Elicit[Answer] | NoAnswer:
    """Ask before many runs are started."""
    gateway = gateway_of(ctx)
    request = _trigger_request(job_id, arguments, "", env, secret_env_vars)
    if dry_run or not gateway.policy.needs_confirmation(request) or not can_ask(ctx):
        return NoAnswer()
    steps = presenters.steps(actions.plan_trigger(gateway, request))
    return question(steps, limit=20 + len(env))  # every variable is shown


def trigger_runs(
    ctx: Context,
    job_id: inputs.JobId,
    arguments: Calls,
    request_id: inputs.RequestId,
    confirmation: Annotated[Confirmation, Resolve(ask_to_trigger)],
    env: Env = {},  # noqa: B006
    secret_env_vars: SecretNames = [],  # noqa: B006
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Triggered:
    """Start parallel runs of a job, one for each list of arguments. Returns at once."""
    gateway = gateway_of(ctx)
    request = _trigger_request(job_id, arguments, request_id, env, secret_env_vars)
    if dry_run:
        plan = presenters.plan(gateway, request, actions.plan_trigger(gateway, request))
        return results.Triggered([], False, plan, plan.next)
    if gateway.policy.needs_confirmation(request):
        require(confirmation, confirm, f"start {len(arguments)} runs")
    started = actions.trigger(gateway, request, plan_token or None)
    following = f"follow: wait_for_runs (run_ids {_ids(run.run_id for run in started.runs)})"
    if started.repeated:
        following = (
            "nothing new was started: this request_id had started these runs before. For more runs "
            f"choose a new request_id. {following}"
        )
    runs = presenters.started(gateway, started.runs)
    return results.Triggered(runs, started.repeated, None, following)


def ask_to_cancel(
    ctx: Context, run_ids: inputs.RunIds, dry_run: inputs.DryRun
) -> Elicit[Answer] | NoAnswer:
    """Ask before runs are cancelled."""
    if dry_run or not can_ask(ctx):
        return NoAnswer()
    request = CancelRequest(tuple(dict.fromkeys(run_ids)))
    return question(presenters.steps(actions.plan_cancel(gateway_of(ctx), request)))


def cancel_runs(
    ctx: Context,
    run_ids: inputs.RunIds,
    confirmation: Annotated[Confirmation, Resolve(ask_to_cancel)],
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Cancelled:
    """Cancel queued or running runs. Needs confirmation. Their output so far is kept."""
    gateway = gateway_of(ctx)
    request = CancelRequest(tuple(dict.fromkeys(run_ids)))
    if dry_run:
        plan = presenters.plan(gateway, request, actions.plan_cancel(gateway, request))
        return results.Cancelled([], [], plan, plan.next)
    count = len(request.run_ids)
    require(
        confirmation,
        confirm,
        f"cancel {'run ' + str(run_ids[0]) if count == 1 else f'{count} runs'}",
    )
    runs = actions.cancel(gateway, request, plan_token or None)
    active = [run.id for run in runs if run.state.outcome is None]
    return results.Cancelled(
        cancelling=[str(run_id) for run_id in active],
        already_finished=[str(run.id) for run in runs if run.state.outcome is not None],
        plan=None,
        next=(
            f"follow: wait_for_runs (run_ids {_ids(active)})"
            if active
            else "all runs had finished before"
        ),
    )


def ask_to_repair(
    ctx: Context, run_id: inputs.RunId, with_current: WithCurrent, dry_run: inputs.DryRun
) -> Elicit[Answer] | NoAnswer:
    """Ask before failed tasks are retried."""
    if dry_run or not can_ask(ctx):
        return NoAnswer()
    request = RepairRequest(run_id, "", with_current)
    return question(presenters.steps(actions.repair_changes(gateway_of(ctx), request)))


def repair_run(
    ctx: Context,
    run_id: inputs.RunId,
    request_id: inputs.RequestId,
    confirmation: Annotated[Confirmation, Resolve(ask_to_repair)],
    with_current: WithCurrent = False,
    dry_run: inputs.DryRun = False,
    plan_token: inputs.PlanToken = "",
    confirm: inputs.Confirm = False,
) -> results.Repaired:
    """Retry the failed tasks of a run with its arguments and id. Needs confirmation."""
    gateway = gateway_of(ctx)
    request = RepairRequest(run_id, request_id, with_current)
    if dry_run:
        plan = presenters.plan(gateway, request, actions.plan_repair(gateway, request))
        return results.Repaired(str(run_id), False, plan, plan.next)
    require(confirmation, confirm, f"retry the failed tasks of run {run_id}")
    repaired = actions.repair(gateway, request, plan_token or None)
    following = f"follow: wait_for_runs (run_ids {_ids([run_id])})"
    return results.Repaired(str(run_id), repaired.repeated, None, following)


def _trigger_request(
    job_id: int, arguments: Calls, request_id: str, env: Env, secret_env_vars: SecretNames
) -> TriggerRequest:
    return TriggerRequest(
        job_id,
        tuple(tuple(argv) for argv in arguments),
        request_id,
        dict(env),
        tuple(sorted(secret_env_vars)),
    )


def _ids(run_ids: Iterable[int]) -> str:
    return json.dumps([str(run_id) for run_id in run_ids])
