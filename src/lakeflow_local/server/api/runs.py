"""Runs as they stand, and their end: `/api/2.{0,1,2}/jobs/runs/`.

Source: docs.databricks.com/api/workspace/jobs.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any

from lakeflow_local.server.api.authorization import anyone, on_all_runs, on_run
from lakeflow_local.server.api.errors import ApiError, invalid
from lakeflow_local.server.api.jobs import VERSIONS
from lakeflow_local.server.api.paging import (
    decode_token,
    page,
    page_limit,
    slice_tasks,
    with_next_page,
)
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import versioned
from lakeflow_local.storage import records

MAX_LOG_BYTES = 5 * 1024 * 1024
MAX_LISTED = 25
"""The reference says less than 25, but 25 was its default once, and prefect-databricks sends it."""

RUN_TYPES = ("JOB_RUN", "SUBMIT_RUN", "WORKFLOW_RUN")


def get(request: ApiRequest, *, is_paged: bool = True) -> ApiResponse:
    """A job run, or a task run: of a for-each task with its `iterations`.

    In API 2.2 with 100 of them, or of its tasks, a page.
    """
    run, tasks, task = find_run(request, request.number("run_id"))
    workspace = request.workspace
    if task is not None:
        view = records.run_view(run, [], request.host, workspace.user, expand=False)
        view |= records.task_view(task, run, tasks, request.host)
        view["parent_run_id"] = run.run_id
        if "for_each_task" in task.task:
            iterations = [other for other in tasks if other.iteration_of == task.run_id]
            views = [records.task_view(other, run, tasks, request.host) for other in iterations]
            view["iterations"], _, next_token = _slice(request, views, is_paged)
            return with_next_page(view, next_token)
        return view
    view = records.run_view(run, tasks, request.host, workspace.user)
    view["tasks"], start, next_token = _slice(request, view["tasks"], is_paged)
    if start:
        view.pop("job_parameters", None)
        view.pop("job_clusters", None)
    elif request.flag("include_history"):
        view["repair_history"] = _repair_history(request, run, tasks)
    if not request.flag("include_resolved_values"):
        for shown in view["tasks"]:
            shown.pop("resolved_values", None)
    return with_next_page(view, next_token)


def _slice(
    request: ApiRequest, items: list[dict[str, Any]], is_paged: bool
) -> tuple[list[dict[str, Any]], int, str | None]:
    return slice_tasks(request, items) if is_paged else (items, 0, None)


def export(request: ApiRequest) -> ApiResponse:
    """The views of a notebook run, which no run is here."""
    run, _, _ = find_run(request, request.number("run_id"))
    if request.text("views_to_export", "CODE") not in ("CODE", "DASHBOARDS", "ALL"):
        raise invalid("views_to_export must be one of CODE, DASHBOARDS, ALL.")
    raise invalid(f"Run {run.run_id} is not a run of a notebook: only these can be exported.")


def _repair_history(
    request: ApiRequest, run: records.JobRun, tasks: Sequence[records.TaskRun]
) -> list[dict[str, Any]]:
    rows = request.workspace.store.rows(
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
        history.append(records.repair_view(row, own))
    return history


def get_output(request: ApiRequest) -> ApiResponse:
    """A task run's output, once it has ended: the last 5 MB of its log, and its error."""
    run, tasks, task = find_run(request, request.number("run_id"))
    if task is None and run.settings["format"] == "SINGLE_TASK" and tasks:
        task = tasks[-1]
    if task is None:
        raise invalid(
            "Retrieving the output of runs with multiple tasks is not supported. "
            "Please retrieve the output of each individual task run instead."
        )
    metadata = records.run_view(run, [], request.host, request.workspace.user, expand=False)
    metadata |= records.task_view(task, run, tasks, request.host)
    response: dict[str, Any] = {"metadata": metadata}
    if task.ended is not None:
        response["logs"], response["logs_truncated"] = _tail(request, task)
        if task.error is not None:
            response["error"] = task.error
        if task.error_trace is not None:
            response["error_trace"] = task.error_trace
    return response


def list_runs(request: ApiRequest) -> ApiResponse:
    """The latest first, by their end, or by their start while they run."""
    limit = page_limit(request, 20, MAX_LISTED, zero_is_most=True)
    visible, names = request.workspace.permissions.visible_jobs(request.principal)
    where = [visible]
    values: list[Any] = [*names]
    if request.parameters.get("job_id"):
        where.append("job_id = ?")
        values.append(request.number("job_id"))
    active, completed = request.flag("active_only"), request.flag("completed_only")
    if active and completed:
        raise invalid("active_only and completed_only can not both be true.")
    if active or completed:
        where.append("ended IS NULL" if active else "ended IS NOT NULL")
    for name, operator in (("start_time_from", ">="), ("start_time_to", "<=")):
        if request.parameters.get(name):
            where.append(f"created {operator} ?")
            values.append(request.number(name))
    if request.parameters.get("start_time_from"):  # follows from it, and there is an index
        where.append("coalesce(ended, created) >= ?")
        values.append(request.number("start_time_from"))
    if request.parameters.get("run_type"):
        if request.text("run_type") not in RUN_TYPES:
            raise invalid(f"run_type must be one of {', '.join(RUN_TYPES)}.")
        where.append("run_type = ?")
        values.append(request.text("run_type"))
    if request.parameters.get("page_token"):
        where.append("(coalesce(ended, created), run_id) < (?, ?)")
        values.extend(decode_token(request.text("page_token"), 2))
    expand = request.flag("expand_tasks")
    with request.workspace.store.reading():
        rows = request.workspace.store.rows(
            f"SELECT * FROM runs WHERE {' AND '.join(where)}"
            " ORDER BY coalesce(ended, created) DESC, run_id DESC LIMIT ? OFFSET ?",
            *values,
            limit + 1,
            request.number("offset", 0),
        )
        found = [records.job_run(row) for row in rows[:limit]]
        tasks = [_tasks_of(request, run.run_id) if expand else [] for run in found]
    views = [
        records.run_view(run, of_run, request.host, request.workspace.user, expand)
        for run, of_run in zip(found, tasks, strict=True)
    ]
    return page(
        "runs",
        views,
        len(rows) > limit,
        lambda run: [run["end_time"] or run["start_time"], run["run_id"]],
    )


