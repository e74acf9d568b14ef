"""Start runs: `run-now`, `runs/submit` and `runs/repair` of `/api/2.{0,1,2}/jobs/`.

Source: docs.databricks.com/api/workspace/jobs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from lakeflow_local.runs import lifecycle
from lakeflow_local.runs.conditions import FAILURES, dependencies
from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.authorization import anyone, on_job, on_run
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.job_settings import check_settings
from lakeflow_local.server.api.jobs import VERSIONS, existing_job, find_job
from lakeflow_local.server.api.request import ApiRequest, ApiResponse, check_strings
from lakeflow_local.server.api.route import versioned
from lakeflow_local.server.api.runs import find_job_run
from lakeflow_local.storage.database import now
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.settings import JobSettings, QueueSettings, RunTrigger, TaskSettings

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
    """Trigger a run; for a known idempotency token return that run, whatever its state."""
    storage = request.workspace.storage
    with storage.transaction():
        job = find_job(request)
        trigger = _checked_trigger(request, job.settings)
        tasks = _chosen_tasks(request, job.settings["tasks"])
        settings: JobSettings = {**job.settings, "tasks": tasks}
        run_id = _run_of_token(request)
        if run_id is None:
            run_id = lifecycle.create(
                storage, job.job_id, settings, trigger, now(), creator=request.principal.name
            )
            _reserve_token(request, run_id)
    request.workspace.scheduler.wake()
    return {"run_id": run_id, "number_in_job": run_id}


def submit(request: ApiRequest) -> ApiResponse:
    """Run tasks once, without a job; only explicit retries apply."""
    storage = request.workspace.storage
    given = dict(request.parameters)
    settings = check_settings(request, given | {"name": given.pop("run_name", None)})
    acl = permissions.read_acl(request, "jobs")
    with storage.transaction():
        run_id = _run_of_token(request)
        if run_id is None:
            job_id = storage.jobs.new_id()
            me = request.principal.name
            run_id = lifecycle.create(storage, job_id, settings, {}, now(), "SUBMIT_RUN", me)
            permissions.store_acl(storage, "jobs", str(job_id), acl, owner=me, is_whole=True)
            _reserve_token(request, run_id)
    request.workspace.scheduler.wake()
    return {"run_id": run_id}


def repair(request: ApiRequest) -> ApiResponse:
    """Run tasks of a finished run again, with the current settings of its job.

    Job parameters have to be sent again: those of the run are not kept.
    """
    storage = request.workspace.storage
    with storage.transaction():
        run = find_job_run(request)
        if run.finished is None:
            raise invalid(
                f"Run {run.run_id} is still active: it can be repaired once it has finished."
            )
        latest = storage.repairs.latest_id(run.run_id)
        if latest is not None and request.number("latest_repair_id", 0) != latest:
            raise invalid(
                f"latest_repair_id must be the id of the latest repair of run {run.run_id}."
            )
        settings = run.settings
        if run.run_type == "JOB_RUN":
            settings = existing_job(request, run.job_id).settings
        trigger = _checked_trigger(request, settings)
        if "type" in run.trigger:
            trigger["type"] = run.trigger["type"]
        if "due" in run.trigger:
            trigger["due"] = run.trigger["due"]
        keys = _repaired_tasks(request, run, settings)
        repair_id = lifecycle.repair(storage, run, settings, trigger, keys, now())
    request.workspace.scheduler.wake()
    return {"repair_id": repair_id}


def _repaired_tasks(request: ApiRequest, run: JobRun, settings: JobSettings) -> Collection[str]:
    check_strings(request.parameters.get("rerun_tasks"), "rerun_tasks")
    named = set(request.parameters.get("rerun_tasks") or ())
    is_all_failed = request.flag("rerun_all_failed_tasks")
    if bool(named) == is_all_failed:
        raise invalid("Exactly one of rerun_tasks and rerun_all_failed_tasks must be given.")
    upstream = {task["task_key"]: dependencies(task) for task in settings["tasks"]}
    if unknown := sorted(named - upstream.keys()):
        raise invalid(f"The job has no task '{unknown[0]}'.")
    if is_all_failed:
        last = request.workspace.storage.task_runs.latest(run.run_id)
        named = {
            key
            for key in upstream
            if key in last and (end := last[key].outcome) and end.result in FAILURES
        }
    if request.flag("rerun_dependent_tasks"):
        while downstream := {
            key for key, names in upstream.items() if named & set(names) and key not in named
        }:
            named |= downstream
    if not named:
        raise invalid(f"Run {run.run_id} has no tasks that can be repaired.")
    return named


def _chosen_tasks(request: ApiRequest, tasks: Sequence[TaskSettings]) -> list[TaskSettings]:
    """Return the tasks that `only` names, or all. `+key` adds all upstream, `key+` all downstream.

    Other tasks are not part of the run; dependencies on them are ignored.
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
    """Return all tasks that can be reached from a task in one direction."""
    found: set[str] = set()
    fresh = {key}
    while fresh:
        fresh = set().union(*(neighbours[name] for name in fresh)) - found
        found |= fresh
    return found


def _run_of_token(request: ApiRequest) -> int | None:
    token = request.text("idempotency_token", "")
    if len(token) > MAX_TOKEN_LENGTH:
        raise invalid(f"The idempotency token must have at most {MAX_TOKEN_LENGTH} characters.")
    found = request.workspace.storage.runs.run_of_token(token)
    if found is None:
        return None
    run_id, is_kept = found
    if not is_kept:
        raise invalid(f"The run {run_id} of this idempotency token was deleted.")
    return run_id


def _reserve_token(request: ApiRequest, run_id: int) -> None:
    if token := request.text("idempotency_token", ""):
        request.workspace.storage.runs.reserve_token(token, run_id)


def _checked_trigger(request: ApiRequest, settings: JobSettings) -> RunTrigger:
    """Return what a run-now or repair overrides."""
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
    trigger: RunTrigger = {}
    if "python_params" in given:
        check_strings(request.parameters["python_params"], "python_params")
        trigger["python_params"] = request.parameters["python_params"]
        _check_size(trigger["python_params"])
    if "python_named_params" in given:
        check_strings(list(request.mapping("python_named_params").values()), "python_named_params")
        trigger["python_named_params"] = dict(request.mapping("python_named_params"))
    if "job_parameters" in given:
        parameters = request.mapping("job_parameters")
        if None in parameters.values():
            raise ApiError(400, "MALFORMED_REQUEST", NULL_PARAMETER)
        check_strings(list(parameters.values()), "job_parameters")
        declared = {parameter["name"] for parameter in settings.get("parameters", ())}
        if unknown := sorted(parameters.keys() - declared):
            raise invalid(f"The job has no parameter '{unknown[0]}'.")
        trigger["job_parameters"] = dict(parameters)
    if "queue" in given:
        trigger["queue"] = cast(QueueSettings, request.mapping("queue"))
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
