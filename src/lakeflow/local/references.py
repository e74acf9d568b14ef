"""Dynamic value references: `{{job.run_id}}` in parameters becomes the run's id.

Source: docs.databricks.com/jobs/dynamic-value-references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

REFERENCE = re.compile(r"\{\{([^{}]*)\}\}")


def resolve(text: str, values: Mapping[str, str]) -> str:
    """Replace each known reference by its literal text, once: what was put in is not read again.

    Unknown references and broken braces stay as they are. Backticks around a part of a name are
    dropped before it is looked up: ``{{job.parameters.`my-name`}}``.
    """

    def value(match: re.Match[str]) -> str:
        return values.get(match[1].replace("`", ""), match[0])

    return REFERENCE.sub(value, text)


def run_values(
    *,
    job_id: int,
    job_name: str,
    job_run_id: int,
    task_run_id: int,
    task_key: str,
    attempt: int,
    started: int,
    workspace_id: int,
    workspace_url: str,
    job_parameters: Mapping[str, str],
) -> dict[str, str]:
    """What the references stand for in one attempt of a task; `started` in milliseconds, UTC.

    Job parameters may themselves hold references, other than to job parameters.
    """
    time = datetime.fromtimestamp(started / 1000, timezone.utc)
    values = {
        "job.id": str(job_id),
        "job.name": job_name,
        "job.run_id": str(job_run_id),
        "job.repair_count": "0",
        "job.trigger.type": "ONE_TIME",
        "job.start_time.iso_date": time.date().isoformat(),
        "job.start_time.iso_datetime": time.replace(tzinfo=None).isoformat(timespec="seconds"),
        "job.start_time.timestamp_ms": str(started),
        "job.start_time.year": str(time.year),
        "job.start_time.month": str(time.month),
        "job.start_time.day": str(time.day),
        "job.start_time.hour": str(time.hour),
        "job.start_time.minute": str(time.minute),
        "job.start_time.second": str(time.second),
        "job.start_time.is_weekday": "true" if time.isoweekday() < 6 else "false",
        "job.start_time.iso_weekday": str(time.isoweekday()),
        "task.name": task_key,
        "task.run_id": str(task_run_id),
        "task.execution_count": str(attempt + 1),
        "workspace.id": str(workspace_id),
        "workspace.url": workspace_url,
    }
    given = {
        f"job.parameters.{name}": resolve(value, values) for name, value in job_parameters.items()
    }
    return values | given


def input_values(value: Any) -> dict[str, str]:
    """`{{input}}` of an iteration of a for-each task, and `{{input.key}}` where it is an object."""
    values = {"input": as_text(value)}
    if isinstance(value, dict):
        values |= {f"input.{key}": as_text(item) for key, item in value.items()}
    return values


def as_text(value: Any) -> str:
    """A JSON value as it stands in for a reference: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
