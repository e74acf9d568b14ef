"""Changes and their digests, without a workspace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakeflow.cli.plan_text import change_lines
from lakeflow.operations import changes
from lakeflow.operations.changes import Change, Resource, compare, digest_of

CLUSTER = Resource("cluster", "lakeflow-demo-py3.12", "0101-1")
JOB = Resource("job", "demo", "12")
RESIZE = changes.update(CLUSTER, {"autoscale.max_workers": (2, 5)})
SAMPLES = [
    Change("unchanged", JOB),
    Change("create", Resource("job", "demo"), None, {"name": "demo", "tags": {}}),
    Change("upload", Resource("wheel", "demo 1.0"), None, {"path": "/Volumes/x", "bytes": 1234}),
    changes.grant(JOB, [("CAN_VIEW", "group:users")]),
    RESIZE,
]


def test_equal_plans_have_equal_digests() -> None:
    again = [Change.from_json(json.loads(json.dumps(change.as_json()))) for change in SAMPLES]
    assert again == SAMPLES
    assert digest_of(again) == digest_of(SAMPLES)


@pytest.mark.parametrize(
    "other",
    [
        changes.update(CLUSTER, {"autoscale.max_workers": (2, 6)}),
        changes.update(CLUSTER, {"autoscale.max_workers": (3, 5)}),
        changes.update(JOB, {"autoscale.max_workers": (2, 5)}),
        Change("create", CLUSTER, RESIZE.before, RESIZE.after),
    ],
)
def test_another_plan_has_another_digest(other: Change) -> None:
    assert digest_of([*SAMPLES[:-1], other]) != digest_of(SAMPLES)
    assert compare(SAMPLES, [*SAMPLES[:-1], other]) == ((RESIZE,), (other,))


def test_a_cluster_that_terminates_meanwhile_is_no_drift() -> None:
    start = Change("start", CLUSTER)
    assert digest_of([*SAMPLES, start]) == digest_of(SAMPLES)
    assert compare([*SAMPLES, start], SAMPLES) == ((), ())


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (SAMPLES[0], ["job demo (12): unchanged"]),
        (SAMPLES[1], ["job demo: create", '  name: not set -> "demo"', "  tags: not set -> {}"]),
        (SAMPLES[2], ["wheel demo 1.0: upload 1,234 bytes"]),
        (SAMPLES[3], ["job demo (12): grant", '  group:users: not set -> "CAN_VIEW"']),
        (RESIZE, [f"{CLUSTER}: update", "  autoscale.max_workers: 2 -> 5"]),
        (Change("unchanged", Resource("compute", "serverless")), ["compute serverless"]),
        (Change("trigger", Resource("run", "0"), None, {"argv": ["a b"]}), ["run: 'a b'"]),
    ],
)
def test_a_change_reads_old_to_new(change: Change, lines: list[str]) -> None:
    assert list(change_lines(change)) == lines


def test_a_grant_of_two_levels_keeps_both() -> None:
    both: dict[str, Any] = changes.grant(
        JOB, [("CAN_VIEW", "a@example.com"), ("CAN_MANAGE", "a@example.com")]
    ).fields  # type: ignore[assignment]
    assert both == {"a@example.com": (None, "CAN_VIEW, CAN_MANAGE")}
