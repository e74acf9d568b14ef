"""Task values, for `dbutils.jobs.taskValues`. Not part of the Databricks REST API."""

from __future__ import annotations

import json

from lakeflow_local.server.api.authorization import own_task_run
from lakeflow_local.server.api.errors import invalid
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route


def put(request: ApiRequest) -> ApiResponse:
    """Store a value of an active task, as JSON text."""
    key, value = request.text("key"), request.text("value")
    try:
        json.loads(value)
    except ValueError:
        raise invalid("value must be JSON.") from None
    request.workspace.storage.task_values.put(request.number("task_run_id"), key, value)
    return {}


def get(request: ApiRequest) -> ApiResponse:
    """Return the value that the last attempt of a task has set."""
    storage = request.workspace.storage
    with storage.snapshot():
        task = storage.task_runs.latest(request.number("job_run_id")).get(request.text("task_key"))
        if task is None:
            raise invalid(f"The run has no task '{request.text('task_key')}'.")
        value = storage.task_values.get(task.run_id, request.text("key"))
    return {} if value is None else {"value": value}


ROUTES = (
    Route("POST", "/lakeflow/task-values", put, own_task_run),
    Route("GET", "/lakeflow/task-values", get, own_task_run),
)
