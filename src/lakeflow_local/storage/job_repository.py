"""Jobs, and when their schedules start them next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, to_json
from lakeflow_local.storage.permission_repository import Viewer, visible_jobs
from lakeflow_local.storage.settings import JobSettings


@dataclass(frozen=True)
class Job:
    """`creator` is None for jobs of the owner from before there were other principals."""

    job_id: int
    settings: JobSettings
    created: int
    creator: str | None

    @property
    def run_as(self) -> str | None:
        """Return the name of the run-as principal; None is the creator."""
        return next(iter((self.settings.get("run_as") or {}).values()), None)


@dataclass(frozen=True)
class DueJob:
    """A job whose next run should have started at `due`, in ms since 1970."""

    job_id: int
    settings: JobSettings
    due: int


class JobRepository:
    """Tables `jobs` and `schedules`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def new_id(self) -> int:
        """Return an id for a job, or for a submitted run, which has one without a job."""
        return self._database.next_id("jobs")

    def create(self, settings: JobSettings, creator: str | None, created: int) -> int:
        job_id = self.new_id()
        self._database.execute(
            "INSERT INTO jobs (job_id, name_key, settings, created, creator)"
            " VALUES (?, ?, ?, ?, ?)",
            job_id,
            settings["name"].casefold(),
            to_json(settings),
            created,
            creator,
        )
        return job_id

    def get(self, job_id: int) -> Job | None:
        row = self._database.row("SELECT * FROM jobs WHERE job_id = ?", job_id)
        return None if row is None else _job(row)

    def list(
        self,
        viewer: Viewer | None,
        *,
        before: int,
        name: str | None,
        limit: int,
        offset: int,
    ) -> Sequence[Job]:
        """Return jobs with ids below `before`, newest first. The case of names does not count."""
        visible, values = visible_jobs(viewer)
        query, values = f"SELECT * FROM jobs WHERE job_id < ? AND {visible}", [before, *values]
        if name is not None:
            query += " AND name_key = ?"
            values.append(name.casefold())
        query += " ORDER BY job_id DESC LIMIT ? OFFSET ?"
        return [_job(row) for row in self._database.rows(query, *values, limit, offset)]

    def count(self) -> int:
        return self._database.count("SELECT count(*) FROM jobs")

    def change(self, job_id: int, settings: JobSettings) -> None:
        self._database.execute(
            "UPDATE jobs SET name_key = ?, settings = ? WHERE job_id = ?",
            settings["name"].casefold(),
            to_json(settings),
            job_id,
        )

    def delete(self, job_id: int) -> None:
        self._database.execute("DELETE FROM jobs WHERE job_id = ?", job_id)

    def due(self, moment: int) -> Sequence[DueJob]:
        """Return the jobs that a schedule should have started by now, earliest first."""
        rows = self._database.rows(
            "SELECT job_id, due, settings FROM schedules JOIN jobs USING (job_id) WHERE due <= ?"
            " ORDER BY due, job_id",
            moment,
        )
        return [DueJob(row["job_id"], json.loads(row["settings"]), row["due"]) for row in rows]

    def next_due(self) -> int | None:
        """Return when the next scheduled run is due, in ms since 1970."""
        return self._database.number("SELECT min(due) FROM schedules")

    def set_due(self, job_id: int, due: int | None) -> None:
        """Set when the job is due next; None stops scheduling it."""
        with self._database.transaction():
            self._database.execute("DELETE FROM schedules WHERE job_id = ?", job_id)
            if due is not None:
                self._database.execute("INSERT INTO schedules VALUES (?, ?)", job_id, due)


def _job(row: sqlite3.Row) -> Job:
    settings: JobSettings = json.loads(row["settings"])
    return Job(row["job_id"], settings, row["created"], row["creator"])
