"""Jobs: `/api/2.{0,1,2}/jobs/`. Source: docs.databricks.com/api/workspace/jobs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lakeflow_local.runs import schedules
from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.authorization import anyone, on_job
from lakeflow_local.server.api.errors import ApiError, invalid
from lakeflow_local.server.api.job_settings import MERGED_BY, change_task, check_settings
from lakeflow_local.server.api.paging import after, page, page_limit, slice_tasks, with_next_page
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import versioned
from lakeflow_local.storage.database import next_id, now, to_json

VERSIONS = ("2.2", "2.1", "2.0")
MAX_JOBS = 12_000
"""docs.databricks.com/resources/limits: saved jobs of a workspace."""

QUOTA_MESSAGE = (
    f"The quota for the number of jobs has been reached. The current quota is {MAX_JOBS}. This"
    " quota is only applied to jobs created through the UI or the /jobs/create endpoint, which are"
    " displayed in the Jobs UI."
)


def create(request: ApiRequest, *, queues: bool = False) -> ApiResponse:
    """Store a job. `queues`: its runs queue unless it says otherwise, as those of API 2.2 do."""
    settings = check_settings(request, dict(request.parameters), queues=queues)
    grants = permissions.checked_grants(request, "jobs")
    with request.workspace.store.transaction() as database:
        if database.execute("SELECT count(*) FROM jobs").fetchone()[0] >= MAX_JOBS:
            raise ApiError(400, "QUOTA_EXCEEDED", QUOTA_MESSAGE)
        job_id = next_id(database, "jobs")
        database.execute(
            "INSERT INTO jobs (job_id, name_key, settings, created, creator)"
            " VALUES (?, ?, ?, ?, ?)",
            (job_id, settings["name"].casefold(), to_json(settings), now(), request.principal.name),
        )
        schedules.change(database, job_id, settings, {}, now())
        permissions.grant(
            database, "jobs", str(job_id), grants, owner=request.principal.name, is_whole=True
        )
    request.workspace.engine.wake()
    return {"job_id": job_id}


def reset(request: ApiRequest, *, queues: bool = False) -> ApiResponse:
    given = dict(request.mapping("new_settings"))
    with request.workspace.store.transaction() as database:
        row = job_row(database, request.number("job_id"))
        run_as = _kept_run_as(given, json.loads(row["settings"]))
        settings = check_settings(request, given, queues=queues) | run_as
        _replace(database, row, settings)
    request.workspace.engine.wake()
    return {}


def update(request: ApiRequest) -> ApiResponse:
    """Merge: top-level fields are replaced, tasks and parameters are merged by their keys."""
    changes = dict(request.mapping("new_settings"))
    with request.workspace.store.transaction() as database:
        row = job_row(database, request.number("job_id"))
        settings, settings_before = json.loads(row["settings"]), json.loads(row["settings"])
        is_single = settings["format"] == "SINGLE_TASK" and "tasks" not in changes
        if is_single:
            settings["tasks"] = [change_task(settings["tasks"][0], changes)]
        for path in request.parameters.get("fields_to_remove") or []:
            _remove_field(settings, str(path))
        for name, value in changes.items():
            key = MERGED_BY.get(name)
            if key and isinstance(value, list):
                merged = {item.get(key): item for item in settings.get(name, [])}
                merged.update({item.get(key): item for item in value if isinstance(item, dict)})
                value = list(merged.values())
            settings[name] = value
        run_as = _kept_run_as(settings, settings_before) if "run_as" in settings else {}
        checked = check_settings(request, settings) | run_as
        _replace(database, row, checked | ({"format": "SINGLE_TASK"} if is_single else {}))
    request.workspace.engine.wake()
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Remove a job and end its runs; they stay on the list of runs."""
    workspace = request.workspace
    with workspace.store.transaction() as database:
        job_id = job_row(database, request.number("job_id"))["job_id"]
        database.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
        active = database.execute(
            "SELECT run_id FROM runs WHERE job_id = ? AND ended IS NULL ORDER BY run_id DESC",
            (job_id,),
        ).fetchall()
    for row in active:
        workspace.engine.cancel(row["run_id"])
    return {}


def get(request: ApiRequest, *, is_paged: bool = True) -> ApiResponse:
    """A job, in API 2.2 with 100 of its tasks a page."""
    row = request.workspace.store.row(
        "SELECT * FROM jobs WHERE job_id = ?", request.number("job_id")
    )
    if row is None:
        raise no_job(request.number("job_id"))
    settings = json.loads(row["settings"])
    settings["tasks"] = _shown_tasks(settings["tasks"])
    if not is_paged:
        return _job_view(request, row, settings)
    settings["tasks"], start, next_token = slice_tasks(request, settings["tasks"])
    if start:
        settings.pop("parameters", None)
    return with_next_page(_job_view(request, row, settings), next_token)


