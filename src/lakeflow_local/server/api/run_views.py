"""Job runs, task runs and repairs as API 2.1 and 2.2 return them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repair_repository import Repair
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.settings import TASK_KINDS
from lakeflow_local.storage.task_run_repository import TaskRun

QUEUE_MESSAGE = "Queued due to reaching maximum concurrent runs."


def state_view(phase: str, outcome: Outcome | None) -> dict[str, Any]:
    """Return `state`, the view of API 2.1."""
    state: dict[str, Any] = {
        "life_cycle_state": phase,
        "state_message": outcome.message if outcome else "",
        "user_cancelled_or_timedout": outcome is not None
        and outcome.result in ("CANCELED", "TIMEDOUT"),
    }
    if outcome is not None:
        state["result_state"] = outcome.result
    if phase == "QUEUED":
        state["queue_reason"] = QUEUE_MESSAGE
    return state


def status_view(phase: str, outcome: Outcome | None) -> dict[str, Any]:
    """Return `status`, the view of API 2.2."""
    if outcome is not None:
        details = {"code": outcome.code, "type": outcome.code_type, "message": outcome.message}
        return {"state": "TERMINATED", "termination_details": details}
    if phase == "QUEUED":
        details = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": QUEUE_MESSAGE}
        return {"state": "QUEUED", "queue_details": details}
    return {"state": phase}


def run_view(
    run: JobRun, tasks: Sequence[TaskRun], host: str, user: str, expand: bool = True
) -> dict[str, Any]:
    """Return a job run as `runs/get` and `runs/list` show it; `expand` adds its tasks.

    `user` is the creator of runs from before there were several principals.
    """
    end = run.finished or 0
    view: dict[str, Any] = {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "number_in_job": run.run_id,
        "original_attempt_run_id": run.run_id,
        "run_name": run.settings["name"],
        "creator_user_name": run.creator or user,
        "run_type": run.run_type,
        "trigger": run.trigger_type,
        "format": "MULTI_TASK",
        "state": state_view(run.phase, run.outcome),
        "status": status_view(run.phase, run.outcome),
        "start_time": run.created,
        "end_time": end,
        "run_duration": max(0, end - run.created),
        "setup_duration": 0,
        "execution_duration": 0,
        "cleanup_duration": 0,
        "run_page_url": page_url(host, run.job_id, run.run_id),
        "has_more": False,
    }
    overriding = {name: value for name, value in run.trigger.items() if name.startswith("python_")}
    if overriding:
        view["overriding_parameters"] = overriding
    if run.settings.get("parameters"):
        values = run.job_parameters
        view["job_parameters"] = [
            {**item, "value": values[item["name"]]} for item in run.settings["parameters"]
        ]
    if run.trigger_type == "PERIODIC" and "schedule" in run.settings:
        view["schedule"] = run.settings["schedule"]
    if run.settings.get("job_clusters"):
        view["job_clusters"] = run.settings["job_clusters"]
    if expand:
        view["tasks"] = [
            task_view(task, run, tasks, host) for task in tasks if task.iteration_of is None
        ]
    return view


def task_view(task: TaskRun, run: JobRun, attempts: Sequence[TaskRun], host: str) -> dict[str, Any]:
    """Return a task run as `tasks` of its job run shows it; `attempts` are all task runs."""
    end = task.finished if task.finished is not None else 0
    executing = task.executing if task.executing is not None else end
    setup = max(0, executing - task.created) if task.created else 0
    view: dict[str, Any] = {
        "run_if": "ALL_SUCCESS",
        **task.task,
        "run_id": task.run_id,
        "attempt_number": task.attempt,
        "state": state_view(task.phase, task.outcome),
        "status": status_view(task.phase, task.outcome),
        "start_time": task.created,
        "end_time": end,
        "setup_duration": setup,
        "execution_duration": max(0, end - executing) if task.executing is not None else 0,
        "cleanup_duration": 0,
        "run_page_url": page_url(host, run.job_id, task.run_id),
    }
    if task.cluster_id:
        view["cluster_instance"] = {"cluster_id": task.cluster_id}
    if "for_each_task" in task.task:
        view["for_each_task"] = {**task.task["for_each_task"], "stats": _iteration_stats(task)}
    if task.attempt:
        view["original_attempt_run_id"] = next(
            other.run_id for other in attempts if _identity(other) == _identity(task)
        )
    if task.parameters is not None:
        kind = next(name for name in TASK_KINDS if name in task.task)
        view["resolved_values"] = {kind: {"parameters": task.parameters}}
    return view


def repair_view(repair: Repair, task_run_ids: Sequence[int]) -> Mapping[str, Any]:
    """Return an item of `repair_history`."""
    view: dict[str, Any] = {
        "type": repair.type,
        "start_time": repair.created,
        "end_time": repair.finished or 0,
        "state": state_view(repair.phase, repair.outcome),
        "status": status_view(repair.phase, repair.outcome),
        "task_run_ids": list(task_run_ids),
    }
    if repair.type == "REPAIR":
        view["id"] = repair.repair_id
    return view


def page_url(host: str, job_id: int, run_id: int) -> str:
    return f"{host}/#job/{job_id}/run/{run_id}"


def _identity(task: TaskRun) -> tuple[str, int | None, int | None]:
    """Return what the attempts of a task, or of an iteration, have in common."""
    return task.task_key, task.iteration_of, task.iteration


def _iteration_stats(task: TaskRun) -> dict[str, Any]:
    finished = [outcome for outcome in task.iterations if outcome is not None]
    succeeded = sum(outcome.result == "SUCCESS" for outcome in finished)
    stats: dict[str, Any] = {
        "task_run_stats": {
            "total_iterations": len(json.loads(task.input)) if task.input else 0,
            "scheduled_iterations": len(task.iterations),
            "active_iterations": len(task.iterations) - len(finished),
            "completed_iterations": len(finished),
            "succeeded_iterations": succeeded,
            "failed_iterations": len(finished) - succeeded,
        }
    }
    messages = Counter(outcome.message for outcome in finished if outcome.result != "SUCCESS")
    if messages:
        stats["error_message_stats"] = [
            {
                "error_message": message,
                "count": count,
                "termination_category": "RUN_EXECUTION_ERROR",
            }
            for message, count in messages.most_common(3)
        ]
    return stats
