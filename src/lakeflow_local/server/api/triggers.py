"""Runs that are asked for: `run-now`, `runs/submit` and `runs/repair` of `/api/2.{0,1,2}/jobs/`.

Source: docs.databricks.com/api/workspace/jobs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lakeflow_local.runs import lifecycle
from lakeflow_local.runs.lifecycle import dependencies
from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.authorization import anyone, on_job, on_run
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.job_settings import check_settings
from lakeflow_local.server.api.jobs import VERSIONS, job_row
from lakeflow_local.server.api.request import ApiRequest, ApiResponse, check_strings
from lakeflow_local.server.api.route import versioned
from lakeflow_local.server.api.runs import job_run
from lakeflow_local.storage import records
from lakeflow_local.storage.database import next_id, now

MAX_PARAMETER_BYTES = 10_000
MAX_TOKEN_LENGTH = 64

NULL_PARAMETER = "Could not parse request object: Expected both 'key' and 'value' to be set"
REFUSED_RUN_PARAMETERS = [
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
    "sql_params",
    "pipeline_params",
]
LEGACY_PARAMETERS = [
    "python_params",
    "python_named_params",
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
]


def run_now(request: ApiRequest) -> ApiResponse:
    """Trigger a run. A known idempotency token is answered with its run, however that ended."""
    workspace = request.workspace
    with workspace.store.transaction() as database:
        row = job_row(database, request.number("job_id"))
        settings = json.loads(row["settings"])
        trigger = _checked_trigger(request, settings)
        settings["tasks"] = _chosen_tasks(request, settings["tasks"])
        run_id = _run_of_token(request, database)
        if run_id is None:
            run_id = lifecycle.create(
                database, row["job_id"], settings, trigger, now(), creator=request.principal.name
            )
            _reserve_token(request, database, run_id)
    workspace.engine.wake()
    return {"run_id": run_id, "number_in_job": run_id}


def submit(request: ApiRequest) -> ApiResponse:
    """Run tasks once, without a job: nothing is listed under jobs, nothing is retried unasked."""
    workspace = request.workspace
    given = dict(request.parameters)
    settings = check_settings(request, given | {"name": given.pop("run_name", None)})
    grants = permissions.checked_grants(request, "jobs")
    with workspace.store.transaction() as database:
        run_id = _run_of_token(request, database)
        if run_id is None:
            job_id = next_id(database, "jobs")
            me = request.principal.name
            run_id = lifecycle.create(database, job_id, settings, {}, now(), "SUBMIT_RUN", me)
            permissions.grant(database, "jobs", str(job_id), grants, owner=me, is_whole=True)
            _reserve_token(request, database, run_id)
    workspace.engine.wake()
    return {"run_id": run_id}


def repair(request: ApiRequest) -> ApiResponse:
    """Run tasks of a finished run again, with the current settings of its job.

    Job parameters have to be sent again: those of the run are forgotten.
    """
    workspace = request.workspace
    with workspace.store.transaction() as database:
        run = job_run(database, request.number("run_id"))
        if run.ended is None:
            raise invalid(f"Run {run.run_id} is still active: it can be repaired once it ended.")
        last = database.execute(
            "SELECT repair_id FROM repairs WHERE job_run_id = ? AND type = 'REPAIR'"
            " ORDER BY repair_id DESC LIMIT 1",
            (run.run_id,),
        ).fetchone()
        if last is not None and request.number("latest_repair_id", 0) != last["repair_id"]:
            raise invalid(
                f"latest_repair_id must be the id of the latest repair of run {run.run_id}."
            )
        settings = run.settings
        if run.run_type == "JOB_RUN":
            settings = json.loads(job_row(database, run.job_id)["settings"])
        trigger = _checked_trigger(request, settings)
        trigger |= {name: run.trigger[name] for name in ("type", "due") if name in run.trigger}
        keys = _repaired_tasks(request, database, run, settings)
        repair_id = lifecycle.repair(database, run, settings, trigger, keys, now())
    workspace.engine.wake()
    return {"repair_id": repair_id}


def _repaired_tasks(
    request: ApiRequest,
    database: sqlite3.Connection,
    run: records.JobRun,
    settings: Mapping[str, Any],
) -> Collection[str]:
    check_strings(request.parameters.get("rerun_tasks"), "rerun_tasks")
    named = set(request.parameters.get("rerun_tasks") or ())
    is_all_failed = request.flag("rerun_all_failed_tasks")
    if bool(named) == is_all_failed:
        raise invalid("Exactly one of rerun_tasks and rerun_all_failed_tasks must be given.")
    upstream = {task["task_key"]: dependencies(task) for task in settings["tasks"]}
    if unknown := sorted(named - upstream.keys()):
        raise invalid(f"The job has no task '{unknown[0]}'.")
    if is_all_failed:
        last = lifecycle.latest_tasks(database, run.run_id)
        named = {
            key
            for key in upstream
            if key in last and (end := last[key].outcome) and end.result in lifecycle.FAILURES
        }
    if request.flag("rerun_dependent_tasks"):
        while downstream := {
            key for key, names in upstream.items() if named & set(names) and key not in named
        }:
            named |= downstream
    if not named:
        raise invalid(f"Run {run.run_id} has no tasks that can be repaired.")
    return named


def _chosen_tasks(
    request: ApiRequest, tasks: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The tasks that `only` names, or all. `+key` is with all before it, `key+` with all after it.

    The others are no part of the run, and who depends on them does not wait for them.
    """
    check_strings(request.parameters.get("only"), "only")
    chosen: set[str] = set()
    upstream = {task["task_key"]: set(dependencies(task)) for task in tasks}
    downstream = {key: {other for other in upstream if key in upstream[other]} for key in upstream}
    for item in request.parameters.get("only") or ():
        key = item.removeprefix("+").removesuffix("+")
        if key not in upstream:
            raise invalid(f"The job has no task '{key}'.")
        chosen.add(key)
        chosen |= _reached(key, upstream) if item.startswith("+") else set()
        chosen |= _reached(key, downstream) if item.endswith("+") else set()
    return [task for task in tasks if not chosen or task["task_key"] in chosen]


