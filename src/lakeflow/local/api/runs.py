"""Runs of jobs: `/api/2.{0,1,2}/jobs/runs/` and `run-now`.

Source: docs.databricks.com/api/workspace/jobs.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lakeflow.local import lifecycle, runs
from lakeflow.local.api.call import Answer, ApiError, Call, invalid, not_served
from lakeflow.local.api.job_settings import check_settings, check_texts
from lakeflow.local.api.jobs import job_row, versions
from lakeflow.local.api.paging import decode_token, page, page_limit, slice_tasks, with_next_page
from lakeflow.local.lifecycle import dependencies
from lakeflow.local.store import next_id, now

MAX_PARAMETER_BYTES = 10_000
MAX_TOKEN_LENGTH = 64
MAX_LOG_BYTES = 5 * 1024 * 1024

REFUSED_RUN_PARAMETERS = [
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
    "sql_params",
    "pipeline_params",
    "only",
]
LEGACY_PARAMETERS = [
    "python_params",
    "python_named_params",
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
]
RUN_TYPES = ("JOB_RUN", "SUBMIT_RUN", "WORKFLOW_RUN")


def run_now(call: Call) -> Answer:
    """Trigger a run. A known idempotency token is answered with its run, however that ended."""
    workspace = call.workspace
    with workspace.store.transaction() as database:
        row = job_row(database, call.number("job_id"))
        settings = json.loads(row["settings"])
        trigger = _checked_trigger(call, settings)
        run_id = _run_of_token(call, database)
        if run_id is None:
            run_id = lifecycle.create(database, row["job_id"], settings, trigger, now())
            _reserve_token(call, database, run_id)
    workspace.engine.wake()
    return {"run_id": run_id, "number_in_job": run_id}


def submit(call: Call) -> Answer:
    """Run tasks once, without a job: nothing is listed under jobs, nothing is retried unasked."""
    workspace = call.workspace
    given = dict(call.parameters)
    settings = check_settings(call, given | {"name": given.pop("run_name", None)})
    with workspace.store.transaction() as database:
        run_id = _run_of_token(call, database)
        if run_id is None:
            job_id = next_id(database, "jobs")
            run_id = lifecycle.create(database, job_id, settings, {}, now(), "SUBMIT_RUN")
            _reserve_token(call, database, run_id)
    workspace.engine.wake()
    return {"run_id": run_id}


def repair(call: Call) -> Answer:
    """Run tasks of a finished run again, with the current settings of its job.

    Job parameters have to be sent again: those of the run are forgotten.
    """
    workspace = call.workspace
    with workspace.store.transaction() as database:
        run = _job_run(database, call.number("run_id"))
        if run.ended is None:
            raise invalid(f"Run {run.run_id} is still active: it can be repaired once it ended.")
        last = database.execute(
            "SELECT repair_id FROM repairs WHERE job_run_id = ? AND type = 'REPAIR'"
            " ORDER BY repair_id DESC LIMIT 1",
            (run.run_id,),
        ).fetchone()
        if last is not None and call.number("latest_repair_id", 0) != last["repair_id"]:
            raise invalid(
                f"latest_repair_id must be the id of the latest repair of run {run.run_id}."
            )
        settings = run.settings
        if run.run_type == "JOB_RUN":
            settings = json.loads(job_row(database, run.job_id)["settings"])
        trigger = _checked_trigger(call, settings)
        trigger |= {name: run.trigger[name] for name in ("type", "due") if name in run.trigger}
        keys = _repaired_tasks(call, database, run, settings)
        repair_id = lifecycle.repair(database, run, settings, trigger, keys, now())
    workspace.engine.wake()
    return {"repair_id": repair_id}


def _repaired_tasks(
    call: Call, database: sqlite3.Connection, run: runs.JobRun, settings: Mapping[str, Any]
) -> Collection[str]:
    check_texts(call.parameters.get("rerun_tasks"), "rerun_tasks")
    named = set(call.parameters.get("rerun_tasks") or ())
    is_all_failed = call.flag("rerun_all_failed_tasks")
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
    if call.flag("rerun_dependent_tasks"):
        while downstream := {
            key for key, names in upstream.items() if named & set(names) and key not in named
        }:
            named |= downstream
    if not named:
        raise invalid(f"Run {run.run_id} has no tasks that can be repaired.")
    return named


def get(call: Call) -> Answer:
    """A job run, or a task run: of a for-each task with its `iterations`."""
    run, tasks, task = _find_run(call, call.number("run_id"))
    workspace = call.workspace
    if task is not None:
        view = runs.run_view(run, [], call.host, workspace.user, expand=False)
        view |= runs.task_view(task, run, tasks, call.host)
        view["parent_run_id"] = run.run_id
        if "for_each_task" in task.task:
            iterations = [other for other in tasks if other.iteration_of == task.run_id]
            views = [runs.task_view(other, run, tasks, call.host) for other in iterations]
            view["iterations"], _, next_token = slice_tasks(call, views)
            return with_next_page(view, next_token)
        return view
    view = runs.run_view(run, tasks, call.host, workspace.user)
    view["tasks"], start, next_token = slice_tasks(call, view["tasks"])
    if start:
        view.pop("job_parameters", None)
        view.pop("job_clusters", None)
    elif call.flag("include_history"):
        view["repair_history"] = _repair_history(call, run, tasks)
    if not call.flag("include_resolved_values"):
        for shown in view["tasks"]:
            shown.pop("resolved_values", None)
    return with_next_page(view, next_token)


def _repair_history(
    call: Call, run: runs.JobRun, tasks: Sequence[runs.TaskRun]
) -> list[dict[str, Any]]:
    rows = call.workspace.store.rows(
        "SELECT * FROM repairs WHERE job_run_id = ? ORDER BY repair_id", run.run_id
    )
    history = []
    for row in rows:
        repair_id = row["repair_id"] if row["type"] == "REPAIR" else None
        own = [
            task.run_id
            for task in tasks
            if task.repair_id == repair_id and task.iteration_of is None
        ]
        history.append(runs.repair_view(row, own))
    return history


def get_output(call: Call) -> Answer:
    """A task run's output, once it has ended: the last 5 MB of its log, and its error."""
    run, tasks, task = _find_run(call, call.number("run_id"))
    if task is None and run.settings["format"] == "SINGLE_TASK" and tasks:
        task = tasks[-1]
    if task is None:
        raise invalid(
            "Retrieving the output of runs with multiple tasks is not supported. "
            "Please retrieve the output of each individual task run instead."
        )
    metadata = runs.run_view(run, [], call.host, call.workspace.user, expand=False)
    metadata |= runs.task_view(task, run, tasks, call.host)
    answer: dict[str, Any] = {"metadata": metadata}
    if task.ended is not None:
        answer["logs"], answer["logs_truncated"] = _tail(call, task)
        if task.error is not None:
            answer["error"] = task.error
        if task.error_trace is not None:
            answer["error_trace"] = task.error_trace
    return answer