def cancel(request: ApiRequest) -> ApiResponse:
    run_id = request.number("run_id")
    find_run(request, run_id)
    request.workspace.engine.cancel(run_id)
    return {}


def cancel_all(request: ApiRequest) -> ApiResponse:
    """Cancel the active runs of a job, or with `all_queued_runs` those that wait in a queue."""
    where = "ended IS NULL"
    values: list[Any] = []
    if request.parameters.get("job_id"):
        where += " AND job_id = ?"
        values.append(request.number("job_id"))
    elif not request.flag("all_queued_runs"):
        raise invalid("Either job_id or all_queued_runs must be given.")
    if request.flag("all_queued_runs"):
        where += " AND phase = 'QUEUED'"
    rows = request.workspace.store.rows(
        f"SELECT run_id FROM runs WHERE {where} ORDER BY run_id DESC", *values
    )
    for row in rows:
        request.workspace.engine.cancel(row["run_id"])
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Remove a finished run, its tasks and its logs. Its idempotency token stays reserved."""
    with request.workspace.store.transaction() as database:
        run = job_run(database, request.number("run_id"))
        if run.ended is None:
            raise ApiError(
                400, "INVALID_STATE", f"Run {run.run_id} is still active and can not be deleted."
            )
        database.execute("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
    shutil.rmtree(request.workspace.engine.run_folder(run.run_id), ignore_errors=True)
    return {}


def find_run(
    request: ApiRequest, run_id: int
) -> tuple[records.JobRun, list[records.TaskRun], records.TaskRun | None]:
    """A job run with its tasks; the third is the task run where the id is a task run's.

    Of a for-each task, and of one of its iterations, the iterations are among the tasks.
    """
    store = request.workspace.store
    with store.reading():
        row = store.row("SELECT job_run_id, iteration_of FROM task_runs WHERE run_id = ?", run_id)
        job_run_id = run_id if row is None else row["job_run_id"]
        for_each_run_id = run_id if row is None else row["iteration_of"] or run_id
        found = store.row("SELECT * FROM runs WHERE run_id = ?", job_run_id)
        if found is None:
            raise invalid(f"Run {run_id} does not exist.")
        tasks = _tasks_of(request, job_run_id, for_each_run_id)
    task = next((task for task in tasks if task.run_id == run_id), None)
    return records.job_run(found), tasks, task


def job_run(database: sqlite3.Connection, run_id: int) -> records.JobRun:
    row = database.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise invalid(f"Run {run_id} does not exist.")
    return records.job_run(row)


def _tasks_of(
    request: ApiRequest, job_run_id: int, for_each_run_id: int | None = None
) -> list[records.TaskRun]:
    """The task runs of a job run, with the iterations of one of them: there may be thousands."""
    store = request.workspace.store
    rows = store.rows(
        "SELECT * FROM task_runs WHERE job_run_id = ?"
        " AND (iteration_of IS NULL OR iteration_of = ?) ORDER BY run_id",
        job_run_id,
        for_each_run_id,
    )
    ends = "iteration, phase, result, code, code_type, message, ended"
    query = f"SELECT {ends} FROM task_runs WHERE iteration_of = ? ORDER BY run_id"
    return [
        records.task_run(
            row,
            # A for-each task that was expanded: an iteration's input is its own.
            (
                records.iterations(store.rows(query, row["run_id"]))
                if row["input"] is not None and row["iteration_of"] is None
                else ()
            ),
        )
        for row in rows
    ]


def _tail(request: ApiRequest, task: records.TaskRun) -> tuple[str, bool]:
    try:
        with open(request.workspace.engine.log_file(task), "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            text = file.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "", False
    return (text.rstrip("\n") + "\n" if text else ""), size > MAX_LOG_BYTES


ROUTES = (
    *versioned(["2.2"], "GET", "jobs/runs/get", get, on_run("CAN_VIEW")),
    *versioned(["2.1"], "GET", "jobs/runs/get", partial(get, is_paged=False), on_run("CAN_VIEW")),
    *versioned(VERSIONS, "GET", "jobs/runs/export", export, on_run("CAN_VIEW")),
    *versioned(["2.2", "2.1"], "GET", "jobs/runs/get-output", get_output, on_run("CAN_VIEW")),
    *versioned(["2.2", "2.1"], "GET", "jobs/runs/list", list_runs, anyone),
    *versioned(VERSIONS, "POST", "jobs/runs/cancel", cancel, on_run("CAN_MANAGE_RUN")),
    *versioned(VERSIONS, "POST", "jobs/runs/cancel-all", cancel_all, on_all_runs),
    *versioned(VERSIONS, "POST", "jobs/runs/delete", delete, on_run("CAN_MANAGE")),
)