def _reached(key: str, neighbours: Mapping[str, set[str]]) -> set[str]:
    """All that can be reached from a task, in one direction."""
    found: set[str] = set()
    fresh = {key}
    while fresh:
        fresh = set().union(*(neighbours[name] for name in fresh)) - found
        found |= fresh
    return found


def _run_of_token(request: ApiRequest, database: sqlite3.Connection) -> int | None:
    token = request.text("idempotency_token", "")
    if len(token) > MAX_TOKEN_LENGTH:
        raise invalid(f"The idempotency token must have at most {MAX_TOKEN_LENGTH} characters.")
    row = database.execute(
        "SELECT tokens.run_id, runs.run_id AS kept FROM idempotency_tokens AS tokens"
        " LEFT JOIN runs USING (run_id) WHERE token = ?",
        (token,),
    ).fetchone()
    if row is None:
        return None
    if row["kept"] is None:
        raise invalid(f"The run {row['run_id']} of this idempotency token was deleted.")
    return int(row["run_id"])


def _reserve_token(request: ApiRequest, database: sqlite3.Connection, run_id: int) -> None:
    if token := request.text("idempotency_token", ""):
        database.execute("INSERT INTO idempotency_tokens VALUES (?, ?)", (token, run_id))


def _checked_trigger(request: ApiRequest, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run-now or a repair overrides."""
    given = {name for name, value in request.parameters.items() if value}
    if "job_parameters" in given:
        for name in LEGACY_PARAMETERS:
            if name in given:
                raise invalid(f"job_parameters can not be used in combination with {name}")
    if {"notebook_params", "jar_params"} <= given:
        raise invalid("notebook_params can not be used in combination with jar_params")
    for name in REFUSED_RUN_PARAMETERS:
        if name in given:
            raise not_served(f"'{name}' of a run yet")
    if {"python_params", "python_named_params"} <= given:
        raise invalid("python_params can not be used in combination with python_named_params")
    trigger: dict[str, Any] = {}
    if "python_params" in given:
        check_strings(request.parameters["python_params"], "python_params")
        trigger["python_params"] = request.parameters["python_params"]
        _check_size(trigger["python_params"])
    if "python_named_params" in given:
        check_strings(list(request.mapping("python_named_params").values()), "python_named_params")
        trigger["python_named_params"] = request.mapping("python_named_params")
    if "job_parameters" in given:
        parameters = request.mapping("job_parameters")
        if None in parameters.values():
            raise ApiError(400, "MALFORMED_REQUEST", NULL_PARAMETER)
        check_strings(list(parameters.values()), "job_parameters")
        declared = {parameter["name"] for parameter in settings.get("parameters", ())}
        if unknown := sorted(parameters.keys() - declared):
            raise invalid(f"The job has no parameter '{unknown[0]}'.")
        trigger["job_parameters"] = parameters
    if "queue" in given:
        trigger["queue"] = request.mapping("queue")
    return trigger


def _check_size(parameters: Sequence[str]) -> None:
    text = json.dumps(parameters, ensure_ascii=False)
    if not text.isascii():
        raise invalid("python_params can only hold ASCII characters.")
    if len(text) > MAX_PARAMETER_BYTES:
        raise invalid(
            f"python_params must have at most {MAX_PARAMETER_BYTES} bytes as JSON, not {len(text)}."
        )


ROUTES = (
    *versioned(VERSIONS, "POST", "jobs/run-now", run_now, on_job("CAN_MANAGE_RUN")),
    *versioned(VERSIONS, "POST", "jobs/runs/submit", submit, anyone),
    *versioned(VERSIONS, "POST", "jobs/runs/repair", repair, on_run("CAN_MANAGE_RUN")),
)
