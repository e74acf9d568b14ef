"""Retries of failed tasks."""

from __future__ import annotations

from lakeflow_local.runs.transitions import TASK_TRANSITIONS, TaskEvent
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.task_run_repository import NewTaskRun, TaskRun


def may_retry(storage: Storage, run: JobRun, task: TaskRun, outcome: Outcome) -> bool:
    """Return whether a task that has finished is to run again."""
    limit = task.task.get("max_retries", 0)
    if (
        limit == 0
        and "environment_key" in task.task
        and run.run_type == "JOB_RUN"
        and not task.task.get("disable_auto_optimization")
    ):
        limit = 1  # serverless compute retries the failed tasks of jobs by itself
    if task.canceled or outcome is outcomes.INTERRUPTED or limit == 0:
        return False
    if 0 <= limit < storage.task_runs.count_attempts(task):
        return False
    if outcome.result == "TIMEDOUT":
        return task.task.get("retry_on_timeout", False)
    return outcome.result == "FAILED"


def retry(storage: Storage, task: TaskRun, now: int) -> None:
    """Add the next attempt of a task, to start after its retry interval."""
    interval = task.task.get("min_retry_interval_millis", 0)
    storage.task_runs.create(
        NewTaskRun(
            task.job_run_id,
            task.task,
            TASK_TRANSITIONS[None, TaskEvent.CREATE],
            created=now,
            not_before=max(now, task.created + interval),
            attempt=task.attempt + 1,
            repair_id=task.repair_id,
            iteration_of=task.iteration_of,
            iteration=task.iteration,
            input=task.input,
        )
    )
