"""How runs begin, go on and end. Every function works inside its caller's transaction.

A task of a run waits BLOCKED for those it depends on, then PENDING for a slot, and ends once; a
retry or a repair is another row of the same key, and the last row of a key counts. Sources:
docs.databricks.com/jobs/run-if, /jobs/for-each, /jobs/repair-job-failures.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from lakeflow_local.storage import records
from lakeflow_local.storage.database import next_id, to_json
from lakeflow_local.storage.records import JobRun, Outcome, TaskRun

FAILURES = {"FAILED", "TIMEDOUT", "CANCELED", "UPSTREAM_FAILED", "UPSTREAM_CANCELED"}
SUCCESSES = {"SUCCESS", "SUCCESS_WITH_FAILURES"}
HANDLES_FAILURE = {"AT_LEAST_ONE_FAILED", "ALL_FAILED"}
STOPPED = {"CANCELED": records.CANCELED, "TIMEDOUT": records.TIMED_OUT}


def create(
    database: sqlite3.Connection,
    job_id: int,
    settings: Mapping[str, Any],
    trigger: Mapping[str, Any],
    now: int,
    run_type: str = "JOB_RUN",
    creator: str | None = None,
) -> int:
    """Begin a run, or queue or skip it where as many as may run do run. Its id.

    `creator` is the name of who asks for it; None is who made the job.
    """
    run_id = next_id(database, "runs")
    database.execute(
        "INSERT INTO runs (run_id, job_id, settings, trigger, phase, created, run_type)"
        " VALUES (?, ?, ?, ?, 'PENDING', ?, ?)",
        (run_id, job_id, to_json(settings), to_json(trigger), now, run_type),
    )
    database.execute(
        "UPDATE runs SET creator = coalesce(?, (SELECT creator FROM jobs WHERE job_id = ?)),"
        " owner = coalesce((SELECT creator FROM jobs WHERE job_id = ?), ?) WHERE run_id = ?",
        (creator, job_id, job_id, creator, run_id),
    )
    limit = settings.get("max_concurrent_runs", 1)
    if run_type == "SUBMIT_RUN" or _running(database, job_id) <= limit:
        _begin(database, run_id, settings, now)
    elif trigger.get("queue", settings.get("queue", {})).get("enabled"):
        database.execute("UPDATE runs SET phase = 'QUEUED' WHERE run_id = ?", (run_id,))
    else:
        _end_run(database, _run(database, run_id), records.skipped(limit), now)
    return run_id


def repair(
    database: sqlite3.Connection,
    run: JobRun,
    settings: Mapping[str, Any],
    trigger: Mapping[str, Any],
    task_keys: Collection[str],
    now: int,
) -> int:
    """Run some tasks of a finished run again, with these settings. The repair's id.

    The others keep how they ended, and what was repaired waits for them as before.
    """
    if not _repairs(database, run.run_id):
        _add_repair(database, run.run_id, "ORIGINAL", run.phase, run.created)
        _end_repair(database, run.run_id, run.outcome or records.SUCCEEDED, run.ended or now)
    repair_id = _add_repair(database, run.run_id, "REPAIR", "PENDING", now)
    database.execute(
        "UPDATE runs SET settings = ?, trigger = ?, phase = 'PENDING', result = NULL, code = NULL,"
        " code_type = NULL, message = '', ended = NULL, stopping = NULL WHERE run_id = ?",
        (to_json(settings), to_json(trigger), run.run_id),
    )
    _set_deadline(database, run.run_id, settings, now)
    before = latest_tasks(database, run.run_id)
    keys = before.keys() | set(task_keys)
    for task in settings["tasks"]:
        key = task["task_key"]
        if key in task_keys:
            attempt = before[key].attempt + 1 if key in before else 0
            _create_task_run(
                database, run.run_id, task, attempt, now, now, repair_id, _first_phase(task, keys)
            )
    _advance(database, run.run_id, now)
    return repair_id


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
    _set_running(database, task.job_run_id)


def expand(database: sqlite3.Connection, task: TaskRun, inputs: Sequence[Any], now: int) -> None:
    """A for-each task's inputs are known: begin as many iterations as may run at once."""
    changed = database.execute(
        "UPDATE task_runs SET executing = ?, input = ?, phase = 'RUNNING'"
        " WHERE run_id = ? AND canceled = 0 AND ended IS NULL",
        (now, to_json(inputs), task.run_id),
    )
    if changed.rowcount:
        _set_running(database, task.job_run_id)
        _advance_iterations(database, task.run_id, now)