def list_jobs(request: ApiRequest) -> ApiResponse:
    """Newest first. `name` is exact but for case; `expand_tasks` adds tasks and parameters."""
    limit = page_limit(request, 20, 100)
    visible, names = request.workspace.permissions.visible_jobs(request.principal)
    query = f"SELECT * FROM jobs WHERE job_id < ? AND {visible}"
    values: list[Any] = [after(request, 2**62), *names]
    if request.parameters.get("name"):
        query += " AND name_key = ?"
        values.append(request.text("name").casefold())
    query += " ORDER BY job_id DESC LIMIT ? OFFSET ?"
    rows = request.workspace.store.rows(query, *values, limit + 1, request.number("offset", 0))
    jobs = []
    for row in rows[:limit]:
        settings = json.loads(row["settings"])
        has_more = len(settings["tasks"]) > 100
        if request.flag("expand_tasks"):
            settings["tasks"] = _shown_tasks(settings["tasks"])[:100]
        else:
            settings.pop("tasks")
            settings.pop("parameters", None)
        jobs.append(_job_view(request, row, settings) | {"has_more": has_more})
    return page("jobs", jobs, len(rows) > limit, lambda job: [job["job_id"]])


def run_as(settings: Mapping[str, Any]) -> str | None:
    """Whom the settings of a job or a run name to run as."""
    return next(iter((settings.get("run_as") or {}).values()), None)


def _kept_run_as(settings: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Who a job runs as, taken out of its new settings where nobody else is named than before.

    So who may change a job need not be one who may name that user.
    """
    kept = {name: value for name, value in before.items() if name == "run_as"}
    if settings.get("run_as", kept.get("run_as")) != kept.get("run_as"):
        return {}
    settings.pop("run_as", None)
    return kept


def stored_format(request: ApiRequest, job_id: int) -> str:
    """`SINGLE_TASK` where a job was sent in the format of API 2.0."""
    row = request.workspace.store.row("SELECT settings FROM jobs WHERE job_id = ?", job_id)
    return "" if row is None else str(json.loads(row["settings"])["format"])


def no_job(job_id: int) -> ApiError:
    return invalid(f"Job {job_id} does not exist.")


def job_row(database: sqlite3.Connection, job_id: int) -> sqlite3.Row:
    row = database.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise no_job(job_id)
    found: sqlite3.Row = row
    return found


def _replace(database: sqlite3.Connection, row: sqlite3.Row, settings: Mapping[str, Any]) -> None:
    job_id = row["job_id"]
    schedules.change(database, job_id, settings, json.loads(row["settings"]), now())
    database.execute(
        "UPDATE jobs SET name_key = ?, settings = ? WHERE job_id = ?",
        (settings["name"].casefold(), to_json(settings), job_id),
    )
    seconds = settings["timeout_seconds"]
    database.execute(  # a changed timeout is the only change that holds for active runs too
        "UPDATE runs SET deadline = CASE ? WHEN 0 THEN NULL ELSE created + 1000 * ? END"
        " WHERE job_id = ? AND ended IS NULL AND phase != 'QUEUED'",
        (seconds, seconds, job_id),
    )


def _remove_field(settings: dict[str, Any], path: str) -> None:
    """`name`, or `tasks/task_key`."""
    name, _, key = path.partition("/")
    if not key:
        settings.pop(name, None)
    elif name in MERGED_BY and name in settings:
        by = MERGED_BY[name]
        settings[name] = [item for item in settings[name] if item.get(by) != key]
    elif isinstance(settings.get(name), dict):
        settings[name].pop(key, None)


def _job_view(request: ApiRequest, row: sqlite3.Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    creator = row["creator"] or request.workspace.user
    return {
        "job_id": row["job_id"],
        "creator_user_name": creator,
        "run_as_user_name": run_as(settings) or creator,
        "created_time": row["created"],
        "settings": {**settings, "format": "MULTI_TASK"},
    }


def _shown_tasks(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    defaults = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}}
    return [{**defaults, **task} for task in tasks]


ROUTES = (
    *versioned(["2.2"], "POST", "jobs/create", partial(create, queues=True), anyone),
    *versioned(["2.1", "2.0"], "POST", "jobs/create", create, anyone),
    *versioned(["2.2"], "POST", "jobs/reset", partial(reset, queues=True), on_job("CAN_MANAGE")),
    *versioned(["2.1", "2.0"], "POST", "jobs/reset", reset, on_job("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "jobs/update", update, on_job("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "jobs/delete", delete, on_job("CAN_MANAGE")),
    *versioned(["2.2"], "GET", "jobs/get", get, on_job("CAN_VIEW")),
    *versioned(["2.1"], "GET", "jobs/get", partial(get, is_paged=False), on_job("CAN_VIEW")),
    *versioned(["2.2", "2.1"], "GET", "jobs/list", list_jobs, anyone),
)
