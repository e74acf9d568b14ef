"""Dynamic value references: literal text, once; the unknown stays."""

from __future__ import annotations

import pytest

from lakeflow_local.runs.dynamic_values import resolve, run_values

VALUES = run_values(
    job_id=7,
    job_name="{{job.id}}",
    job_run_id=8,
    task_run_id=9,
    task_key="main",
    attempt=0,
    started=1_700_000_000_123,
    repair_count=2,
    trigger_type="PERIODIC",
    triggered=1_700_000_000_000,
    workspace_id=5,
    workspace_url="http://127.0.0.1:1",
    job_parameters={"call": '{"a": "{{task.name}}"}', "my-name": "{{job.run_id}}"},
)


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("{{job.id}}", "7"),
        ("a{{job.run_id}}b{{task.run_id}}c", "a8b9c"),
        ("{{task.name}} {{task.execution_count}}", "main 1"),
        ("{{job.name}}", "{{job.id}}"),
        ("{{job.repair_count}}", "2"),
        ("{{job.start_time.iso_date}}", "2023-11-14"),
        ("{{job.start_time.timestamp_ms}}", "1700000000123"),
        ("{{job.trigger.type}} {{job.trigger.time.timestamp_ms}}", "PERIODIC 1700000000000"),
        ("{{job.parameters.call}}", '{"a": "main"}'),
        ("{{job.parameters.`my-name`}}", "8"),
        ("{{job.naem}} {{secrets/s/k}} {{}} {{ job.id }}", None),
        ("{job.id} {{job.id} }} {{", None),
        ("{{tasks.x.values.y}}", None),
        ("{{{job.id}}}", "{7}"),
    ],
)
def test_resolve(text: str, resolved: str | None) -> None:
    assert resolve(text, VALUES) == (text if resolved is None else resolved)
