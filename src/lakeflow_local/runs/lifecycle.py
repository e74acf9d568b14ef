"""Lifecycle of runs: create, repair and stop them, and advance them when a task has changed.

Each function makes its changes in one transaction, which may be part of the caller's. Times are ms
since 1970. Sources: docs.databricks.com/jobs/run-if, /jobs/repair-job-failures.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from typing import Any

from lakeflow_local.runs import iterations, retries
from lakeflow_local.runs.conditions import STOPPED, decide, dependencies, run_outcome
from lakeflow_local.runs.transitions import (
    BLOCKED,
    QUEUED,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    RunEvent,
    TaskEvent,
    run_changes,
    run_event,
    task_changes,
    task_event,
)
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.settings import JobSettings, RunTrigger, TaskSettings
from lakeflow_local.storage.task_run_repository import NewTaskRun, TaskRun


def create(
    storage: Storage,
    job_id: int,
    settings: JobSettings,
    trigger: RunTrigger,
    now: int,
    run_type: str = "JOB_RUN",
    creator: str | None = None,
) -> int:
    """Start a run, or queue or skip it if the job has as many runs as it may; return its id.

    `creator` is the name of who triggered it; None is the creator of the job.
    """
    limit = settings.get("max_concurrent_runs", 1)
    with storage.transaction():
        is_free = run_type == "SUBMIT_RUN" or storage.runs.count_started(job_id) < limit
        queue = trigger.get("queue", settings.get("queue", {}))
        does_queue = not is_free and bool(queue.get("enabled"))
        run_id = storage.runs.create(
            job_id,
            settings,
            trigger,
            phase=RUN_TRANSITIONS[None, RunEvent.QUEUE if does_queue else RunEvent.START],
            created=now,
            run_type=run_type,
            creator=creator,
        )
        if is_free:
            _create_tasks(storage, run_id, settings, now)
        elif not does_queue:
            _finish_run(storage, storage.runs.existing(run_id), outcomes.skipped(limit), now)
    return run_id


def repair(
    storage: Storage,
    run: JobRun,
    settings: JobSettings,
    trigger: RunTrigger,
    task_keys: Collection[str],
    now: int,
) -> int:
    """Run some tasks of a finished run again, with these settings; return the repair's id.

    The others keep their outcomes, and dependencies count as before.
    """
    with storage.transaction():
        phase = RUN_TRANSITIONS[run.phase, RunEvent.REPAIR]
        repair_id = storage.repairs.add(run, phase, now)
        storage.runs.reopen(run.run_id, settings, trigger, phase)
        _set_deadline(storage, run.run_id, settings, now)
        before = storage.task_runs.latest(run.run_id)
        keys = before.keys() | set(task_keys)
        for task in settings["tasks"]:
            key = task["task_key"]
            if key in task_keys:
                attempt = before[key].attempt + 1 if key in before else 0
                _create_task(storage, run.run_id, task, keys, now, attempt, repair_id)
        _advance(storage, run.run_id, now)
    return repair_id


def start_process(
    storage: Storage,
    task: TaskRun,
    parameters: Sequence[str],
    pid: int,
    pid_started: str | None,
    now: int,
) -> None:
    """Store that a task's process has started."""
    changes = task_changes(TaskEvent.START)
    with storage.transaction():
        storage.task_runs.start_process(task.run_id, changes, now, parameters, pid, pid_started)
        storage.runs.change_phase(task.job_run_id, run_changes(RunEvent.TASK_START))


def expand(storage: Storage, task: TaskRun, inputs: Sequence[Any], now: int) -> None:
    """Store the inputs of a for-each task, and start its first iterations."""
    with storage.transaction():
        if storage.task_runs.expand(task.run_id, task_changes(TaskEvent.START), now, inputs):
            storage.runs.change_phase(task.job_run_id, run_changes(RunEvent.TASK_START))
            _advance_iterations(storage, task.run_id, now)


def finish_task(
    storage: Storage,
    task: TaskRun,
    outcome: Outcome,
    now: int,
    error: str | None = None,
    error_trace: str | None = None,
) -> None:
    """Finish a task: retry it, start the tasks that depend on it, or finish its run.

    Nothing happens if the task has finished before.
    """
    with storage.transaction():
        before = task_changes(task_event(outcome))
        if not storage.task_runs.finish(task.run_id, outcome, before, now, error, error_trace):
            return
        run = storage.runs.existing(task.job_run_id)
        if retries.may_retry(storage, run, task, outcome):
            retries.retry(storage, task, now)
        elif task.iteration_of is not None:
            _advance_iterations(storage, task.iteration_of, now)
        else:
            _advance(storage, task.job_run_id, now)


