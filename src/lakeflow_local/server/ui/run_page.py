"""The page of a run: its tasks as a graph and as bars, the output of one, and its two buttons."""

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
from lakeflow_local.server.ui.page_request import HEADERS, Visit, more_of, page_token
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.database import now
from lakeflow_local.storage.settings import TaskSettings
from lakeflow_local.storage.task_run_repository import TaskRun


@dataclass(frozen=True)
class TaskRow:
    """An attempt of a task on its run's page. Times in ms; the bar's parts in thousandths."""

    task: Mapping[str, Any]
    state: str
    waited: int
    ran: int
    bar_start: int
    bar_waited: int
    bar_ran: int
    selected: bool


def show_run(visit: Visit) -> Response:
    """A run: its tasks with their times, and the output of one of them.

    The id of a task's run leads to the run that it belongs to, as the API's links do.
    """
    job_id, run_id = visit.number("job"), visit.number("run")
    run = _get_run(visit, run_id, **page_token(visit))
    if "parent_run_id" in run:
        return RedirectResponse(
            f"/jobs/{run['job_id']}/runs/{run['parent_run_id']}?task={run_id}", 303, HEADERS
        )
    if run["job_id"] != job_id:
        return RedirectResponse(f"/jobs/{run['job_id']}/runs/{run_id}", 303, HEADERS)
    moment = now()
    tasks = run.get("tasks", [])
    wanted = visit.request.query_params.get("task", "")
    selected = _selected(tasks, wanted)
    if wanted.isdecimal() and selected is not None and str(selected["run_id"]) != wanted:
        iteration = _get_run(visit, int(wanted))
        if iteration.get("parent_run_id") == run_id:
            selected = iteration
    iterations: Sequence[Mapping[str, Any]] = ()
    if selected is not None and "for_each_task" in selected:
        iterations = _get_run(visit, selected["run_id"])["iterations"]
    task = _task_run(visit.workspace, run_id, selected["run_id"]) if selected else None
    rows = [_task_row(task, run, moment, task is selected) for task in tasks]
    return visit.show(
        "run.html",
        run=run,
        active=not run["end_time"],
        rows=rows,
        graph=_graph(rows),
        iterations=[_task_row(task, run, moment, False) for task in iterations],
        selected=selected,
        task=task,
        log=_log(visit.workspace, task, None) if task else None,
        more=more_of(visit, run),
        now=moment,
    )


def _graph(rows: Iterable[TaskRow]) -> Graph | None:
    """Of the last attempt of each task."""
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


def repair_run(visit: Visit) -> Response:
    """Run what failed again, with what the run was given: a repair forgets that by itself."""
    run_id = visit.number("run")
    run = _get_run(visit, run_id, include_history=True)
    repairs = [item["id"] for item in run.get("repair_history", ()) if "id" in item]
    given = {**run.get("overriding_parameters", {})}
    if run.get("job_parameters"):
        given["job_parameters"] = {item["name"]: item["value"] for item in run["job_parameters"]}
    if repairs:
        given["latest_repair_id"] = repairs[-1]
    path = "/api/2.2/jobs/runs/repair"
    visit.ask("POST", path, run_id=run_id, rerun_all_failed_tasks=True, **given)
    return RedirectResponse(f"/jobs/{visit.number('job')}/runs/{run_id}", 303, HEADERS)


def cancel_run(visit: Visit) -> Response:
    run_id = visit.number("run")
    visit.ask("POST", "/api/2.2/jobs/runs/cancel", run_id=run_id)
    return RedirectResponse(f"/jobs/{visit.number('job')}/runs/{run_id}", 303, HEADERS)


def send_log(visit: Visit) -> Response:
    """A task's output: from `from` on as `{"text", "end", "done"}`, or else all of it, as it is."""
    _get_run(visit, visit.number("run"))  # may it be seen?
    task = _task_run(visit.workspace, visit.number("run"), visit.number("task"))
    if task is None:
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", "This run has no such task.")
    start = visit.request.query_params.get("from", "")
    if start.isdecimal() and len(start) < 19:
        piece = _log(visit.workspace, task, int(start))
        done = task.ended is not None and piece.end >= piece.size
        return JSONResponse(
            {"text": formatting.plain(piece.text), "end": piece.end, "done": done}, headers=HEADERS
        )
    path = visit.workspace.run_folders.log_file(task)
    if not path.exists():
        return Response(b"", media_type="text/plain", headers=HEADERS)
    return FileResponse(path, media_type="text/plain; charset=utf-8", headers=HEADERS)


def _get_run(visit: Visit, run_id: int, **parameters: Any) -> Mapping[str, Any]:
    """A job run, or a task's run with its `parent_run_id`."""
    return visit.ask("GET", "/api/2.2/jobs/runs/get", run_id=run_id, **parameters)


def _selected(tasks: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any] | None:
    """The task whose output is shown: the wanted one, else one that failed, runs, or came last."""
    for task in tasks:
        if str(task["run_id"]) == wanted:
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
    task: Mapping[str, Any], run: Mapping[str, Any], moment: int, selected: bool
) -> TaskRow:
    start, end = task["start_time"] or run["start_time"], task["end_time"] or moment
    begun = task["execution_duration"] or task["state"]["life_cycle_state"] == "RUNNING"
    executing = start + task["setup_duration"] if begun else end
    total: int = max(1, (run["end_time"] or moment) - run["start_time"])

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
    return read_piece(workspace.run_folders.log_file(task), start, growing=task.ended is None)
