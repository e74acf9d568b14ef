"""Iterations of for-each tasks. Source: docs.databricks.com/jobs/for-each."""

from __future__ import annotations

import json

from lakeflow_local.runs.conditions import SUCCESSES
from lakeflow_local.runs.transitions import TASK_TRANSITIONS, TaskEvent
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.database import to_json
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.task_run_repository import NewTaskRun, TaskRun


def advance(storage: Storage, for_each: TaskRun, now: int) -> Outcome | None:
    """Start as many iterations as may run at once.

    Return the outcome of the for-each task once all its iterations have finished.
    """
    if for_each.finished is not None or for_each.input is None:
        return None
    inputs = json.loads(for_each.input)
    active, started = storage.task_runs.count_iterations(for_each.run_id)
    settings = for_each.task["for_each_task"]
    while (
        not for_each.canceled and started < len(inputs) and active < settings.get("concurrency", 1)
    ):
        storage.task_runs.create(
            NewTaskRun(
                for_each.job_run_id,
                settings["task"],
                TASK_TRANSITIONS[None, TaskEvent.CREATE],
                created=now,
                not_before=now,
                repair_id=for_each.repair_id,
                iteration_of=for_each.run_id,
                iteration=started,
                input=to_json(inputs[started]),
            )
        )
        started += 1
        active += 1
    if active:
        return None
    if for_each.canceled:
        return outcomes.CANCELED
    last = storage.task_runs.iteration_outcomes(for_each.run_id).values()
    failed = sum(outcome is None or outcome.result not in SUCCESSES for outcome in last)
    return outcomes.iterations_failed(failed, len(inputs)) if failed else outcomes.SUCCEEDED
