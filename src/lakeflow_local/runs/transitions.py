"""Phases of job runs and task runs, and the events that change them.

A phase is the `life_cycle_state` of API 2.1; the `status` of API 2.2 follows from it. A task of a
run waits BLOCKED for those it depends on, then PENDING for a slot, and finishes once; a retry or a
repair is another task run of the same key, and the last one of a key counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache

from lakeflow_local.storage.outcomes import Outcome

QUEUED, BLOCKED, PENDING, RUNNING = "QUEUED", "BLOCKED", "PENDING", "RUNNING"
TERMINATING, TERMINATED = "TERMINATING", "TERMINATED"
SKIPPED, INTERNAL_ERROR = "SKIPPED", "INTERNAL_ERROR"


class RunEvent(Enum):
    """What happens to a job run."""

    QUEUE = "as many runs of its job are active as may be"
    START = "it is triggered, or leaves the queue"
    TASK_START = "the first of its tasks starts"
    STOP = "it is cancelled, or its timeout has passed"
    TERMINATE = "its tasks have finished, or it is cancelled in the queue"
    SKIP = "as many runs of its job are active as may be, and it does not queue"
    FAIL = "a task failed"
    REPAIR = "some of its tasks are to run again"


class TaskEvent(Enum):
    """What happens to a task run."""

    BLOCK = "it is created while tasks that it depends on have not finished"
    CREATE = "it is created, and depends on nothing"
    UNBLOCK = "the tasks that it depends on have finished"
    START = "its process has started, or the inputs of a for-each task are known"
    STOP = "it or its run is cancelled, or the timeout of its run has passed"
    TERMINATE = "its program has finished, or it is cancelled or timed out"
    SKIP = "its run_if condition is not met"
    FAIL = "it could not run, or was interrupted"


RUN_TRANSITIONS: Mapping[tuple[str | None, RunEvent], str] = {
    (None, RunEvent.QUEUE): QUEUED,
    (None, RunEvent.START): PENDING,
    (QUEUED, RunEvent.START): PENDING,
    (PENDING, RunEvent.TASK_START): RUNNING,
    (PENDING, RunEvent.STOP): TERMINATING,
    (RUNNING, RunEvent.STOP): TERMINATING,
    (TERMINATING, RunEvent.STOP): TERMINATING,
    (QUEUED, RunEvent.TERMINATE): TERMINATED,
    (PENDING, RunEvent.TERMINATE): TERMINATED,
    (RUNNING, RunEvent.TERMINATE): TERMINATED,
    (TERMINATING, RunEvent.TERMINATE): TERMINATED,
    (PENDING, RunEvent.SKIP): SKIPPED,
    (PENDING, RunEvent.FAIL): INTERNAL_ERROR,
    (RUNNING, RunEvent.FAIL): INTERNAL_ERROR,
    (TERMINATING, RunEvent.FAIL): INTERNAL_ERROR,
    (TERMINATED, RunEvent.REPAIR): PENDING,
    (SKIPPED, RunEvent.REPAIR): PENDING,
    (INTERNAL_ERROR, RunEvent.REPAIR): PENDING,
}
"""The phase of a job run after each event, by the phase before (None: it does not exist yet).

An event without a row changes nothing.
"""

TASK_TRANSITIONS: Mapping[tuple[str | None, TaskEvent], str] = {
    (None, TaskEvent.BLOCK): BLOCKED,
    (None, TaskEvent.CREATE): PENDING,
    (BLOCKED, TaskEvent.UNBLOCK): PENDING,
    (PENDING, TaskEvent.START): RUNNING,
    (BLOCKED, TaskEvent.STOP): TERMINATING,
    (PENDING, TaskEvent.STOP): TERMINATING,
    (RUNNING, TaskEvent.STOP): TERMINATING,
    (TERMINATING, TaskEvent.STOP): TERMINATING,
    (PENDING, TaskEvent.TERMINATE): TERMINATED,
    (RUNNING, TaskEvent.TERMINATE): TERMINATED,
    (TERMINATING, TaskEvent.TERMINATE): TERMINATED,
    (BLOCKED, TaskEvent.SKIP): SKIPPED,
    (BLOCKED, TaskEvent.FAIL): INTERNAL_ERROR,
    (PENDING, TaskEvent.FAIL): INTERNAL_ERROR,
    (RUNNING, TaskEvent.FAIL): INTERNAL_ERROR,
    (TERMINATING, TaskEvent.FAIL): INTERNAL_ERROR,
}
"""The phase of a task run after each event, by the phase before."""


@cache
def run_changes(event: RunEvent) -> Mapping[str, str]:
    """Return the phases of a job run that an event changes, each with the phase after it."""
    return {
        before: after
        for (before, happened), after in RUN_TRANSITIONS.items()
        if happened is event and before is not None
    }


@cache
def task_changes(event: TaskEvent) -> Mapping[str, str]:
    """Return the phases of a task run that an event changes, each with the phase after it."""
    return {
        before: after
        for (before, happened), after in TASK_TRANSITIONS.items()
        if happened is event and before is not None
    }


def run_event(outcome: Outcome) -> RunEvent:
    """Return the event by which a job run finishes with an outcome."""
    events = {TERMINATED: RunEvent.TERMINATE, SKIPPED: RunEvent.SKIP, INTERNAL_ERROR: RunEvent.FAIL}
    return events[outcome.phase]


def task_event(outcome: Outcome) -> TaskEvent:
    """Return the event by which a task run finishes with an outcome."""
    events = {
        TERMINATED: TaskEvent.TERMINATE,
        SKIPPED: TaskEvent.SKIP,
        INTERNAL_ERROR: TaskEvent.FAIL,
    }
    return events[outcome.phase]
