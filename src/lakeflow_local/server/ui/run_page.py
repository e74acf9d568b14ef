"""A run with the graph and times of its tasks, the output of one, and its buttons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from lakeflow_local.runs.conditions import dependencies
from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.ui import formatting
from lakeflow_local.server.ui.graph import Box, Graph, lay_out
from lakeflow_local.server.ui.logs import Piece, read_piece
from lakeflow_local.server.ui.page_request import HEADERS, PageRequest
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.database import now
from lakeflow_local.storage.settings import TaskSettings
from lakeflow_local.storage.task_run_repository import TaskRun


@dataclass(frozen=True)
class TaskRow:
    """An attempt of a task in the table. Times in ms; the bar in thousandths of the run's time."""

    task: Mapping[str, Any]
    state: str
    waited: int
    ran: int
    bar_start: int
    bar_waited: int
    bar_ran: int
    selected: bool


def show_run(page: PageRequest) -> Response:
    """Show a run: its tasks with their times, and the output of one of them.

    The id of a task run redirects to its job run, since the API's links may have either.
    """
    job_id, run_id = page.number("job"), page.number("run")
    run = _get_run(page, run_id, **page.page_token())
    if "parent_run_id" in run:
        return RedirectResponse(
            f"/jobs/{run['job_id']}/runs/{run['parent_run_id']}?task={run_id}", 303, HEADERS
        )
    if run["job_id"] != job_id:
        return RedirectResponse(f"/jobs/{run['job_id']}/runs/{run_id}", 303, HEADERS)
    time = now()
    tasks = run.get("tasks", [])
    requested = page.request.query_params.get("task", "")
    selected = _selected(tasks, requested)
    if requested.isdecimal() and selected is not None and str(selected["run_id"]) != requested:
        iteration = _get_run(page, int(requested))
        if iteration.get("parent_run_id") == run_id:
            selected = iteration
    iterations: Sequence[Mapping[str, Any]] = ()
    if selected is not None and "for_each_task" in selected:
        iterations = _get_run(page, selected["run_id"])["iterations"]
    task = _task_run(page.workspace, run_id, selected["run_id"]) if selected else None
    rows = [_task_row(task, run, time, task is selected) for task in tasks]
    return page.render(
        "run.html",
        run=run,
        active=not run["end_time"],
        rows=rows,
        graph=_graph(rows),
        iterations=[_task_row(task, run, time, False) for task in iterations],
        selected=selected,
        task=task,
        log=_log(page.workspace, task, None) if task else None,
        next_page=page.next_page(run),
        now=time,
    )


def _graph(rows: Iterable[TaskRow]) -> Graph | None:
    """Return the graph of the tasks, each with its last attempt."""
    last = {row.task["task_key"]: row for row in rows}
    return lay_out(
        Box(
            key,
            dependencies(cast(TaskSettings, row.task)),
            f"?task={row.task['run_id']}",
            row.state,
            formatting.words(row.state) + (f", {formatting.duration(row.ran)}" if row.ran else ""),
        )
        for key, row in last.items()
    )


def repair_run(page: PageRequest) -> Response:
    """Retry the failed tasks, with the run's parameters: a repair does not keep them by itself."""
    run_id = page.number("run")
    run = _get_run(page, run_id, include_history=True)
    repairs = [item["id"] for item in run.get("repair_history", ()) if "id" in item]
    given = {**run.get("overriding_parameters", {})}
    if run.get("job_parameters"):
        given["job_parameters"] = {item["name"]: item["value"] for item in run["job_parameters"]}
    if repairs:
        given["latest_repair_id"] = repairs[-1]
    path = "/api/2.2/jobs/runs/repair"
    page.call_api("POST", path, run_id=run_id, rerun_all_failed_tasks=True, **given)
    return RedirectResponse(f"/jobs/{page.number('job')}/runs/{run_id}", 303, HEADERS)


def cancel_run(page: PageRequest) -> Response:
    """Cancel a run."""
    run_id = page.number("run")
    page.call_api("POST", "/api/2.2/jobs/runs/cancel", run_id=run_id)
    return RedirectResponse(f"/jobs/{page.number('job')}/runs/{run_id}", 303, HEADERS)


def send_log(page: PageRequest) -> Response:
    """Send a task's output: from byte `from` as `{"text", "end", "done"}`, else the full log."""
    _get_run(page, page.number("run"))  # checks the permission
    task = _task_run(page.workspace, page.number("run"), page.number("task"))
    if task is None:
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", "The run has no such task.")
    start = page.request.query_params.get("from", "")
    if start.isdecimal() and len(start) < 19:
        piece = _log(page.workspace, task, int(start))
        done = task.finished is not None and piece.end >= piece.size
        return JSONResponse(
            {"text": formatting.plain(piece.text), "end": piece.end, "done": done}, headers=HEADERS
        )
    path = page.workspace.run_folders.log_file(task)
    if not path.exists():
        return Response(b"", media_type="text/plain", headers=HEADERS)
    return FileResponse(path, media_type="text/plain; charset=utf-8", headers=HEADERS)


def _get_run(page: PageRequest, run_id: int, **parameters: Any) -> Mapping[str, Any]:
    """Return a job run, or a task run, which has a `parent_run_id`."""
    return page.call_api("GET", "/api/2.2/jobs/runs/get", run_id=run_id, **parameters)


def _selected(tasks: Sequence[Mapping[str, Any]], requested: str) -> Mapping[str, Any] | None:
    """Return the task whose output to show: requested, else failed, active or last."""
    for task in tasks:
        if str(task["run_id"]) == requested:
            return task
    latest = {task["task_key"]: task for task in tasks}.values()
    for task in latest:
        if formatting.tone(formatting.state_of(task["state"])) == "bad":
            return task
    running = [task for task in latest if task["state"]["life_cycle_state"] == "RUNNING"]
    return next(iter(running), tasks[-1] if tasks else None)


def _task_run(workspace: Workspace, job_run_id: int, task_run_id: int) -> TaskRun | None:
    """Return a task run of a job run; None if it is another run's."""
    task = workspace.storage.task_runs.get(task_run_id)
    return task if task is not None and task.job_run_id == job_run_id else None


def _task_row(
    task: Mapping[str, Any], run: Mapping[str, Any], time: int, selected: bool
) -> TaskRow:
    start, end = task["start_time"] or run["start_time"], task["end_time"] or time
    has_started = task["execution_duration"] or task["state"]["life_cycle_state"] == "RUNNING"
    executing = start + task["setup_duration"] if has_started else end
    total: int = max(1, (run["end_time"] or time) - run["start_time"])

    def thousandths(milliseconds: int) -> int:
        return min(1000, max(0, 1000 * milliseconds // total))

    return TaskRow(
        task,
        formatting.state_of(task["state"]),
        waited=executing - start,
        ran=end - executing,
        bar_start=thousandths(start - run["start_time"]),
        bar_waited=thousandths(executing - start),
        bar_ran=thousandths(end - executing),
        selected=selected,
    )


def _log(workspace: Workspace, task: TaskRun, start: int | None) -> Piece:
    return read_piece(workspace.run_folders.log_file(task), start, growing=task.finished is None)