def end_task(
    database: sqlite3.Connection,
    task: TaskRun,
    outcome: Outcome,
    now: int,
    error: str | None = None,
    error_trace: str | None = None,
) -> None:
    """A task has ended: try it again, or go on with what waited for it, or end its run.

    Ending a task that has ended changes nothing.
    """
    if not _store_end(database, task.run_id, outcome, now, error, error_trace):
        return
    run = _run(database, task.job_run_id)
    if _may_retry(database, run, task, outcome):
        start = max(now, task.created + task.task.get("min_retry_interval_millis", 0))
        _create_task_run(
            database,
            task.job_run_id,
            task.task,
            task.attempt + 1,
            now,
            start,
            task.repair_id,
            iteration_of=task.iteration_of,
            iteration=task.iteration,
            input=task.input,
        )
    elif task.iteration_of is not None:
        _advance_iterations(database, task.iteration_of, now)
    else:
        _advance(database, task.job_run_id, now)


def stop(database: sqlite3.Connection, run_id: int, how: str, now: int) -> list[int]:
    """Mark a job run or a task run as to be ended; the task runs whose processes may live.

    `how` is `CANCELED` or `TIMEDOUT`. A run still in the queue ends at once. Ended ones stay as
    they are.
    """
    row = database.execute(
        "SELECT * FROM runs WHERE run_id = ? AND phase = 'QUEUED'", (run_id,)
    ).fetchone()
    if row is not None:
        _end_run(database, records.job_run(row), STOPPED[how], now)
        return []
    tasks = database.execute(
        "UPDATE task_runs SET canceled = 1, phase = 'TERMINATING'"
        " WHERE (run_id = :id OR job_run_id = :id OR iteration_of = :id) AND ended IS NULL"
        " RETURNING run_id",
        {"id": run_id},
    ).fetchall()
    database.execute(
        "UPDATE runs SET phase = 'TERMINATING', stopping = coalesce(stopping, ?)"
        " WHERE run_id = ? AND ended IS NULL",
        (how, run_id),
    )
    return [row["run_id"] for row in tasks]


def latest_tasks(database: sqlite3.Connection, job_run_id: int) -> dict[str, TaskRun]:
    """The last attempt of each task of a run, without iterations."""
    rows = database.execute(
        "SELECT * FROM task_runs WHERE job_run_id = ? AND iteration_of IS NULL ORDER BY run_id",
        (job_run_id,),
    )
    return {row["task_key"]: records.task_run(row) for row in rows}


def dependencies(task: Mapping[str, Any]) -> list[str]:
    """The keys of the tasks that a task's settings name in `depends_on`."""
    return [item["task_key"] for item in task.get("depends_on", ())]


def decide(run_if: str, results: Sequence[str]) -> Outcome | None:
    """Whether a task runs after those it depends on ended with `results`: None is yes.

    Excluded tasks count as successful, and who depends on nothing else is excluded too; who
    handles failures is excluded where there is none; anybody else did not run for a failure.
    """
    if all(result == "EXCLUDED" for result in results):
        return records.EXCLUDED
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
        return records.EXCLUDED
    if all(result in ("CANCELED", "UPSTREAM_CANCELED") for result in failed):
        return records.UPSTREAM_CANCELED
    return records.UPSTREAM_FAILED


def _run(database: sqlite3.Connection, run_id: int) -> JobRun:
    row = database.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return records.job_run(row)


def _running(database: sqlite3.Connection, job_id: int) -> int:
    query = "SELECT count(*) FROM runs WHERE job_id = ? AND ended IS NULL AND phase != 'QUEUED'"
    return int(database.execute(query, (job_id,)).fetchone()[0])


def _begin(
    database: sqlite3.Connection, job_run_id: int, settings: Mapping[str, Any], now: int
) -> None:
    _set_deadline(database, job_run_id, settings, now)
    keys = {task["task_key"] for task in settings["tasks"]}
    for task in settings["tasks"]:
        _create_task_run(database, job_run_id, task, 0, now, now, None, _first_phase(task, keys))


def _first_phase(task: Mapping[str, Any], keys: Set[str]) -> str:
    """`keys` are those of the run's tasks: only these are waited for."""
    return "PENDING" if keys.isdisjoint(dependencies(task)) else "BLOCKED"


