"""Schedules and triggers start jobs."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.jobs import (
    BaseRun,
    CronSchedule,
    JobSettings,
    PauseStatus,
    PeriodicTriggerConfiguration,
    PeriodicTriggerConfigurationTimeUnit,
    TriggerSettings,
    TriggerType,
)

from lakeflow_local import daemon
from lakeflow_local.runs import schedules
from lakeflow_local.storage import settings as stored
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import RunFilter
from tests.lakeflow_local.helpers import (
    connect,
    finish,
    make_job,
    output,
    probe_task,
    probe_wheel,
    start_cluster,
    until,
    upload,
)

EVERY_SECOND = CronSchedule("* * * * * ?", "Europe/Berlin")
MINUTE = 60_000


def runs_of(client: WorkspaceClient, job_id: int) -> list[BaseRun]:
    return list(client.jobs.list_runs(job_id=job_id))


def test_a_schedule_starts_runs_ten_seconds_apart(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    task = probe_task(cluster, wheel, "echo", "{{job.trigger.type}}")
    job_id = make_job(client, [task], schedule=EVERY_SECOND)
    first, second = until(lambda: runs if len(runs := sorted_runs(client, job_id)) >= 2 else None)[
        :2
    ]
    client.jobs.delete(job_id)
    assert first.run_id
    finished = finish(client, first.run_id)
    assert (finished.trigger, finished.schedule) == (TriggerType.PERIODIC, EVERY_SECOND)
    assert json.loads(output(client, finished).logs or "")["argv"][1:] == ["PERIODIC"]
    assert first.start_time
    assert second.start_time
    assert second.start_time - first.start_time >= 9_000


def sorted_runs(client: WorkspaceClient, job_id: int) -> list[BaseRun]:
    return sorted(runs_of(client, job_id), key=lambda run: run.run_id or 0)


def test_a_paused_schedule_starts_nothing_until_it_goes_on(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    paused = CronSchedule("* * * * * ?", "UTC", pause_status=PauseStatus.PAUSED)
    job_id = make_job(client, [probe_task(cluster, wheel, "version")], schedule=paused)
    other = make_job(client, [probe_task(cluster, wheel, "version")], schedule=EVERY_SECOND)
    until(lambda: runs_of(client, other) or None)
    client.jobs.delete(other)
    assert runs_of(client, job_id) == []
    client.jobs.update(job_id, new_settings=JobSettings(schedule=EVERY_SECOND))
    until(lambda: runs_of(client, job_id) or None)
    client.jobs.update(job_id, fields_to_remove=["schedule"])
    client.jobs.delete(job_id)


def test_what_was_missed_runs_once(state: Path) -> None:
    """The server is down when the run is due: it starts with the server, and once."""
    client = connect(daemon.ensure_up())
    wheel = upload(client, probe_wheel(state, "1.0"))
    task = probe_task(start_cluster(client), wheel, "echo", "{{job.trigger.time.timestamp_ms}}")
    at = datetime.now(timezone.utc) + timedelta(days=1)
    schedule = CronSchedule(f"{at:%S %M %H %d %m} ? {at:%Y}", "UTC")
    job_id = make_job(client, [task], schedule=schedule)
    daemon.down()
    due = int(time.time()) - 8
    storage = Storage(state / "local" / "workspace.sqlite")
    storage.jobs.set_due(job_id, 1000 * due)
    storage.close()
    client = connect(daemon.ensure_up())
    (run,) = until(lambda: runs_of(client, job_id) or None)
    assert run.run_id
    finished = finish(client, run.run_id)
    assert json.loads(output(client, finished).logs or "")["argv"][1:] == [str(1000 * due)]
    daemon.down()
    client = connect(daemon.ensure_up())
    assert len(runs_of(client, job_id)) == 1


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ({"quartz_cron_expression": "0 6 * * ?", "timezone_id": "UTC"}, "has 5 fields"),
        ({"quartz_cron_expression": "0 0 6 * * ?"}, "timezone_id"),
        ({"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Mars"}, "no time zone 'Mars'"),
        ({"timezone_id": "UTC"}, "quartz_cron_expression"),
        (
            {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC", "pause_status": "NO"},
            "pause_status",
        ),
    ],
)
def test_schedules_that_make_no_sense_are_refused(
    client: WorkspaceClient, schedule: dict[str, Any], problem: str
) -> None:
    task = {
        "task_key": "main",
        "existing_cluster_id": "any",
        "python_wheel_task": {"package_name": "probe", "entry_point": "version"},
    }
    with pytest.raises(BadRequest, match=problem):
        client.api_client.do(
            "POST", "/api/2.2/jobs/create", body={"tasks": [task], "schedule": schedule}
        )


def test_periodic_triggers(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    units = PeriodicTriggerConfigurationTimeUnit
    trigger = TriggerSettings(periodic=PeriodicTriggerConfiguration(2, units.HOURS))
    task = probe_task(cluster, wheel, "version")
    job_id = make_job(client, [task], trigger=trigger)
    settings = client.jobs.get(job_id).settings
    assert settings
    assert settings.trigger == trigger
    for refused in (
        {"schedule": EVERY_SECOND, "trigger": trigger},
        {"trigger": TriggerSettings(periodic=PeriodicTriggerConfiguration(0, units.DAYS))},
    ):
        with pytest.raises(BadRequest):
            make_job(client, [task], **refused)
    with pytest.raises(
        BadRequest, match="does not serve jobs with a 'trigger' of the kind 'model'"
    ):
        client.api_client.do(
            "POST",
            "/api/2.2/jobs/update",
            body={"job_id": job_id, "new_settings": {"trigger": {"model": {"x": 1}}}},
        )


def test_periods_are_counted_from_when_they_were_due(tmp_path: Path) -> None:
    """And what was missed several times runs once."""
    storage = Storage(tmp_path / "workspace.sqlite")
    settings: stored.JobSettings = {
        "name": "job",
        "tasks": [{"task_key": "main"}],
        "trigger": {"periodic": {"interval": 5, "unit": "MINUTES"}},
    }
    job_id = storage.jobs.create(settings, creator=None, created=0)
    schedules.change(storage, job_id, settings, {}, now=0)
    assert schedules.start_due(storage, 5 * MINUTE - 1) == 5 * MINUTE
    assert schedules.start_due(storage, 5 * MINUTE + 7) == 10 * MINUTE
    assert schedules.start_due(storage, 23 * MINUTE) == 25 * MINUTE
    schedules.change(storage, job_id, settings, settings, now=24 * MINUTE)
    assert schedules.start_due(storage, 24 * MINUTE) == 25 * MINUTE
    paused: stored.JobSettings = {
        **settings,
        "trigger": {**settings["trigger"], "pause_status": "PAUSED"},
    }
    schedules.change(storage, job_id, paused, settings, now=24 * MINUTE)
    assert schedules.start_due(storage, 100 * MINUTE) is None
    started = storage.runs.list(RunFilter(), limit=10, offset=0)
    assert [(run.created, run.trigger["due"]) for run in reversed(started)] == [
        (5 * MINUTE + 7, 5 * MINUTE),
        (23 * MINUTE, 10 * MINUTE),
    ]
    storage.close()