def list_runs(call: Call) -> Answer:
    """The latest first, by their end, or by their start while they run."""
    limit = page_limit(call, 20, 24, zero_is_most=True)
    where = ["1"]
    values: list[Any] = []
    if call.parameters.get("job_id"):
        where.append("job_id = ?")
        values.append(call.number("job_id"))
    active, completed = call.flag("active_only"), call.flag("completed_only")
    if active and completed:
        raise invalid("active_only and completed_only can not both be true.")
    if active or completed:
        where.append("ended IS NULL" if active else "ended IS NOT NULL")
    for name, operator in (("start_time_from", ">="), ("start_time_to", "<=")):
        if call.parameters.get(name):
            where.append(f"created {operator} ?")
            values.append(call.number(name))
    if call.parameters.get("start_time_from"):  # follows from it, and there is an index
        where.append("coalesce(ended, created) >= ?")
        values.append(call.number("start_time_from"))
    if call.parameters.get("run_type"):
        if call.text("run_type") not in RUN_TYPES:
            raise invalid(f"run_type must be one of {', '.join(RUN_TYPES)}.")
        where.append("run_type = ?")
        values.append(call.text("run_type"))
    if call.parameters.get("page_token"):
        where.append("(coalesce(ended, created), run_id) < (?, ?)")
        values.extend(decode_token(call.text("page_token"), 2))
    expand = call.flag("expand_tasks")
    with call.workspace.store.reading():
        rows = call.workspace.store.rows(
            f"SELECT * FROM runs WHERE {' AND '.join(where)}"
            " ORDER BY coalesce(ended, created) DESC, run_id DESC LIMIT ? OFFSET ?",
            *values,
            limit + 1,
            call.number("offset", 0),
        )
        found = [runs.job_run(row) for row in rows[:limit]]
        tasks = [_tasks_of(call, run.run_id) if expand else [] for run in found]
    views = [
        runs.run_view(run, of_run, call.host, call.workspace.user, expand)
        for run, of_run in zip(found, tasks, strict=True)
    ]
    return page(
        "runs",
        views,
        len(rows) > limit,
        lambda run: [run["end_time"] or run["start_time"], run["run_id"]],
    )


def cancel(call: Call) -> Answer:
    run_id = call.number("run_id")
    _find_run(call, run_id)
    call.workspace.engine.cancel(run_id)
    return {}


def cancel_all(call: Call) -> Answer:
    """Cancel the active runs of a job, or with `all_queued_runs` those that wait in a queue."""
    where = "ended IS NULL"
    values: list[Any] = []
    if call.parameters.get("job_id"):
        where += " AND job_id = ?"
        values.append(call.number("job_id"))
    elif not call.flag("all_queued_runs"):
        raise invalid("Either job_id or all_queued_runs must be given.")
    if call.flag("all_queued_runs"):
        where += " AND phase = 'QUEUED'"
    rows = call.workspace.store.rows(
        f"SELECT run_id FROM runs WHERE {where} ORDER BY run_id DESC", *values
    )
    for row in rows:
        call.workspace.engine.cancel(row["run_id"])
    return {}


