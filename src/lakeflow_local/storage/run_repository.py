"""Job runs and the idempotency tokens of their triggers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, Value, to_json
from lakeflow_local.storage.outcomes import Outcome, outcome_of
from lakeflow_local.storage.permission_repository import Viewer, visible_jobs
from lakeflow_local.storage.phases import is_in, next_phase
from lakeflow_local.storage.settings import JobSettings, RunTrigger

LAST_CHANGE = "coalesce(ended, created)"
"""What lists are ordered by; there are indexes on exactly this expression."""


@dataclass(frozen=True)
class JobRun:
    """A run of a job, or one submitted without a job. Times are ms since 1970.

    `settings` are the job's when it was triggered, or last repaired. `phase` is the
    `life_cycle_state` of API 2.1. `stopping` is `CANCELED` or `TIMEDOUT` once the whole run is
    being stopped. `creator` is the name of who triggered it, `owner` of who created its job.
    """

    run_id: int
    job_id: int
    settings: JobSettings
    trigger: RunTrigger
    phase: str
    outcome: Outcome | None
    created: int
    finished: int | None
    run_type: str
    deadline: int | None
    stopping: str | None
    creator: str | None
    owner: str | None

    @property
    def runs_as(self) -> str | None:
        """Return the name of the run-as principal; None is the workspace's owner."""
        return next(iter((self.settings.get("run_as") or {}).values()), self.owner)

    @property
    def trigger_type(self) -> str:
        """Return `PERIODIC` for scheduled runs, else `ONE_TIME`."""
        return self.trigger.get("type", "ONE_TIME")

    @property
    def job_parameters(self) -> dict[str, str]:
        """Return all job parameters: those of the trigger, else their defaults."""
        declared = {item["name"]: item["default"] for item in self.settings.get("parameters", ())}
        return declared | self.trigger.get("job_parameters", {})


@dataclass(frozen=True)
class RunFilter:
    """Which runs to list; None does not filter. `after` is the position of the last one listed."""

    viewer: Viewer | None = None
    job_id: int | None = None
    is_active: bool | None = None
    created_from: int | None = None
    created_to: int | None = None
    run_type: str | None = None
    after: tuple[int, int] | None = None

    def condition(self) -> tuple[str, list[Value]]:
        """Return an SQL condition and its values."""
        visible, values = visible_jobs(self.viewer)
        where = [visible]
        if self.job_id is not None:
            where.append("job_id = ?")
            values.append(self.job_id)
        if self.is_active is not None:
            where.append("ended IS NULL" if self.is_active else "ended IS NOT NULL")
        if self.created_from is not None:
            # The second condition follows from the first one, and has an index.
            where += ["created >= ?", f"{LAST_CHANGE} >= ?"]
            values += [self.created_from, self.created_from]
        if self.created_to is not None:
            where.append("created <= ?")
            values.append(self.created_to)
        if self.run_type is not None:
            where.append("run_type = ?")
            values.append(self.run_type)
        if self.after is not None:
            where.append(f"({LAST_CHANGE}, run_id) < (?, ?)")
            values += self.after
        return " AND ".join(where), values


