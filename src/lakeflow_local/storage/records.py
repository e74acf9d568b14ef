"""Runs and their tasks: what is stored of them, how they may end, how they are shown.

A job run (table `runs`) has a task run for each attempt of each task (table `task_runs`); both
take their ids from one sequence. Phases are the `life_cycle_state` of API 2.1; `status`, the
view of API 2.2, follows from them. Texts are as recorded from real workspaces, with and without
final periods.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TASK_KINDS = ("python_wheel_task", "spark_python_task", "for_each_task")
"""What a task can be here."""

QUEUE_MESSAGE = "Queued due to reaching maximum concurrent runs."


@dataclass(frozen=True)
class Outcome:
    """How a run or a task ended, in the words of both views of the API."""

    phase: str
    result: str
    code: str
    code_type: str
    message: str = ""


SUCCEEDED = Outcome("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS")
WORKLOAD_FAILED = Outcome(
    "TERMINATED",
    "FAILED",
    "RUN_EXECUTION_ERROR",
    "CLIENT_ERROR",
    "Workload failed, see run output for details",
)
CANCELED = Outcome("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR", "Run cancelled.")
TIMED_OUT = Outcome("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR", "Run timed out.")
SUCCEEDED_WITH_FAILURES = Outcome(
    "TERMINATED", "SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", "SUCCESS"
)
EXCLUDED = Outcome("SKIPPED", "EXCLUDED", "SKIPPED", "SUCCESS", "Run condition not met.")
UPSTREAM_FAILED = Outcome(
    "SKIPPED", "UPSTREAM_FAILED", "SKIPPED", "CLIENT_ERROR", "An upstream task failed."
)
UPSTREAM_CANCELED = Outcome(
    "SKIPPED", "UPSTREAM_CANCELED", "SKIPPED", "CLIENT_ERROR", "An upstream task was canceled."
)
INTERRUPTED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "INTERNAL_ERROR",
    "INTERNAL_ERROR",
    "The local workspace was stopped while this run was in progress.",
)
CLUSTER_TERMINATED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "CLUSTER_ERROR",
    "CLIENT_ERROR",
    "The cluster was terminated while this run was in progress.",
)
PREEMPTED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "CLOUD_FAILURE",
    "CLOUD_FAILURE",
    "The machine of this run was reclaimed while the run was in progress.",
)
CONTEXTS_EXCEEDED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "MAX_SPARK_CONTEXTS_EXCEEDED",
    "CLIENT_ERROR",
    "Too many execution contexts are open right now. (Limit set to 150)",
)


def cluster_missing(cluster_id: str) -> Outcome:
    message = (
        f"Run executed on existing cluster ID {cluster_id} failed since the cluster does not exist."
    )
    return Outcome("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLIENT_ERROR", message)


def cluster_not_started(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLIENT_ERROR", message)


def library_failed(message: str) -> Outcome:
    return Outcome(
        "INTERNAL_ERROR", "FAILED", "LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", message
    )


def package_missing(package: str) -> Outcome:
    message = (
        f"Run failed with error message\n Python wheel with name {package} could not be found. "
        "Please check the driver logs for more details"
    )
    return Outcome("INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)


def workspace_failed(error: BaseException) -> Outcome:
    message = f"The local workspace could not run this task: {error}"
    return Outcome("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", message)


def iterations_failed(failed: int, count: int) -> Outcome:
    message = f"{failed} of {count} iterations failed"
    return Outcome("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)


def not_allowed(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "UNAUTHORIZED_ERROR", "CLIENT_ERROR", message)


def invalid_configuration(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "INVALID_RUN_CONFIGURATION", "CLIENT_ERROR", message)


def skipped(limit: int) -> Outcome:
    message = (
        f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
    )
    return Outcome(
        "SKIPPED",
        "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "CLIENT_ERROR",
        message,
    )


@dataclass(frozen=True)
class JobRun:
    """A row of `runs`. `settings` are the job's at the trigger, `trigger` what it was sent.

    `stopping` is `CANCELED` or `TIMEDOUT` once the whole run is to end; `deadline` when it will.
    `creator` has triggered it, `owner` made its job.
    """

    run_id: int
    job_id: int
    settings: Mapping[str, Any]
    trigger: Mapping[str, Any]
    phase: str
    outcome: Outcome | None
    created: int
    ended: int | None
    run_type: str
    deadline: int | None
    stopping: str | None
    creator: str | None
    owner: str | None

    @property
    def runs_as(self) -> str | None:
        """Name of the run-as principal; None is the workspace's owner."""
        named: Mapping[str, str] = self.settings.get("run_as") or {}
        return next(iter(named.values()), self.owner)

    @property
    def trigger_type(self) -> str:
        """`PERIODIC` where a schedule began it; its `trigger` has then when it was due."""
        return str(self.trigger.get("type", "ONE_TIME"))

    @property
    def job_parameters(self) -> dict[str, str]:
        """Every declared job parameter, overridden or not."""
        declared = {item["name"]: item["default"] for item in self.settings.get("parameters", ())}
        overridden: dict[str, str] = self.trigger.get("job_parameters", {})
        return declared | overridden


@dataclass(frozen=True)
class TaskRun:
    """A row of `task_runs`: one attempt of one task, or of one iteration of a for-each task.

    `cluster_id` is empty until a job cluster was made for it, and on serverless compute. `created`
    is 0 as long as it waits for other tasks, and for ever if that was all it did. `iterations` are
    those of a for-each task that is to be shown: how the last attempt of each ended, if it has.
    """

    run_id: int
    job_run_id: int
    task_key: str
    attempt: int
    task: Mapping[str, Any]
    cluster_id: str
    phase: str
    outcome: Outcome | None
    error: str | None
    error_trace: str | None
    parameters: Sequence[str] | None
    created: int
    not_before: int
    executing: int | None
    ended: int | None
    canceled: bool
    pid: int | None
    pid_started: str | None
    repair_id: int | None
    iteration_of: int | None
    iteration: int | None
    input: str | None
    iterations: Sequence[Outcome | None] = ()


