"""Task values: what `dbutils.jobs.taskValues` asks. Not a part of Databricks' REST API."""

from __future__ import annotations

import json

from lakeflow_local.runs import lifecycle
from lakeflow_local.server.api.authorization import own_task_run
from lakeflow_local.server.api.errors import invalid
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route


def put(request: ApiRequest) -> ApiResponse:
    """Keep a value, a JSON text, of a task that runs."""
    key, value = request.text("key"), request.text("value")
    try:
        json.loads(value)
    except ValueError:
        raise invalid("value must be JSON.") from None
    with request.workspace.store.transaction() as database:
        database.execute(
            "INSERT OR REPLACE INTO task_values"
            " SELECT run_id, ?, ? FROM task_runs WHERE run_id = ?",
            (key, value, request.number("task_run_id")),
        )
    return {}


def get(request: ApiRequest) -> ApiResponse:
    """The value that the last attempt of a task of a run has set, if it has."""
    with request.workspace.store.transaction() as database:
        tasks = lifecycle.latest_tasks(database, request.number("job_run_id"))
        task = tasks.get(request.text("task_key"))
        if task is None:
            raise invalid(f"The run has no task '{request.text('task_key')}'.")
        row = database.execute(
            "SELECT value FROM task_values WHERE task_run_id = ? AND key = ?",
            (task.run_id, request.text("key")),
        ).fetchone()
    return {} if row is None else {"value": row["value"]}


ROUTES = (
    Route("POST", "/lakeflow/task-values", put, own_task_run),
    Route("GET", "/lakeflow/task-values", get, own_task_run),
)
