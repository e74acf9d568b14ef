"""Conditions of tasks (`depends_on`, `run_if`), and the outcome of a run from those of its tasks.

Source: docs.databricks.com/jobs/run-if.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakeflow_local.storage import outcomes
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.settings import TaskSettings
from lakeflow_local.storage.task_run_repository import TaskRun

FAILURES = {"FAILED", "TIMEDOUT", "CANCELED", "UPSTREAM_FAILED", "UPSTREAM_CANCELED"}
SUCCESSES = {"SUCCESS", "SUCCESS_WITH_FAILURES"}
HANDLES_FAILURE = {"AT_LEAST_ONE_FAILED", "ALL_FAILED"}
STOPPED = {"CANCELED": outcomes.CANCELED, "TIMEDOUT": outcomes.TIMED_OUT}
"""Outcomes of runs and tasks that are stopped, by the reason."""


def dependencies(task: TaskSettings) -> list[str]:
    """Return the keys of the tasks that a task depends on."""
    return [item["task_key"] for item in task.get("depends_on", ())]


def decide(run_if: str, results: Sequence[str]) -> Outcome | None:
    """Decide whether a task runs after the results of those it depends on; None is yes.

    Excluded tasks count as successful. A task is excluded if all that it depends on are, or if it
    handles failures and nothing failed.
    """
    if all(result == "EXCLUDED" for result in results):
        return outcomes.EXCLUDED
    failed = [result for result in results if result in FAILURES]
    is_met = {
        "ALL_SUCCESS": not failed,
        "NONE_FAILED": not failed,
        "AT_LEAST_ONE_SUCCESS": any(result in SUCCESSES for result in results),
        "ALL_DONE": True,
        "AT_LEAST_ONE_FAILED": bool(failed),
        "ALL_FAILED": len(failed) == len(results),
    }
    if is_met[run_if]:
        return None
    if run_if in HANDLES_FAILURE:
        return outcomes.EXCLUDED
    if all(result in ("CANCELED", "UPSTREAM_CANCELED") for result in failed):
        return outcomes.UPSTREAM_CANCELED
    return outcomes.UPSTREAM_FAILED


def run_outcome(run: JobRun, tasks: Sequence[TaskRun]) -> Outcome:
    """Return the outcome of a run from the last attempts of its tasks: its leaves decide."""
    finished = [(task, task.outcome) for task in tasks if task.outcome is not None]
    failed = [(task, outcome) for task, outcome in finished if outcome.result in FAILURES]
    if not failed:
        return outcomes.SUCCEEDED
    if run.stopping is not None:
        return STOPPED[run.stopping]
    upstream = {name for task in tasks for name in dependencies(task.task)}
    if all(task.task_key in upstream for task, _ in failed):
        return outcomes.SUCCEEDED_WITH_FAILURES
    has_skipped = any(outcome.result == "UPSTREAM_FAILED" for _, outcome in failed)
    for result in ("FAILED", "TIMEDOUT"):
        for task, outcome in failed:
            if outcome.result == result:
                return _because_of(task, outcome, has_skipped)
    return outcomes.CANCELED


def _because_of(task: TaskRun, outcome: Outcome, has_skipped: bool) -> Outcome:
    """Return the outcome of a run that failed because of a task; others may not have run."""
    if outcome.result != "FAILED" or outcome == outcomes.INTERRUPTED:
        return outcome
    message = f"Task {task.task_key} failed with message: {outcome.message}"
    message = message if message.endswith(".") else f"{message}."
    if has_skipped:
        message += " This caused all downstream tasks to get skipped."
    return Outcome("INTERNAL_ERROR", "FAILED", outcome.code, outcome.code_type, message)