def of_failed_task(task: TaskRun, outcome: Outcome, skipped_some: bool) -> Outcome:
    """How a run ended that this task made fail; whether that made others not run."""
    if outcome.result != "FAILED" or outcome == INTERRUPTED:
        return outcome
    message = f"Task {task.task_key} failed with message: {outcome.message}"
    message = message if message.endswith(".") else f"{message}."
    if skipped_some:
        message += " This caused all downstream tasks to get skipped."
    return Outcome("INTERNAL_ERROR", "FAILED", outcome.code, outcome.code_type, message)


def _outcome(row: sqlite3.Row) -> Outcome | None:
    """Of a row of `runs`, `task_runs` or `repairs`."""
    if row["ended"] is None:
        return None
    return Outcome(row["phase"], row["result"], row["code"], row["code_type"], row["message"])


def job_run(row: sqlite3.Row) -> JobRun:
    return JobRun(
        run_id=row["run_id"],
        job_id=row["job_id"],
        settings=json.loads(row["settings"]),
        trigger=json.loads(row["trigger"]),
        phase=row["phase"],
        outcome=_outcome(row),
        created=row["created"],
        ended=row["ended"],
        run_type=row["run_type"],
        deadline=row["deadline"],
        stopping=row["stopping"],
        creator=row["creator"],
        owner=row["owner"],
    )


def iterations(rows: Iterable[sqlite3.Row]) -> Sequence[Outcome | None]:
    """Of rows of iterations, oldest first, how each one's last attempt ended, if it has."""
    return list({row["iteration"]: _outcome(row) for row in rows}.values())


def task_run(row: sqlite3.Row, iterations: Sequence[Outcome | None] = ()) -> TaskRun:
    return TaskRun(
        run_id=row["run_id"],
        job_run_id=row["job_run_id"],
        task_key=row["task_key"],
        attempt=row["attempt"],
        task=json.loads(row["task"]),
        cluster_id=row["cluster_id"],
        phase=row["phase"],
        outcome=_outcome(row),
        error=row["error"],
        error_trace=row["error_trace"],
        parameters=None if row["parameters"] is None else json.loads(row["parameters"]),
        created=row["created"],
        not_before=row["not_before"],
        executing=row["executing"],
        ended=row["ended"],
        canceled=bool(row["canceled"]),
        pid=row["pid"],
        pid_started=row["pid_started"],
        repair_id=row["repair_id"],
        iteration_of=row["iteration_of"],
        iteration=row["iteration"],
        input=row["input"],
        iterations=iterations,
    )


def state_view(phase: str, outcome: Outcome | None) -> dict[str, Any]:
    """`state`, the view of API 2.1."""
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
    """`status`, the view of API 2.2."""
    if outcome is not None:
        details = {"code": outcome.code, "type": outcome.code_type, "message": outcome.message}
        return {"state": "TERMINATED", "termination_details": details}
    if phase == "QUEUED":
        details = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": QUEUE_MESSAGE}
        return {"state": "QUEUED", "queue_details": details}
    return {"state": phase}


def task_view(task: TaskRun, run: JobRun, attempts: Sequence[TaskRun], host: str) -> dict[str, Any]:
    """A task run as it stands in `tasks[]` of its job run."""
    end = task.ended if task.ended is not None else 0
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
        view["for_each_task"] = {
            **task.task["for_each_task"],
            "stats": _iteration_stats(task),
        }
    if task.attempt:
        view["original_attempt_run_id"] = next(
            other.run_id
            for other in attempts
            if (other.task_key, other.iteration_of, other.iteration)
            == (task.task_key, task.iteration_of, task.iteration)
        )
    if task.parameters is not None:
        kind = next(name for name in TASK_KINDS if name in task.task)
        view["resolved_values"] = {kind: {"parameters": task.parameters}}
    return view


def _iteration_stats(task: TaskRun) -> dict[str, Any]:
    ended = [outcome for outcome in task.iterations if outcome is not None]
    succeeded = sum(outcome.result == "SUCCESS" for outcome in ended)
    stats: dict[str, Any] = {
        "task_run_stats": {
            "total_iterations": len(json.loads(task.input)) if task.input else 0,
            "scheduled_iterations": len(task.iterations),
            "active_iterations": len(task.iterations) - len(ended),
            "completed_iterations": len(ended),
            "succeeded_iterations": succeeded,
            "failed_iterations": len(ended) - succeeded,
        }
    }
    messages = Counter(outcome.message for outcome in ended if outcome.result != "SUCCESS")
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


def page_url(host: str, job_id: int, run_id: int) -> str:
    return f"{host}/#job/{job_id}/run/{run_id}"


def run_view(
    run: JobRun, tasks: Sequence[TaskRun], host: str, user: str, expand: bool = True
) -> dict[str, Any]:
    """A job run as `runs/get` and `runs/list` show it."""
    end = run.ended or 0
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


def repair_view(row: sqlite3.Row, task_run_ids: Sequence[int]) -> dict[str, Any]:
    """A row of `repairs` as an item of `repair_history`."""
    outcome = _outcome(row)
    view: dict[str, Any] = {
        "type": row["type"],
        "start_time": row["created"],
        "end_time": row["ended"] or 0,
        "state": state_view(row["phase"], outcome),
        "status": status_view(row["phase"], outcome),
        "task_run_ids": list(task_run_ids),
    }
    if row["type"] == "REPAIR":
        view["id"] = row["repair_id"]
    return view
