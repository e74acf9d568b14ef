"""Schedules of jobs: cron expressions and periodic triggers.

Each scheduled job has a time when it is due next. What became due several times while no server ran
is started once, late, as on Databricks. Source: docs.databricks.com/jobs/scheduled.
"""

from __future__ import annotations

import logging

from lakeflow_local.runs import lifecycle, quartz
from lakeflow_local.storage.job_repository import DueJob
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.settings import JobSettings, RunTrigger

log = logging.getLogger(__name__)

MIN_INTERVAL = 10_000
"""Milliseconds between two scheduled runs, whatever the expression says."""

UNITS = {"MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": 86_400_000, "WEEKS": 604_800_000}


def next_due(settings: JobSettings, after: int) -> int | None:
    """Return when a job is due next, in ms since 1970; None if it is not scheduled, or paused.

    Raises:
        CronInvalid: the expression or the time zone is invalid.
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
    storage: Storage, job_id: int, settings: JobSettings, before: JobSettings, now: int
) -> None:
    """Compute when a job with new settings is due, unless its schedule is the same as before."""
    if settings.get("schedule") != before.get("schedule") or settings.get("trigger") != before.get(
        "trigger"
    ):
        storage.jobs.set_due(job_id, next_due(settings, now))


def start_due(storage: Storage, now: int) -> int | None:
    """Start a run of each job that is due; return when the next one is, in ms since 1970."""
    due = storage.jobs.next_due()
    if due is None or due > now:
        return due
    with storage.transaction():
        for job in storage.jobs.due(now):
            trigger: RunTrigger = {"type": "PERIODIC", "due": job.due}
            lifecycle.create(storage, job.job_id, job.settings, trigger, now)
            storage.jobs.set_due(job.job_id, _due_after(job, now))
        return storage.jobs.next_due()


def _due_after(job: DueJob, now: int) -> int | None:
    """Return when a job is due after a run that was started now.

    Cron schedules follow the clock; periods count from when the run was due.
    """
    if "schedule" in job.settings:
        try:
            return next_due(job.settings, max(now, job.due + MIN_INTERVAL - 1000))
        except quartz.CronInvalid as error:
            # Stored by an earlier version, or on a machine with other time zones.
            log.error("job %s is not scheduled any more: %s", job.job_id, error)
            return None
    period = next_due(job.settings, 0) or 1
    return job.due + ((now - job.due) // period + 1) * period
