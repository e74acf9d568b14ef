"""Parameters of tasks: the arguments of a program, and the inputs of a for-each task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakeflow_local.compute.errors import ConfigurationInvalid
from lakeflow_local.runs import dynamic_values
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.task_run_repository import TaskRun

MAX_ITERATIONS = 5000


@dataclass(frozen=True)
class Site:
    """The workspace that a task runs in, as dynamic value references describe it."""

    storage: Storage
    workspace_id: int
    url: str


def arguments(site: Site, run: JobRun, task: TaskRun) -> list[str]:
    """Return the arguments of a task's program, without its name."""
    given = _given(run, task)
    if not any("{{" in text for text in given):
        return given
    values = _reference_values(site, run, task)
    return [dynamic_values.resolve(text, values) for text in given]


def _given(run: JobRun, task: TaskRun) -> list[str]:
    """Return the arguments with unresolved references: the trigger's, else the task's."""
    wheel_task = task.task.get("python_wheel_task")
    if "python_params" in run.trigger:
        return list(run.trigger["python_params"])
    if "python_named_params" in run.trigger and wheel_task is not None:
        return _named(run.trigger["python_named_params"])
    if wheel_task is None:
        return list(task.task["spark_python_task"].get("parameters", ()))
    if "named_parameters" in wheel_task:
        # Job parameters are passed as keyword arguments too, and win over the task's own.
        return _named(wheel_task["named_parameters"] | run.job_parameters)
    return list(wheel_task.get("parameters", ()))


def inputs(site: Site, run: JobRun, task: TaskRun) -> list[Any]:
    """Return the inputs of a for-each task.

    Raises:
        ConfigurationInvalid: they are not a list, or too many.
    """
    text = dynamic_values.resolve(
        task.task["for_each_task"]["inputs"], _reference_values(site, run, task)
    )
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


def _reference_values(site: Site, run: JobRun, task: TaskRun) -> dict[str, str]:
    """Return the values of dynamic value references in a task."""
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
        repair_count=site.storage.repairs.count(run.run_id),
        trigger_type=run.trigger_type,
        triggered=run.trigger.get("due", run.created),
        job_parameters=run.job_parameters,
    )
    if task.iteration is not None and task.input is not None:
        values |= dynamic_values.input_values(json.loads(task.input))
    if "{{tasks." in json.dumps(task.task):
        values |= _upstream_values(site, run)
    return values


def _upstream_values(site: Site, run: JobRun) -> dict[str, str]:
    """Return ids, results and task values of the run's tasks."""
    values: dict[str, str] = {}
    with site.storage.snapshot():
        for key, task in site.storage.task_runs.latest(run.run_id).items():
            values[f"tasks.{key}.run_id"] = str(task.run_id)
            values[f"tasks.{key}.execution_count"] = str(task.attempt + 1)
            if task.outcome is not None:
                values[f"tasks.{key}.result_state"] = task.outcome.result.lower()
            for name, value in site.storage.task_values.all(task.run_id).items():
                values[f"tasks.{key}.values.{name}"] = dynamic_values.as_text(json.loads(value))
    return values


def _named(parameters: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in parameters.items()]