class RunRepository:
    """Tables `runs` and `idempotency_tokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        job_id: int,
        settings: JobSettings,
        trigger: RunTrigger,
        *,
        phase: str,
        created: int,
        run_type: str,
        creator: str | None,
    ) -> int:
        """Store a new run and return its id. Without a `creator` it is the job's."""
        with self._database.transaction():
            run_id = self._database.next_id("runs")
            job_creator = "(SELECT creator FROM jobs WHERE job_id = ?)"
            self._database.execute(
                "INSERT INTO runs (run_id, job_id, settings, trigger, phase, created, run_type,"
                f" creator, owner) VALUES (?, ?, ?, ?, ?, ?, ?, coalesce(?, {job_creator}),"
                f" coalesce({job_creator}, ?))",
                run_id,
                job_id,
                to_json(settings),
                to_json(trigger),
                phase,
                created,
                run_type,
                creator,
                job_id,
                job_id,
                creator,
            )
        return run_id

    def get(self, run_id: int) -> JobRun | None:
        row = self._database.row("SELECT * FROM runs WHERE run_id = ?", run_id)
        return None if row is None else _job_run(row)

    def existing(self, run_id: int) -> JobRun:
        """Return a run that is known to exist."""
        (row,) = self._database.rows("SELECT * FROM runs WHERE run_id = ?", run_id)
        return _job_run(row)

    def job_id_of(self, run_id: int) -> int | None:
        """Return the job of a job run or of a task run."""
        return self._database.number(
            "SELECT job_id FROM runs WHERE run_id = coalesce("
            "(SELECT job_run_id FROM task_runs WHERE run_id = ?), ?)",
            run_id,
            run_id,
        )

    def list(self, which: RunFilter, limit: int, offset: int) -> Sequence[JobRun]:
        """Return runs, the latest first: by when they finished, or started while active."""
        condition, values = which.condition()
        rows = self._database.rows(
            f"SELECT * FROM runs WHERE {condition}"
            f" ORDER BY {LAST_CHANGE} DESC, run_id DESC LIMIT ? OFFSET ?",
            *values,
            limit,
            offset,
        )
        return [_job_run(row) for row in rows]

    def active_ids(self, job_id: int | None = None, *, only_queued: bool = False) -> Sequence[int]:
        """Return the runs that have not finished, of one job or of all, newest first."""
        where, values = "ended IS NULL", []
        if job_id is not None:
            where += " AND job_id = ?"
            values.append(job_id)
        if only_queued:
            where += " AND phase = 'QUEUED'"
        return self._database.numbers(
            f"SELECT run_id FROM runs WHERE {where} ORDER BY run_id DESC", *values
        )

    def count_active(self) -> int:
        return self._database.count("SELECT count(*) FROM runs WHERE ended IS NULL")

    def count_started(self, job_id: int) -> int:
        """Return how many active runs of a job have left the queue."""
        return self._database.count(
            "SELECT count(*) FROM runs WHERE job_id = ? AND ended IS NULL AND phase != 'QUEUED'",
            job_id,
        )

    def first_queued(self, job_id: int) -> JobRun | None:
        row = self._database.row(
            "SELECT * FROM runs WHERE job_id = ? AND ended IS NULL AND phase = 'QUEUED'"
            " ORDER BY run_id LIMIT 1",
            job_id,
        )
        return None if row is None else _job_run(row)

    def change_phase(self, run_id: int, changes: Mapping[str, str]) -> bool:
        """Change the phase as `changes` maps it; return False if it is none of the keys."""
        return bool(
            self._database.execute(
                f"UPDATE runs SET phase = {next_phase(changes)}"
                f" WHERE run_id = ? AND {is_in(changes)}",
                run_id,
            )
        )

    def request_stop(self, run_id: int, how: str) -> None:
        """Note that the whole run is being stopped; the first reason counts."""
        self._database.execute(
            "UPDATE runs SET stopping = coalesce(stopping, ?) WHERE run_id = ? AND ended IS NULL",
            how,
            run_id,
        )

    def finish(
        self, run_id: int, outcome: Outcome, from_phases: Collection[str], moment: int
    ) -> None:
        """Store how a run in one of these phases finished."""
        self._database.execute(
            "UPDATE runs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?,"
            f" ended = ? WHERE run_id = ? AND {is_in(from_phases)}",
            *outcome.columns,
            moment,
            run_id,
        )

    def reopen(self, run_id: int, settings: JobSettings, trigger: RunTrigger, phase: str) -> None:
        """Make a finished run active again."""
        self._database.execute(
            "UPDATE runs SET settings = ?, trigger = ?, phase = ?, result = NULL, code = NULL,"
            " code_type = NULL, message = '', ended = NULL, stopping = NULL WHERE run_id = ?",
            to_json(settings),
            to_json(trigger),
            phase,
            run_id,
        )

    def set_deadline(self, run_id: int, deadline: int | None) -> None:
        self._database.execute("UPDATE runs SET deadline = ? WHERE run_id = ?", deadline, run_id)

    def set_timeout_of_active(self, job_id: int, seconds: int) -> None:
        """Change the deadlines of the active runs of a job; 0 removes them."""
        self._database.execute(
            "UPDATE runs SET deadline = CASE ? WHEN 0 THEN NULL ELSE created + 1000 * ? END"
            " WHERE job_id = ? AND ended IS NULL AND phase != 'QUEUED'",
            seconds,
            seconds,
            job_id,
        )

    def overdue(self, moment: int) -> Sequence[int]:
        """Return the active runs whose deadline has passed and that are not being stopped."""
        return self._database.numbers(
            "SELECT run_id FROM runs WHERE ended IS NULL AND deadline <= ? AND stopping IS NULL",
            moment,
        )

    def next_deadline(self, after: int) -> int | None:
        return self._database.number(
            "SELECT min(deadline) FROM runs WHERE ended IS NULL AND deadline > ?", after
        )

    def run_of_token(self, token: str) -> tuple[int, bool] | None:
        """Return the run of an idempotency token, and whether it still exists."""
        row = self._database.row(
            "SELECT tokens.run_id, runs.run_id IS NOT NULL AS is_kept"
            " FROM idempotency_tokens AS tokens LEFT JOIN runs USING (run_id) WHERE token = ?",
            token,
        )
        return None if row is None else (row["run_id"], bool(row["is_kept"]))

    def reserve_token(self, token: str, run_id: int) -> None:
        self._database.execute("INSERT INTO idempotency_tokens VALUES (?, ?)", token, run_id)

    def ids(self) -> Sequence[int]:
        return self._database.numbers("SELECT run_id FROM runs")

    def expired(self, before: int, keep: int, limit: int) -> Sequence[int]:
        """Return runs that finished before a time, or are not among the latest `keep` ones."""
        return self._database.numbers(
            f"SELECT run_id FROM runs WHERE ended IS NOT NULL AND {LAST_CHANGE} < ?"
            " UNION SELECT run_id FROM (SELECT run_id FROM runs WHERE ended IS NOT NULL"
            f" ORDER BY {LAST_CHANGE} DESC, run_id DESC LIMIT ? OFFSET ?) LIMIT ?",
            before,
            limit,
            keep,
            limit,
        )

    def delete(self, run_ids: Collection[int]) -> None:
        """Delete runs with their tasks. Their idempotency tokens stay reserved."""
        self._database.execute_many(
            "DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in run_ids]
        )


def _job_run(row: sqlite3.Row) -> JobRun:
    return JobRun(
        run_id=row["run_id"],
        job_id=row["job_id"],
        settings=json.loads(row["settings"]),
        trigger=json.loads(row["trigger"]),
        phase=row["phase"],
        outcome=outcome_of(row),
        created=row["created"],
        finished=row["ended"],
        run_type=row["run_type"],
        deadline=row["deadline"],
        stopping=row["stopping"],
        creator=row["creator"],
        owner=row["owner"],
    )
