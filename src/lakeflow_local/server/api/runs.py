"""Get, list, cancel and delete runs: `/api/2.{0,1,2}/jobs/runs/`.

Source: docs.databricks.com/api/workspace/jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from lakeflow_local.server.api.run_views import repair_view, run_view, task_view
from lakeflow_local.storage.run_repository import JobRun, RunFilter
from lakeflow_local.storage.task_run_repository import TaskRun

MAX_LOG_BYTES = 5 * 1024 * 1024
MAX_LISTED = 25
"""The reference says less than 25, but 25 was once the default; prefect-databricks sends it."""

RUN_TYPES = ("JOB_RUN", "SUBMIT_RUN", "WORKFLOW_RUN")


def get(request: ApiRequest, *, is_paged: bool = True) -> ApiResponse:
    """Return a job run, or a task run: that of a for-each task with its `iterations`.

    API 2.2 returns 100 tasks or iterations per page.
    """
    run, tasks, task = find_run(request, request.number("run_id"))
    workspace = request.workspace
    if task is not None:
        view = run_view(run, [], request.host, workspace.user, expand=False)
        view |= task_view(task, run, tasks, request.host)
        view["parent_run_id"] = run.run_id
        if "for_each_task" in task.task:
            iterations = [other for other in tasks if other.iteration_of == task.run_id]
            views = [task_view(other, run, tasks, request.host) for other in iterations]
            view["iterations"], _, next_token = _slice(request, views, is_paged)
            return with_next_page(view, next_token)
        return view
    view = run_view(run, tasks, request.host, workspace.user)
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
    """Refuse to export the views of a notebook run: notebooks are not supported."""
    run, _, _ = find_run(request, request.number("run_id"))
    if request.text("views_to_export", "CODE") not in ("CODE", "DASHBOARDS", "ALL"):
        raise invalid("views_to_export must be one of CODE, DASHBOARDS, ALL.")
    raise invalid(f"Run {run.run_id} is not a run of a notebook: only these can be exported.")


def _repair_history(
    request: ApiRequest, run: JobRun, tasks: Sequence[TaskRun]
) -> list[Mapping[str, Any]]:
    history = []
    for repair in request.workspace.storage.repairs.list(run.run_id):
        repair_id = repair.repair_id if repair.type == "REPAIR" else None
        own = [
            task.run_id
            for task in tasks
            if task.repair_id == repair_id and task.iteration_of is None
        ]
        history.append(repair_view(repair, own))
    return history


def get_output(request: ApiRequest) -> ApiResponse:
    """Return the output of a finished task run: the last 5 MB of its log, and its error."""
    run, tasks, task = find_run(request, request.number("run_id"))
    if task is None and run.settings["format"] == "SINGLE_TASK" and tasks:
        task = tasks[-1]
    if task is None:
        raise invalid(
            "Retrieving the output of runs with multiple tasks is not supported. "
            "Please retrieve the output of each individual task run instead."
        )
    metadata = run_view(run, [], request.host, request.workspace.user, expand=False)
    metadata |= task_view(task, run, tasks, request.host)
    response: dict[str, Any] = {"metadata": metadata}
    if task.finished is not None:
        response["logs"], response["logs_truncated"] = _tail(request, task)
        if task.error is not None:
            response["error"] = task.error
        if task.error_trace is not None:
            response["error_trace"] = task.error_trace
    return response


def list_runs(request: ApiRequest) -> ApiResponse:
    """List runs, latest first: by end time, or by start time while they are active."""
    limit = page_limit(request, 20, MAX_LISTED, zero_is_most=True)
    active, completed = request.flag("active_only"), request.flag("completed_only")
    if active and completed:
        raise invalid("active_only and completed_only can not both be true.")
    if request.parameters.get("run_type") and request.text("run_type") not in RUN_TYPES:
        raise invalid(f"run_type must be one of {', '.join(RUN_TYPES)}.")

    def number(name: str) -> int | None:
        return request.number(name) if request.parameters.get(name) else None

    token = request.text("page_token") if request.parameters.get("page_token") else None
    end, run_id = decode_token(token, 2) if token else (0, 0)
    which = RunFilter(
        viewer=request.workspace.permissions.viewer(request.principal),
        job_id=number("job_id"),
        is_active=active if active or completed else None,
        created_from=number("start_time_from"),
        created_to=number("start_time_to"),
        run_type=request.text("run_type") if request.parameters.get("run_type") else None,
        after=(end, run_id) if token else None,
    )
    expand = request.flag("expand_tasks")
    storage = request.workspace.storage
    with storage.snapshot():
        found = storage.runs.list(which, limit + 1, request.number("offset", 0))
        has_more = len(found) > limit
        found = found[:limit]
        tasks = [storage.task_runs.of_run(run.run_id) if expand else [] for run in found]
    views = [
        run_view(run, of_run, request.host, request.workspace.user, expand)
        for run, of_run in zip(found, tasks, strict=True)
    ]
    return page(
        "runs",
        views,
        has_more,
        lambda run: [run["end_time"] or run["start_time"], run["run_id"]],
    )


def cancel(request: ApiRequest) -> ApiResponse:
    run_id = request.number("run_id")
    find_run(request, run_id)
    request.workspace.scheduler.cancel(run_id)
    return {}


def cancel_all(request: ApiRequest) -> ApiResponse:
    """Cancel the active runs of a job; with `all_queued_runs` only queued runs."""
    job_id = request.number("job_id") if request.parameters.get("job_id") else None
    only_queued = request.flag("all_queued_runs")
    if job_id is None and not only_queued:
        raise invalid("Either job_id or all_queued_runs must be given.")
    for run_id in request.workspace.storage.runs.active_ids(job_id, only_queued=only_queued):
        request.workspace.scheduler.cancel(run_id)
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Remove a finished run, its tasks and its logs. Its idempotency token stays reserved."""
    storage = request.workspace.storage
    with storage.transaction():
        run = find_job_run(request)
        if run.finished is None:
            raise ApiError(
                400, "INVALID_STATE", f"Run {run.run_id} is still active and can not be deleted."
            )
        storage.runs.delete([run.run_id])
    request.workspace.run_folders.remove(run.run_id)
    return {}


def find_run(request: ApiRequest, run_id: int) -> tuple[JobRun, list[TaskRun], TaskRun | None]:
    """Return a job run, its tasks, and the task run if the id is a task run's.

    For a for-each task, and for one of its iterations, the iterations are among the tasks.
    """
    storage = request.workspace.storage
    with storage.snapshot():
        task = storage.task_runs.get(run_id)
        job_run_id, for_each_run_id = run_id, run_id
        if task is not None:
            job_run_id, for_each_run_id = task.job_run_id, task.iteration_of or run_id
        run = storage.runs.get(job_run_id)
        if run is None:
            raise _no_run(run_id)
        tasks = storage.task_runs.of_run(job_run_id, for_each_run_id)
    return run, tasks, next((task for task in tasks if task.run_id == run_id), None)


def find_job_run(request: ApiRequest) -> JobRun:
    """Return the job run that the request names. Raises the error of one that does not exist."""
    run = request.workspace.storage.runs.get(request.number("run_id"))
    if run is None:
        raise _no_run(request.number("run_id"))
    return run


def _no_run(run_id: int) -> ApiError:
    return invalid(f"Run {run_id} does not exist.")


def _tail(request: ApiRequest, task: TaskRun) -> tuple[str, bool]:
    try:
        with open(request.workspace.run_folders.log_file(task), "rb") as file:
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
