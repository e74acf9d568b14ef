"""Jobs that start by themselves: by a cron schedule or every so often.

Each such job has a time at which it is due next, kept in the store: what became due while no server
ran is made up for once, at its start, as Databricks runs late what it could not run in time. Every
function works inside its caller's transaction. Source: docs.databricks.com/jobs/scheduled.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from lakeflow_local.runs import lifecycle, quartz

log = logging.getLogger(__name__)

LEAST_MILLISECONDS = 10_000
"""Between two runs by a schedule, whatever its seconds say."""

UNITS = {"MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": 86_400_000, "WEEKS": 604_800_000}


def next_due(settings: Mapping[str, Any], after: int) -> int | None:
    """When a job is due next, in ms since 1970; None where it is not, or paused.

    Raises:
        CronInvalid: its schedule makes no sense.
    """
    schedule, trigger = settings.get("schedule"), settings.get("trigger")
    if schedule and schedule.get("pause_status") != "PAUSED":
        zone = quartz.time_zone(schedule["timezone_id"])
        return quartz.parse(schedule["quartz_cron_expression"]).next_after(after, zone)
    if trigger and trigger.get("pause_status") != "PAUSED":
        periodic = trigger["periodic"]
        return after + int(periodic["interval"]) * UNITS[periodic["unit"]]
    return None


def change(
    database: sqlite3.Connection,
    job_id: int,
    settings: Mapping[str, Any],
    before: Mapping[str, Any],
    now: int,
) -> None:
    """A job has new settings: where its schedule is another than `before`, so is when it is due."""
    if any(settings.get(name) != before.get(name) for name in ("schedule", "trigger")):
        _set_due(database, job_id, next_due(settings, now))


def start_due(database: sqlite3.Connection, now: int) -> int | None:
    """Begin a run of each job that is due. When the next one will be, in ms since 1970."""
    rows = database.execute(
        "SELECT job_id, due, settings FROM schedules JOIN jobs USING (job_id) WHERE due <= ?"
        " ORDER BY due, job_id",
        (now,),
    ).fetchall()
    for row in rows:
        settings = json.loads(row["settings"])
        trigger = {"type": "PERIODIC", "due": row["due"]}
        lifecycle.create(database, row["job_id"], settings, trigger, now)
        try:
            due_next = _next_after(settings, row["due"], now)
        except quartz.CronInvalid as error:  # of an earlier version, or a machine with other zones
            log.error("job %s is not started any more by its schedule: %s", row["job_id"], error)
            due_next = None
        _set_due(database, row["job_id"], due_next)
    due: int | None = database.execute("SELECT min(due) FROM schedules").fetchone()[0]
    return due


def _next_after(settings: Mapping[str, Any], due: int, now: int) -> int | None:
    """A cron schedule goes by the clock; periods are counted from the time that was due."""
    if "schedule" in settings:
        return next_due(settings, max(now, due + LEAST_MILLISECONDS - 1000))
    period = next_due(settings, 0) or 1
    return due + ((now - due) // period + 1) * period


def _set_due(database: sqlite3.Connection, job_id: int, due: int | None) -> None:
    database.execute("DELETE FROM schedules WHERE job_id = ?", (job_id,))
    if due is not None:
        database.execute("INSERT INTO schedules VALUES (?, ?)", (job_id, due))