def delete(call: Call) -> Answer:
    """Remove a finished run, its tasks and its logs. Its idempotency token stays reserved."""
    with call.workspace.store.transaction() as database:
        run = _job_run(database, call.number("run_id"))
        if run.ended is None:
            raise ApiError(
                400, "INVALID_STATE", f"Run {run.run_id} is still active and can not be deleted."
            )
        database.execute("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
    shutil.rmtree(call.workspace.engine.run_folder(run.run_id), ignore_errors=True)
    return {}


def _run_of_token(call: Call, database: sqlite3.Connection) -> int | None:
    token = call.text("idempotency_token", "")
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


def _reserve_token(call: Call, database: sqlite3.Connection, run_id: int) -> None:
    if token := call.text("idempotency_token", ""):
        database.execute("INSERT INTO idempotency_tokens VALUES (?, ?)", (token, run_id))


def _checked_trigger(call: Call, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run-now or a repair overrides."""
    given = {name for name, value in call.parameters.items() if value}
    if "job_parameters" in given:
        for name in LEGACY_PARAMETERS:
            if name in given:
                raise invalid(f"job_parameters can not be used in combination with {name}")
    for name in REFUSED_RUN_PARAMETERS:
        if name in given:
            raise not_served(f"'{name}' of a run yet")
    if {"python_params", "python_named_params"} <= given:
        raise invalid("python_params can not be used in combination with python_named_params")
    trigger: dict[str, Any] = {}
    if "python_params" in given:
        check_texts(call.parameters["python_params"], "python_params")
        trigger["python_params"] = call.parameters["python_params"]
        _check_size(trigger["python_params"])
    if "python_named_params" in given:
        check_texts(list(call.mapping("python_named_params").values()), "python_named_params")
        trigger["python_named_params"] = call.mapping("python_named_params")
    if "job_parameters" in given:
        parameters = call.mapping("job_parameters")
        check_texts(list(parameters.values()), "job_parameters")
        declared = {parameter["name"] for parameter in settings.get("parameters", ())}
        if unknown := sorted(parameters.keys() - declared):
            raise invalid(f"The job has no parameter '{unknown[0]}'.")
        trigger["job_parameters"] = parameters
    if "queue" in given:
        trigger["queue"] = call.mapping("queue")
    return trigger


def _check_size(parameters: Sequence[str]) -> None:
    text = json.dumps(parameters, ensure_ascii=False)
    if not text.isascii():
        raise invalid("python_params can only hold ASCII characters.")
    if len(text) > MAX_PARAMETER_BYTES:
        raise invalid(
            f"python_params must have at most {MAX_PARAMETER_BYTES} bytes as JSON, not {len(text)}."
        )


def _find_run(
    call: Call, run_id: int
) -> tuple[runs.JobRun, list[runs.TaskRun], runs.TaskRun | None]:
    """A job run with its tasks; the third is the task run where the id is a task run's."""
    store = call.workspace.store
    with store.reading():
        row = store.row("SELECT job_run_id FROM task_runs WHERE run_id = ?", run_id)
        job_run_id = run_id if row is None else row["job_run_id"]
        found = store.row("SELECT * FROM runs WHERE run_id = ?", job_run_id)
        if found is None:
            raise invalid(f"Run {run_id} does not exist.")
        tasks = _tasks_of(call, job_run_id)
    task = next((task for task in tasks if task.run_id == run_id), None)
    return runs.job_run(found), tasks, task


def _job_run(database: sqlite3.Connection, run_id: int) -> runs.JobRun:
    row = database.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise invalid(f"Run {run_id} does not exist.")
    return runs.job_run(row)


def _tasks_of(call: Call, job_run_id: int) -> list[runs.TaskRun]:
    rows = call.workspace.store.rows(
        "SELECT * FROM task_runs WHERE job_run_id = ? ORDER BY run_id", job_run_id
    )
    return [runs.task_run(row) for row in rows]


def _tail(call: Call, task: runs.TaskRun) -> tuple[str, bool]:
    try:
        with open(call.workspace.engine.log_file(task), "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            text = file.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "", False
    return (text.rstrip("\n") + "\n" if text else ""), size > MAX_LOG_BYTES


ROUTES = (
    *versions("POST", "run-now", run_now),
    *versions("POST", "runs/submit", submit),
    *versions("POST", "runs/repair", repair),
    *versions("GET", "runs/get", get),
    *versions("GET", "runs/get-output", get_output),
    *versions("GET", "runs/list", list_runs),
    *versions("POST", "runs/cancel", cancel),
    *versions("POST", "runs/cancel-all", cancel_all),
    *versions("POST", "runs/delete", delete),
)
