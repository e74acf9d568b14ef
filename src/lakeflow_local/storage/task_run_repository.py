"""Task runs: attempts of tasks and of iterations."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_local.storage.database import Database, to_json
from lakeflow_local.storage.outcomes import Outcome, outcome_of
from lakeflow_local.storage.phases import is_in, next_phase
from lakeflow_local.storage.settings import JobSettings, TaskSettings
from lakeflow_local.storage.storable_text import storable_message


@dataclass(frozen=True)
class TaskRun:
    """One attempt of a task, or of one iteration of a for-each task. Times are ms since 1970.

    `cluster_id` is empty until a job cluster was created for it, and on serverless compute.
    `created` is 0 while it waits for other tasks, and stays 0 if it never stopped waiting.
    `not_before` is when a retry may start. `parameters` are those of the process. `input` is JSON:
    the resolved list of a for-each task, or the one input of an iteration. `iterations` has how
    the last attempt of each iteration finished; it is filled where a run is shown.
    """

    run_id: int
    job_run_id: int
    task_key: str
    attempt: int
    task: TaskSettings
    cluster_id: str
    phase: str
    outcome: Outcome | None
    error: str | None
    error_trace: str | None
    parameters: Sequence[str] | None
    created: int
    not_before: int
    executing: int | None
    finished: int | None
    canceled: bool
    pid: int | None
    pid_started: str | None
    repair_id: int | None
    iteration_of: int | None
    iteration: int | None
    input: str | None
    iterations: Sequence[Outcome | None] = ()


@dataclass(frozen=True)
class NewTaskRun:
    """What a task run is created with; the fields are those of `TaskRun`."""

    job_run_id: int
    task: TaskSettings
    phase: str
    created: int
    not_before: int
    attempt: int = 0
    repair_id: int | None = None
    iteration_of: int | None = None
    iteration: int | None = None
    input: str | None = None


@dataclass(frozen=True)
class ActiveTask:
    """A task run on a cluster, with its job."""

    run_id: int
    job_run_id: int
    job_id: int
    job_name: str
    task_key: str
    phase: str
    cluster_id: str


class TaskRunRepository:
    """Table `task_runs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewTaskRun) -> None:
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO task_runs (run_id, job_run_id, task_key, attempt, task, cluster_id,"
                " phase, created, not_before, repair_id, iteration_of, iteration, input)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                self._database.next_id("runs"),
                new.job_run_id,
                new.task["task_key"],
                new.attempt,
                to_json(new.task),
                new.task.get("existing_cluster_id", ""),
                new.phase,
                new.created,
                new.not_before,
                new.repair_id,
                new.iteration_of,
                new.iteration,
                new.input,
            )

    def get(self, run_id: int) -> TaskRun | None:
        row = self._database.row("SELECT * FROM task_runs WHERE run_id = ?", run_id)
        return None if row is None else _task_run(row)

    def existing(self, run_id: int) -> TaskRun:
        """Return a task run that is known to exist."""
        (row,) = self._database.rows("SELECT * FROM task_runs WHERE run_id = ?", run_id)
        return _task_run(row)

    def latest(self, job_run_id: int) -> dict[str, TaskRun]:
        """Return the last attempt of each task of a run by its key, without iterations."""
        rows = self._database.rows(
            "SELECT * FROM task_runs WHERE job_run_id = ? AND iteration_of IS NULL ORDER BY run_id",
            job_run_id,
        )
        return {row["task_key"]: _task_run(row) for row in rows}

    def of_run(self, job_run_id: int, for_each_run_id: int | None = None) -> list[TaskRun]:
        """Return the task runs of a job run, with how their iterations finished.

        The iterations of one for-each task are among them; of all there may be thousands.
        """
        rows = self._database.rows(
            "SELECT * FROM task_runs WHERE job_run_id = ?"
            " AND (iteration_of IS NULL OR iteration_of = ?) ORDER BY run_id",
            job_run_id,
            for_each_run_id,
        )
        return [
            _task_run(
                row,
                # A for-each task that was expanded; the input of an iteration is its own.
                (
                    list(self.iteration_outcomes(row["run_id"]).values())
                    if row["input"] is not None and row["iteration_of"] is None
                    else ()
                ),
            )
            for row in rows
        ]

    def iteration_outcomes(self, for_each_run_id: int) -> dict[int, Outcome | None]:
        """Return how the last attempt of each iteration finished; None for active ones."""
        rows = self._database.rows(
            "SELECT iteration, phase, result, code, code_type, message, ended FROM task_runs"
            " WHERE iteration_of = ? ORDER BY run_id",
            for_each_run_id,
        )
        return {row["iteration"]: outcome_of(row) for row in rows}

    def count_iterations(self, for_each_run_id: int) -> tuple[int, int]:
        """Return how many iterations are active, and how many were started."""
        row = self._database.row(
            "SELECT (SELECT count(*) FROM task_runs WHERE iteration_of = ? AND ended IS NULL),"
            " (SELECT coalesce(max(iteration) + 1, 0) FROM task_runs WHERE iteration_of = ?)",
            for_each_run_id,
            for_each_run_id,
        )
        return (0, 0) if row is None else (row[0], row[1])

    def count_attempts(self, task: TaskRun) -> int:
        """Return the attempts of a task within its original run or its repair."""
        return self._database.count(
            "SELECT count(*) FROM task_runs WHERE job_run_id = ? AND task_key = ?"
            " AND repair_id IS ? AND iteration_of IS ? AND iteration IS ?",
            task.job_run_id,
            task.task_key,
            task.repair_id,
            task.iteration_of,
            task.iteration,
        )

    def active(self) -> Sequence[TaskRun]:
        """Return all task runs that have not finished, oldest first."""
        rows = self._database.rows("SELECT * FROM task_runs WHERE ended IS NULL ORDER BY run_id")
        return [_task_run(row) for row in rows]

    def active_on(self, cluster_id: str) -> Sequence[int]:
        """Return the ids of the active task runs on a cluster."""
        return self._database.numbers(
            "SELECT run_id FROM task_runs WHERE ended IS NULL AND cluster_id = ?", cluster_id
        )

    def active_with_jobs(self) -> Sequence[ActiveTask]:
        """Return all active task runs with the jobs that they belong to, oldest first."""
        rows = self._database.rows(
            "SELECT t.*, r.job_id, r.settings FROM task_runs t"
            " JOIN runs r ON r.run_id = t.job_run_id WHERE t.ended IS NULL ORDER BY t.run_id"
        )
        names: dict[int, str] = {}
        for row in rows:
            if row["job_run_id"] not in names:
                settings: JobSettings = json.loads(row["settings"])
                names[row["job_run_id"]] = settings["name"]
        return [
            ActiveTask(
                run_id=row["run_id"],
                job_run_id=row["job_run_id"],
                job_id=row["job_id"],
                job_name=names[row["job_run_id"]],
                task_key=row["task_key"],
                phase=row["phase"],
                cluster_id=row["cluster_id"],
            )
            for row in rows
        ]

    def ready(self, moment: int, limit: int) -> Sequence[TaskRun]:
        """Return task runs that wait for nothing but a slot, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM task_runs WHERE ended IS NULL AND phase = 'PENDING'"
            " AND not_before <= max(?, created) ORDER BY run_id LIMIT ?",
            moment,
            limit,
        )
        return [_task_run(row) for row in rows]

    def next_retry(self, after: int) -> int | None:
        """Return when the next delayed retry may start, in ms since 1970."""
        return self._database.number(
            "SELECT min(not_before) FROM task_runs"
            " WHERE ended IS NULL AND not_before > created AND not_before > ?",
            after,
        )

    def unblock(self, run_id: int, changes: Mapping[str, str], moment: int) -> None:
        """Let a task run that waited for others continue."""
        self._database.execute(
            f"UPDATE task_runs SET phase = {next_phase(changes)}, created = ?"
            f" WHERE run_id = ? AND {is_in(changes)}",
            moment,
            run_id,
        )

    def start_process(
        self,
        run_id: int,
        changes: Mapping[str, str],
        moment: int,
        parameters: Sequence[str],
        pid: int,
        pid_started: str | None,
    ) -> None:
        """Store the process of a task run, also of one that is being stopped."""
        self._database.execute(
            f"UPDATE task_runs SET phase = {next_phase(changes)}, executing = ?, parameters = ?,"
            " pid = ?, pid_started = ? WHERE run_id = ?",
            moment,
            to_json(parameters),
            pid,
            pid_started,
            run_id,
        )

    def expand(
        self, run_id: int, changes: Mapping[str, str], moment: int, inputs: Sequence[Any]
    ) -> bool:
        """Store the inputs of a for-each task; return False if it is being stopped."""
        return bool(
            self._database.execute(
                f"UPDATE task_runs SET phase = {next_phase(changes)}, executing = ?, input = ?"
                f" WHERE run_id = ? AND {is_in(changes)}",
                moment,
                to_json(inputs),
                run_id,
            )
        )

    def request_stop(self, run_id: int, changes: Mapping[str, str]) -> Sequence[int]:
        """Mark a task run, or all of a job run or for-each task, as being stopped; their ids."""
        return self._database.numbers(
            f"UPDATE task_runs SET canceled = 1, phase = {next_phase(changes)}"
            " WHERE (run_id = ? OR job_run_id = ? OR iteration_of = ?) AND ended IS NULL"
            " RETURNING run_id",
            run_id,
            run_id,
            run_id,
        )

    def finish(
        self,
        run_id: int,
        outcome: Outcome,
        from_phases: Collection[str],
        moment: int,
        error: str | None = None,
        error_trace: str | None = None,
    ) -> bool:
        """Store how a task run finished; return False if it had finished before.

        What is not valid Unicode in a message is escaped.
        """
        return bool(
            self._database.execute(
                "UPDATE task_runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?,"
                f" error = ?, error_trace = ?, ended = ? WHERE run_id = ? AND {is_in(from_phases)}",
                *outcome.columns,
                storable_message(error),
                storable_message(error_trace),
                moment,
                run_id,
            )
        )

    def set_cluster(self, run_id: int, cluster_id: str) -> None:
        self._database.execute(
            "UPDATE task_runs SET cluster_id = ? WHERE run_id = ?", cluster_id, run_id
        )


def _task_run(row: sqlite3.Row, iterations: Sequence[Outcome | None] = ()) -> TaskRun:
    return TaskRun(
        run_id=row["run_id"],
        job_run_id=row["job_run_id"],
        task_key=row["task_key"],
        attempt=row["attempt"],
        task=json.loads(row["task"]),
        cluster_id=row["cluster_id"],
        phase=row["phase"],
        outcome=outcome_of(row),
        error=row["error"],
        error_trace=row["error_trace"],
        parameters=None if row["parameters"] is None else json.loads(row["parameters"]),
        created=row["created"],
        not_before=row["not_before"],
        executing=row["executing"],
        finished=row["ended"],
        canceled=bool(row["canceled"]),
        pid=row["pid"],
        pid_started=row["pid_started"],
        repair_id=row["repair_id"],
        iteration_of=row["iteration_of"],
        iteration=row["iteration"],
        input=row["input"],
        iterations=iterations,
    )
