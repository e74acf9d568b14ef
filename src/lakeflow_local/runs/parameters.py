"""What a task is given: the arguments of its program, and the inputs of a for-each task."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakeflow_local.errors import ConfigurationInvalid
from lakeflow_local.runs import dynamic_values, lifecycle
from lakeflow_local.storage.database import Database
from lakeflow_local.storage.records import JobRun, TaskRun

MAX_ITERATIONS = 5000


@dataclass(frozen=True)
class Site:
    """What tasks can be told of the workspace they are in."""

    store: Database
    workspace_id: int
    url: str


def arguments(site: Site, run: JobRun, task: TaskRun) -> list[str]:
    """What follows the program's name in the task's argv."""
    settings = task.task.get("python_wheel_task") or task.task["spark_python_task"]
    if "python_params" in run.trigger:
        given = list(run.trigger["python_params"])
    elif "python_named_params" in run.trigger and "python_wheel_task" in task.task:
        given = _named(run.trigger["python_named_params"])
    elif "named_parameters" in settings:
        # Job parameters are pushed down to keyword arguments, and win over the task's own.
        given = _named(settings["named_parameters"] | run.job_parameters)
    else:
        given = list(settings.get("parameters", ()))
    if not any("{{" in text for text in given):
        return given
    values = _values(site, run, task)
    return [dynamic_values.resolve(text, values) for text in given]


def inputs(site: Site, run: JobRun, task: TaskRun) -> list[Any]:
    """What a for-each task iterates over.

    Raises:
        ConfigurationInvalid: they are not a list, or one that is too long.
    """
    text = dynamic_values.resolve(task.task["for_each_task"]["inputs"], _values(site, run, task))
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) > MAX_ITERATIONS:
        raise ConfigurationInvalid(
            f"The inputs of the for-each task {task.task_key} must be a JSON list of at most"
            f" {MAX_ITERATIONS} values: {text[:200]}"
        )
    return found


def task_values(database: sqlite3.Connection, task_run_id: int) -> dict[str, Any]:
    """What a task run has set with `dbutils.jobs.taskValues.set`."""
    rows = database.execute(
        "SELECT key, value FROM task_values WHERE task_run_id = ?", (task_run_id,)
    )
    return {row["key"]: json.loads(row["value"]) for row in rows}


def _values(site: Site, run: JobRun, task: TaskRun) -> dict[str, str]:
    """What dynamic value references stand for in a task."""
    values = dynamic_values.run_values(
        job_id=run.job_id,
        job_name=run.settings["name"],
        job_run_id=run.run_id,
        task_run_id=task.run_id,
        task_key=task.task_key,
        attempt=task.attempt,
        started=run.created,
        workspace_id=site.workspace_id,
        workspace_url=site.url,
        repair_count=_repairs(site, run),
        trigger_type=run.trigger_type,
        triggered=run.trigger.get("due", run.created),
        job_parameters=run.job_parameters,
    )
    if task.iteration is not None and task.input is not None:
        values |= dynamic_values.input_values(json.loads(task.input))
    if "{{tasks." in json.dumps(task.task):
        values |= _values_of_others(site, run)
    return values


def _repairs(site: Site, run: JobRun) -> int:
    query = "SELECT count(*) FROM repairs WHERE job_run_id = ? AND type = 'REPAIR'"
    row = site.store.row(query, run.run_id)
    return 0 if row is None else int(row[0])


def _values_of_others(site: Site, run: JobRun) -> dict[str, str]:
    with site.store.transaction() as database:
        tasks = lifecycle.latest_tasks(database, run.run_id)
        found: dict[str, str] = {}
        for key, task in tasks.items():
            found[f"tasks.{key}.run_id"] = str(task.run_id)
            found[f"tasks.{key}.execution_count"] = str(task.attempt + 1)
            if task.outcome is not None:
                found[f"tasks.{key}.result_state"] = task.outcome.result.lower()
            for name, value in task_values(database, task.run_id).items():
                found[f"tasks.{key}.values.{name}"] = dynamic_values.as_text(value)
    return found


def _named(parameters: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in parameters.items()]
