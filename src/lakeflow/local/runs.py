"""Runs and their tasks: what is stored of them, how they begin and end, how they are shown.

A job run (table `runs`) has a task run for each attempt of each task (table `task_runs`); both
take their ids from one sequence. Phases are the `life_cycle_state` of API 2.1; `status`, the
view of API 2.2, follows from them. Texts are as recorded from real workspaces, with and without
final periods.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.local.store import next_id, to_json

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
    """A row of `runs`. `settings` are the job's at the trigger, `trigger` what it was sent."""

    run_id: int
    job_id: int
    settings: Mapping[str, Any]
    trigger: Mapping[str, Any]
    phase: str
    outcome: Outcome | None
    created: int
    ended: int | None

    @property
    def job_parameters(self) -> dict[str, str]:
        """Every declared job parameter, overridden or not."""
        declared = {item["name"]: item["default"] for item in self.settings.get("parameters", ())}
        overridden: dict[str, str] = self.trigger.get("job_parameters", {})
        return declared | overridden


@dataclass(frozen=True)
class TaskRun:
    """A row of `task_runs`: one attempt of one task."""

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


def _outcome(row: sqlite3.Row) -> Outcome | None:
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
    )


def task_run(row: sqlite3.Row) -> TaskRun:
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
    )


def create(
    database: sqlite3.Connection,
    job_id: int,
    settings: Mapping[str, Any],
    trigger: Mapping[str, Any],
    now: int,
) -> int:
    """Begin a run of a job, or queue or skip it where as many as may run do run. Its id."""
    run_id = next_id(database, "runs")
    database.execute(
        "INSERT INTO runs (run_id, job_id, settings, trigger, phase, created)"
        " VALUES (?, ?, ?, ?, 'PENDING', ?)",
        (run_id, job_id, to_json(settings), to_json(trigger), now),
    )
    limit = settings.get("max_concurrent_runs", 1)
    if _running(database, job_id) <= limit:
        _create_task_runs(database, run_id, settings, now)
    elif trigger.get("queue", settings.get("queue", {})).get("enabled"):
        database.execute("UPDATE runs SET phase = 'QUEUED' WHERE run_id = ?", (run_id,))
    else:
        _end_run(database, run_id, skipped(limit), now)
    return run_id


def _running(database: sqlite3.Connection, job_id: int) -> int:
    query = "SELECT count(*) FROM runs WHERE job_id = ? AND ended IS NULL AND phase != 'QUEUED'"
    return int(database.execute(query, (job_id,)).fetchone()[0])


def _create_task_runs(
    database: sqlite3.Connection, job_run_id: int, settings: Mapping[str, Any], now: int
) -> None:
    for task in settings["tasks"]:
        _create_task_run(database, job_run_id, task, 0, now, now)


def _create_task_run(
    database: sqlite3.Connection,
    job_run_id: int,
    task: Mapping[str, Any],
    attempt: int,
    now: int,
    not_before: int,
) -> None:
    database.execute(
        "INSERT INTO task_runs"
        " (run_id, job_run_id, task_key, attempt, task, cluster_id, phase, created, not_before)"
        " VALUES (?, ?, ?, ?, ?, ?, 'PENDING', ?, ?)",
        (
            next_id(database, "runs"),
            job_run_id,
            task["task_key"],
            attempt,
            to_json(task),
            task["existing_cluster_id"],
            now,
            not_before,
        ),
    )


def execute(
    database: sqlite3.Connection,
    task: TaskRun,
    parameters: Sequence[str],
    pid: int,
    pid_started: str | None,
    now: int,
) -> None:
    """A task's process has begun."""
    database.execute(
        "UPDATE task_runs SET executing = ?, parameters = ?, pid = ?, pid_started = ?,"
        " phase = CASE canceled WHEN 0 THEN 'RUNNING' ELSE phase END WHERE run_id = ?",
        (now, to_json(parameters), pid, pid_started, task.run_id),
    )
    database.execute(
        "UPDATE runs SET phase = 'RUNNING' WHERE run_id = ? AND phase = 'PENDING'",
        (task.job_run_id,),
    )


def end_task(
    database: sqlite3.Connection,
    task: TaskRun,
    outcome: Outcome,
    now: int,
    error: str | None = None,
    error_trace: str | None = None,
) -> None:
    """A task has ended: try it again, or end its run with it; then let a queued run begin.

    Ending a task that has ended changes nothing.
    """
    changed = database.execute(
        "UPDATE task_runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?,"
        " error = ?, error_trace = ?, ended = ? WHERE run_id = ? AND ended IS NULL",
        (
            outcome.phase,
            outcome.result,
            outcome.code,
            outcome.code_type,
            outcome.message,
            error,
            error_trace,
            now,
            task.run_id,
        ),
    )
    if changed.rowcount == 0:
        return
    if _may_retry(task, outcome):
        start = max(now, task.created + task.task.get("min_retry_interval_millis", 0))
        _create_task_run(database, task.job_run_id, task.task, task.attempt + 1, now, start)
        return
    attempts = [
        task_run(row)
        for row in database.execute(
            "SELECT * FROM task_runs WHERE job_run_id = ? ORDER BY run_id", (task.job_run_id,)
        )
    ]
    last = {attempt.task_key: attempt for attempt in attempts}
    if all(attempt.ended is not None for attempt in last.values()):
        _end_run(database, task.job_run_id, _of_tasks(list(last.values())), now)