def _set_deadline(
    database: sqlite3.Connection, run_id: int, settings: Mapping[str, Any], now: int
) -> None:
    seconds = settings.get("timeout_seconds", 0)
    database.execute(
        "UPDATE runs SET deadline = ? WHERE run_id = ?",
        (now + 1000 * seconds if seconds else None, run_id),
    )


def _set_running(database: sqlite3.Connection, job_run_id: int) -> None:
    database.execute(
        "UPDATE runs SET phase = 'RUNNING' WHERE run_id = ? AND phase = 'PENDING'", (job_run_id,)
    )


def _create_task_run(
    database: sqlite3.Connection,
    job_run_id: int,
    task: Mapping[str, Any],
    attempt: int,
    now: int,
    not_before: int,
    repair_id: int | None,
    phase: str = "PENDING",
    *,
    iteration_of: int | None = None,
    iteration: int | None = None,
    input: str | None = None,
) -> None:
    database.execute(
        "INSERT INTO task_runs (run_id, job_run_id, task_key, attempt, task, cluster_id, phase,"
        " created, not_before, repair_id, iteration_of, iteration, input)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            next_id(database, "runs"),
            job_run_id,
            task["task_key"],
            attempt,
            to_json(task),
            task.get("existing_cluster_id", ""),
            phase,
            0 if phase == "BLOCKED" else now,
            not_before,
            repair_id,
            iteration_of,
            iteration,
            input,
        ),
    )


def _store_end(
    database: sqlite3.Connection,
    task_run_id: int,
    outcome: Outcome,
    now: int,
    error: str | None = None,
    error_trace: str | None = None,
) -> bool:
    """Whether the task had not ended before."""
    changed = database.execute(
        "UPDATE task_runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?,"
        " error = ?, error_trace = ?, ended = ? WHERE run_id = ? AND ended IS NULL",
        (*_columns(outcome), error, error_trace, now, task_run_id),
    )
    return changed.rowcount > 0


def _may_retry(database: sqlite3.Connection, run: JobRun, task: TaskRun, outcome: Outcome) -> bool:
    limit = task.task.get("max_retries", 0)
    if (
        limit == 0
        and "environment_key" in task.task
        and run.run_type == "JOB_RUN"
        and not task.task.get("disable_auto_optimization")
    ):
        limit = 1  # serverless tries a failed task of a job again by itself
    if task.canceled or outcome is records.INTERRUPTED or limit == 0:
        return False
    attempts = database.execute(
        "SELECT count(*) FROM task_runs WHERE job_run_id = ? AND task_key = ?"
        " AND repair_id IS ? AND iteration_of IS ? AND iteration IS ?",
        (task.job_run_id, task.task_key, task.repair_id, task.iteration_of, task.iteration),
    ).fetchone()[0]
    if 0 <= limit < attempts:
        return False
    if outcome.result == "TIMEDOUT":
        return bool(task.task.get("retry_on_timeout", False))
    return outcome.result == "FAILED"


def _advance(database: sqlite3.Connection, job_run_id: int, now: int) -> None:
    """Unblock what need not wait any longer; end the run when all its tasks have ended."""
    tasks = latest_tasks(database, job_run_id)
    ended = {key: task.outcome.result for key, task in tasks.items() if task.outcome}
    waiting = {key: task for key, task in tasks.items() if task.phase == "BLOCKED"}
    is_changed = True
    while is_changed:
        is_changed = False
        for key, task in list(waiting.items()):
            upstream = [name for name in dependencies(task.task) if name in tasks]
            if not all(name in ended for name in upstream):
                continue
            outcome = decide(
                task.task.get("run_if", "ALL_SUCCESS"), [ended[name] for name in upstream]
            )
            if outcome is None or not upstream:
                database.execute(
                    "UPDATE task_runs SET phase = 'PENDING', created = ? WHERE run_id = ?",
                    (now, task.run_id),
                )
            else:
                _store_end(database, task.run_id, outcome, now)
                ended[key] = outcome.result
            del waiting[key]
            is_changed = True
    if len(ended) == len(tasks):
        run = _run(database, job_run_id)
        if run.ended is None:
            last = list(latest_tasks(database, job_run_id).values())
            _end_run(database, run, _outcome_of(run, last), now)