def stop(storage: Storage, run_id: int, how: str, now: int) -> Sequence[int]:
    """Stop a job run or a task run; return the task runs whose processes may be alive.

    `how` is `CANCELED` or `TIMEDOUT`. A queued run finishes at once; finished runs do not change.
    """
    with storage.transaction():
        run = storage.runs.get(run_id)
        if run is not None and run.phase == QUEUED:
            _finish_run(storage, run, STOPPED[how], now)
            return []
        task_run_ids = storage.task_runs.request_stop(run_id, task_changes(TaskEvent.STOP))
        if storage.runs.change_phase(run_id, run_changes(RunEvent.STOP)):
            storage.runs.request_stop(run_id, how)
    return task_run_ids


def _create_tasks(storage: Storage, job_run_id: int, settings: JobSettings, now: int) -> None:
    _set_deadline(storage, job_run_id, settings, now)
    keys = {task["task_key"] for task in settings["tasks"]}
    for task in settings["tasks"]:
        _create_task(storage, job_run_id, task, keys, now)


def _create_task(
    storage: Storage,
    job_run_id: int,
    task: TaskSettings,
    keys: Set[str],
    now: int,
    attempt: int = 0,
    repair_id: int | None = None,
) -> None:
    """Create a task run; `keys` are the tasks of the run: dependencies on others do not count."""
    is_blocked = not keys.isdisjoint(dependencies(task))
    event = TaskEvent.BLOCK if is_blocked else TaskEvent.CREATE
    created = 0 if is_blocked else now
    phase = TASK_TRANSITIONS[None, event]
    storage.task_runs.create(NewTaskRun(job_run_id, task, phase, created, now, attempt, repair_id))


def _set_deadline(storage: Storage, run_id: int, settings: JobSettings, now: int) -> None:
    seconds = settings.get("timeout_seconds", 0)
    storage.runs.set_deadline(run_id, now + 1000 * seconds if seconds else None)


def _advance(storage: Storage, job_run_id: int, now: int) -> None:
    """Unblock or skip tasks whose dependencies have finished, or finish the run."""
    tasks = storage.task_runs.latest(job_run_id)
    results = {key: task.outcome.result for key, task in tasks.items() if task.outcome}
    blocked = {key: task for key, task in tasks.items() if task.phase == BLOCKED}
    is_changed = True
    while is_changed:
        is_changed = False
        for key, task in list(blocked.items()):
            upstream = [name for name in dependencies(task.task) if name in tasks]
            if not all(name in results for name in upstream):
                continue
            outcome = decide(
                task.task.get("run_if", "ALL_SUCCESS"), [results[name] for name in upstream]
            )
            if outcome is None or not upstream:
                storage.task_runs.unblock(task.run_id, task_changes(TaskEvent.UNBLOCK), now)
            else:
                before = task_changes(task_event(outcome))
                storage.task_runs.finish(task.run_id, outcome, before, now)
                results[key] = outcome.result
            del blocked[key]
            is_changed = True
    if len(results) == len(tasks):
        run = storage.runs.existing(job_run_id)
        if run.finished is None:
            last = list(storage.task_runs.latest(job_run_id).values())
            _finish_run(storage, run, run_outcome(run, last), now)


def _advance_iterations(storage: Storage, for_each_run_id: int, now: int) -> None:
    """Start the next iterations, or finish the for-each task."""
    task = storage.task_runs.existing(for_each_run_id)
    outcome = iterations.advance(storage, task, now)
    if outcome is not None:
        finish_task(storage, task, outcome, now)


def _finish_run(storage: Storage, run: JobRun, outcome: Outcome, now: int) -> None:
    """Finish a run, and start the next one in the queue of its job."""
    storage.runs.finish(run.run_id, outcome, run_changes(run_event(outcome)), now)
    storage.repairs.finish(run.run_id, outcome, now)
    queued = storage.runs.first_queued(run.job_id)
    if queued is None:
        return
    limit = queued.settings.get("max_concurrent_runs", 1)
    if storage.runs.count_started(run.job_id) < limit:
        storage.runs.change_phase(queued.run_id, run_changes(RunEvent.START))
        _create_tasks(storage, queued.run_id, queued.settings, now)