def _may_retry(task: TaskRun, outcome: Outcome) -> bool:
    limit = task.task.get("max_retries", 0)
    if task.canceled or outcome is INTERRUPTED or (0 <= limit <= task.attempt):
        return False
    if outcome.result == "TIMEDOUT":
        return bool(task.task.get("retry_on_timeout", False))
    return outcome.result == "FAILED"


def _of_tasks(tasks: Sequence[TaskRun]) -> Outcome:
    """How a run ended, from the last attempts of its tasks: the worst of them."""
    for result in ("FAILED", "TIMEDOUT", "CANCELED"):
        for task in tasks:
            outcome = task.outcome
            if outcome is None or outcome.result != result:
                continue
            if result != "FAILED":
                return outcome
            if outcome == INTERRUPTED:
                return INTERRUPTED
            message = f"Task {task.task_key} failed with message: {outcome.message}"
            return Outcome(
                "INTERNAL_ERROR",
                "FAILED",
                outcome.code,
                outcome.code_type,
                message if message.endswith(".") else f"{message}.",
            )
    return SUCCEEDED


def _end_run(database: sqlite3.Connection, run_id: int, outcome: Outcome, now: int) -> None:
    database.execute(
        "UPDATE runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?, ended = ?"
        " WHERE run_id = ?",
        (
            outcome.phase,
            outcome.result,
            outcome.code,
            outcome.code_type,
            outcome.message,
            now,
            run_id,
        ),
    )
    job_id = database.execute("SELECT job_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
    queued = database.execute(
        "SELECT run_id, settings FROM runs"
        " WHERE job_id = ? AND ended IS NULL AND phase = 'QUEUED' ORDER BY run_id LIMIT 1",
        (job_id,),
    ).fetchone()
    if queued is not None:
        settings = json.loads(queued["settings"])
        if _running(database, job_id) < settings.get("max_concurrent_runs", 1):
            database.execute(
                "UPDATE runs SET phase = 'PENDING' WHERE run_id = ?", (queued["run_id"],)
            )
            _create_task_runs(database, queued["run_id"], settings, now)


def cancel(database: sqlite3.Connection, run_id: int, now: int) -> list[int]:
    """Mark a job run or a task run as to be ended; the task runs whose processes may live.

    A run still in the queue ends at once. Ended ones stay as they are.
    """
    ended = database.execute(
        "SELECT 1 FROM runs WHERE run_id = ? AND phase = 'QUEUED'", (run_id,)
    ).fetchone()
    if ended is not None:
        _end_run(database, run_id, CANCELED, now)
        return []
    tasks = database.execute(
        "UPDATE task_runs SET canceled = 1, phase = 'TERMINATING'"
        " WHERE (run_id = ? OR job_run_id = ?) AND ended IS NULL RETURNING run_id",
        (run_id, run_id),
    ).fetchall()
    database.execute(
        "UPDATE runs SET phase = 'TERMINATING' WHERE run_id = ? AND ended IS NULL", (run_id,)
    )
    return [row["run_id"] for row in tasks]


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
    view: dict[str, Any] = {
        "run_if": "ALL_SUCCESS",
        **task.task,
        "run_id": task.run_id,
        "attempt_number": task.attempt,
        "state": state_view(task.phase, task.outcome),
        "status": status_view(task.phase, task.outcome),
        "start_time": task.created,
        "end_time": end,
        "setup_duration": max(0, executing - task.created),
        "execution_duration": max(0, end - executing) if task.executing is not None else 0,
        "cleanup_duration": 0,
        "cluster_instance": {"cluster_id": task.cluster_id},
        "run_page_url": page_url(host, run.job_id, task.run_id),
    }
    if task.attempt:
        view["original_attempt_run_id"] = next(
            other.run_id
            for other in attempts
            if other.task_key == task.task_key and other.attempt == 0
        )
    if task.parameters is not None:
        view["resolved_values"] = {"python_wheel_task": {"parameters": task.parameters}}
    return view


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
        "creator_user_name": user,
        "run_type": "JOB_RUN",
        "trigger": "ONE_TIME",
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
    if expand:
        view["tasks"] = [task_view(task, run, tasks, host) for task in tasks]
    return view
