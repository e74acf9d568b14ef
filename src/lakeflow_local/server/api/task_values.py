"""Task values: what `dbutils.jobs.taskValues` asks. Not a part of Databricks' REST API."""

from __future__ import annotations

import json

from lakeflow_local.runs import lifecycle
from lakeflow_local.server.api.call import Answer, Call, Route, invalid


def put(call: Call) -> Answer:
    """Keep a value, a JSON text, of a task that runs."""
    key, value = call.text("key"), call.text("value")
    try:
        json.loads(value)
    except ValueError:
        raise invalid("value must be JSON.") from None
    with call.workspace.store.transaction() as database:
        database.execute(
            "INSERT OR REPLACE INTO task_values"
            " SELECT run_id, ?, ? FROM task_runs WHERE run_id = ?",
            (key, value, call.number("task_run_id")),
        )
    return {}


def get(call: Call) -> Answer:
    """The value that the last attempt of a task of a run has set, if it has."""
    with call.workspace.store.transaction() as database:
        tasks = lifecycle.latest_tasks(database, call.number("job_run_id"))
        task = tasks.get(call.text("task_key"))
        if task is None:
            raise invalid(f"The run has no task '{call.text('task_key')}'.")
        row = database.execute(
            "SELECT value FROM task_values WHERE task_run_id = ? AND key = ?",
            (task.run_id, call.text("key")),
        ).fetchone()
    return {} if row is None else {"value": row["value"]}


ROUTES = (
    Route("POST", "/lakeflow/task-values", put),
    Route("GET", "/lakeflow/task-values", get),
)
