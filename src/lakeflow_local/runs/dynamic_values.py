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
    """Replace each known reference by its value; references inside values are not resolved.

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
    repair_count: int,
    trigger_type: str,
    triggered: int,
    job_parameters: Mapping[str, str],
) -> dict[str, str]:
    """Return the values of references in one attempt of a task.

    `started` and `triggered` (when a schedule was due) are ms since 1970; the values are in UTC.
    Job parameters may hold references, but not to job parameters.
    """
    values = {
        "job.id": str(job_id),
        "job.name": job_name,
        "job.run_id": str(job_run_id),
        "job.repair_count": str(repair_count),
        "job.trigger.type": trigger_type,
        **_time_values("job.trigger.time", triggered),
        **_time_values("job.start_time", started),
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


def _time_values(name: str, moment: int) -> dict[str, str]:
    time = datetime.fromtimestamp(moment / 1000, timezone.utc)
    return {
        f"{name}.iso_date": time.date().isoformat(),
        f"{name}.iso_datetime": time.replace(tzinfo=None).isoformat(timespec="seconds"),
        f"{name}.timestamp_ms": str(moment),
        f"{name}.year": str(time.year),
        f"{name}.month": str(time.month),
        f"{name}.day": str(time.day),
        f"{name}.hour": str(time.hour),
        f"{name}.minute": str(time.minute),
        f"{name}.second": str(time.second),
        f"{name}.is_weekday": "true" if time.isoweekday() < 6 else "false",
        f"{name}.iso_weekday": str(time.isoweekday()),
    }


def input_values(value: Any) -> dict[str, str]:
    """Return `{{input}}` of an iteration, and `{{input.key}}` for each key of an object."""
    values = {"input": as_text(value)}
    if isinstance(value, dict):
        values |= {f"input.{key}": as_text(item) for key, item in value.items()}
    return values


def as_text(value: Any) -> str:
    """Return the text that replaces a reference: strings as they are, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