def _advance_iterations(database: sqlite3.Connection, for_each_run_id: int, now: int) -> None:
    """Begin the next iterations; end the for-each task when all of them have ended."""
    row = database.execute("SELECT * FROM task_runs WHERE run_id = ?", (for_each_run_id,))
    task = records.task_run(row.fetchone())
    if task.ended is not None or task.input is None:
        return
    inputs = json.loads(task.input)
    active, begun = database.execute(
        "SELECT (SELECT count(*) FROM task_runs WHERE iteration_of = :id AND ended IS NULL),"
        " (SELECT coalesce(max(iteration) + 1, 0) FROM task_runs WHERE iteration_of = :id)",
        {"id": for_each_run_id},
    ).fetchone()
    settings = task.task["for_each_task"]
    while not task.canceled and begun < len(inputs) and active < settings.get("concurrency", 1):
        _create_task_run(
            database,
            task.job_run_id,
            settings["task"],
            0,
            now,
            now,
            task.repair_id,
            iteration_of=task.run_id,
            iteration=begun,
            input=to_json(inputs[begun]),
        )
        begun += 1
        active += 1
    if active == 0:
        query = "SELECT iteration, result FROM task_runs WHERE iteration_of = ? ORDER BY run_id"
        last = dict(database.execute(query, (for_each_run_id,)).fetchall())
        failed = sum(result not in SUCCESSES for result in last.values())
        outcome = records.iterations_failed(failed, len(inputs)) if failed else records.SUCCEEDED
        end_task(database, task, records.CANCELED if task.canceled else outcome, now)


def _outcome_of(run: JobRun, tasks: Sequence[TaskRun]) -> Outcome:
    """How a run ended, from the last attempts of its tasks: its leaves decide."""
    ends = [(task, task.outcome) for task in tasks if task.outcome is not None]
    failed = [(task, outcome) for task, outcome in ends if outcome.result in FAILURES]
    if not failed:
        return records.SUCCEEDED
    if run.stopping is not None:
        return STOPPED[run.stopping]
    upstream = {name for task in tasks for name in dependencies(task.task)}
    if all(task.task_key in upstream for task, _ in failed):
        return records.SUCCEEDED_WITH_FAILURES
    skipped_some = any(outcome.result == "UPSTREAM_FAILED" for _, outcome in failed)
    for result in ("FAILED", "TIMEDOUT"):
        for task, outcome in failed:
            if outcome.result == result:
                return records.of_failed_task(task, outcome, skipped_some)
    return records.CANCELED


def _end_run(database: sqlite3.Connection, run: JobRun, outcome: Outcome, now: int) -> None:
    database.execute(
        "UPDATE runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?, ended = ?"
        " WHERE run_id = ?",
        (*_columns(outcome), now, run.run_id),
    )
    _end_repair(database, run.run_id, outcome, now)
    queued = database.execute(
        "SELECT run_id, settings FROM runs"
        " WHERE job_id = ? AND ended IS NULL AND phase = 'QUEUED' ORDER BY run_id LIMIT 1",
        (run.job_id,),
    ).fetchone()
    if queued is not None:
        settings = json.loads(queued["settings"])
        if _running(database, run.job_id) < settings.get("max_concurrent_runs", 1):
            database.execute(
                "UPDATE runs SET phase = 'PENDING' WHERE run_id = ?", (queued["run_id"],)
            )
            _begin(database, queued["run_id"], settings, now)


def _columns(outcome: Outcome) -> tuple[str, str, str, str, str]:
    return outcome.phase, outcome.result, outcome.code, outcome.code_type, outcome.message


def _repairs(database: sqlite3.Connection, run_id: int) -> int:
    query = "SELECT count(*) FROM repairs WHERE job_run_id = ?"
    return int(database.execute(query, (run_id,)).fetchone()[0])


def _add_repair(
    database: sqlite3.Connection, run_id: int, type: str, phase: str, created: int
) -> int:
    repair_id = next_id(database, "runs")
    database.execute(
        "INSERT INTO repairs (repair_id, job_run_id, type, phase, created) VALUES (?, ?, ?, ?, ?)",
        (repair_id, run_id, type, phase, created),
    )
    return repair_id


def _end_repair(database: sqlite3.Connection, run_id: int, outcome: Outcome, now: int) -> None:
    database.execute(
        "UPDATE repairs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?, ended = ?"
        " WHERE job_run_id = ? AND ended IS NULL",
        (*_columns(outcome), now, run_id),
    )
