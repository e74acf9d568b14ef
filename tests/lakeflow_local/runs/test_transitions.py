"""Tables of transitions: consistent, and followed by the lifecycle of runs and tasks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from lakeflow_local.compute import cluster_states
from lakeflow_local.compute.cluster_states import ClusterEvent
from lakeflow_local.runs import lifecycle
from lakeflow_local.runs.transitions import (
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    RunEvent,
    TaskEvent,
    run_changes,
    task_changes,
)
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import RunFilter
from lakeflow_local.storage.settings import JobSettings

FINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
SETTINGS: JobSettings = {
    "name": "job",
    "max_concurrent_runs": 2,
    "tasks": [
        {"task_key": "first", "max_retries": 1},
        {"task_key": "second", "depends_on": [{"task_key": "first"}]},
        {
            "task_key": "loop",
            "for_each_task": {"inputs": "[1, 2, 3]", "concurrency": 2, "task": {"task_key": "in"}},
        },
        {
            "task_key": "last",
            "depends_on": [{"task_key": "second"}, {"task_key": "loop"}],
            "run_if": "AT_LEAST_ONE_FAILED",
        },
    ],
}

Change = tuple[str | None, str]
Event = TypeVar("Event")


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage(Path(":memory:"))
    yield storage
    storage.close()


@pytest.mark.parametrize(
    ("table", "events", "reopening"),
    [
        (RUN_TRANSITIONS, RunEvent, RunEvent.REPAIR),
        (TASK_TRANSITIONS, TaskEvent, None),
        (cluster_states.TRANSITIONS, ClusterEvent, ClusterEvent.START),
    ],
)
def test_tables_are_consistent(
    table: Mapping[tuple[str | None, Event], str],
    events: type[RunEvent] | type[TaskEvent] | type[ClusterEvent],
    reopening: object,
) -> None:
    """Each event is used, each phase can be reached, and only `reopening` leaves final ones."""
    assert {event for _, event in table} == set(events)
    reached = {after for (before, _), after in table.items() if before is None}
    while more := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= more
    assert reached == {before for before, _ in table if before is not None} | (
        reached & FINAL
    ), "an active phase cannot be left, or is never reached"
    left = {event for before, event in table if before in FINAL}
    assert left == ({reopening} if reopening else set())


def test_every_active_phase_can_be_stopped() -> None:
    """A queued run finishes at once instead."""
    active = {before for before, _ in RUN_TRANSITIONS if before is not None} - FINAL
    assert run_changes(RunEvent.STOP).keys() == active - {"QUEUED"}
    assert "QUEUED" in run_changes(RunEvent.TERMINATE)
    tasks = {before for before, _ in TASK_TRANSITIONS if before is not None}
    assert task_changes(TaskEvent.STOP).keys() == tasks


def phases(storage: Storage) -> tuple[dict[int, str], dict[int, str]]:
    """Return the phases of all runs and of all task runs, by id."""
    runs = {run.run_id: run.phase for run in storage.runs.list(RunFilter(), 1000, 0)}
    tasks: dict[int, str] = {}
    for run_id in runs:
        for task in storage.task_runs.of_run(run_id):
            tasks[task.run_id] = task.phase
            if "for_each_task" in task.task:
                iterations = storage.task_runs.of_run(run_id, task.run_id)
                tasks |= {other.run_id: other.phase for other in iterations}
    return runs, tasks


def changes(before: dict[int, str], after: dict[int, str]) -> set[Change]:
    return {
        (before.get(number), phase)
        for number, phase in after.items()
        if before.get(number) != phase
    }


def allowed(table: Mapping[tuple[str | None, Event], str]) -> set[Change]:
    """Return the changes of a table.

    A creation or a repair may be followed by another change in the same transaction.
    """
    single = {(before, after) for (before, _), after in table.items()}
    opening = {(before, after) for before, after in single if before is None or before in FINAL}
    return single | {
        (before, after)
        for before, between in opening
        for other, after in single
        if other == between
    }


def step(storage: Storage, dice: random.Random, moment: int) -> None:
    """Do one thing that clients, the scheduler or a crash may do."""
    runs = storage.runs.list(RunFilter(), 1000, 0)
    active = storage.task_runs.active()
    action = dice.choice(["create", "start", "start", "finish", "finish", "stop", "repair"])
    if action == "create":
        does_queue = dice.random() < 0.5
        lifecycle.create(storage, 1, SETTINGS, {"queue": {"enabled": does_queue}}, moment)
    elif action == "stop" and runs:
        run_id = dice.choice([run.run_id for run in runs] + [task.run_id for task in active])
        lifecycle.stop(storage, run_id, dice.choice(["CANCELED", "TIMEDOUT"]), moment)
    elif action == "repair" and (finished := [run for run in runs if run.finished]):
        keys = [task["task_key"] for task in SETTINGS["tasks"]]
        chosen = dice.sample(keys, dice.randint(1, len(keys)))
        lifecycle.repair(storage, dice.choice(finished), SETTINGS, {}, chosen, moment)
    elif action == "start" and (ready := [task for task in active if task.phase == "PENDING"]):
        task = dice.choice(ready)
        if "for_each_task" in task.task:
            lifecycle.expand(storage, task, [1, 2, 3], moment)
        else:
            lifecycle.start_process(storage, task, [], 1, "", moment)
    elif action == "finish":
        running = [task for task in active if task.phase in ("RUNNING", "TERMINATING")]
        if running:
            outcome = dice.choice(
                [outcomes.SUCCEEDED, outcomes.WORKLOAD_FAILED, outcomes.INTERRUPTED]
            )
            lifecycle.finish_task(storage, dice.choice(running), outcome, moment)


@pytest.mark.parametrize("seed", range(5))
def test_the_lifecycle_follows_the_tables(storage: Storage, seed: int) -> None:
    """Whatever happens in whatever order, and in the end every run can be finished."""
    allowed_runs, allowed_tasks = allowed(RUN_TRANSITIONS), allowed(TASK_TRANSITIONS)
    dice = random.Random(seed)
    runs, tasks = phases(storage)
    for moment in range(1, 200):
        step(storage, dice, moment)
        runs_after, tasks_after = phases(storage)
        assert changes(runs, runs_after) <= allowed_runs
        assert changes(tasks, tasks_after) <= allowed_tasks
        started = [phase for phase in runs_after.values() if phase not in FINAL | {"QUEUED"}]
        assert len(started) <= 2 or any(storage.repairs.list(run_id) for run_id in runs_after)
        runs, tasks = runs_after, tasks_after
    for run_id in storage.runs.active_ids():
        for task_run_id in lifecycle.stop(storage, run_id, "CANCELED", 1000):
            task = storage.task_runs.existing(task_run_id)
            lifecycle.finish_task(storage, task, outcomes.CANCELED, 1000)
    while active := storage.runs.active_ids():  # those that left the queue
        for task_run_id in lifecycle.stop(storage, active[0], "CANCELED", 1000):
            task = storage.task_runs.existing(task_run_id)
            lifecycle.finish_task(storage, task, outcomes.CANCELED, 1000)
    assert storage.task_runs.active() == []
