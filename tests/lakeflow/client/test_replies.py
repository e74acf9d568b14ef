from __future__ import annotations

import json
from typing import Any

import pytest

from lakeflow.client.replies import MalformedReply, check

RUN: dict[str, Any] = {
    "run_id": 7,
    "job_id": "8",
    "state": {"life_cycle_state": "RUNNING", "result_state": None},
    "tasks": [{"task_key": "a", "python_wheel_task": {"parameters": ["--root=/a"]}}],
    "job_parameters": [{"name": "a", "value": "b"}],
    "start_time": 1_700_000_000_000,
}


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    return check(reply, "the workspace", "/api/2.2/jobs/runs/get")


def test_a_reply_as_documented_stays() -> None:
    found = _checked(RUN)
    assert found["job_id"] == "8"
    assert found["state"] == {"life_cycle_state": "RUNNING"}, "null is missing"
    assert json.loads(json.dumps(found))["tasks"] == RUN["tasks"]


@pytest.mark.parametrize(
    ("member", "value", "problem"),
    [
        ("run_id", "seven", "'run_id' is a string, not an integer"),
        ("run_id", "\u0667", "not an integer"),
        ("run_id", 7.5, "'run_id' is another number, not an integer"),
        ("run_id", True, "a boolean, not an integer"),
        ("run_id", 10**30, "another number"),
        ("start_time", 10**18, "not a time"),
        ("anything", float("nan"), "nan, which is no JSON"),
        ("tasks", {}, "an object, not a list of objects"),
        ("tasks", [None], "a list with null, not a list of objects"),
        ("state", "RUNNING", "a string, not an object"),
        ("tags", ["a"], "a list, not an object"),
    ],
)
def test_a_reply_of_another_shape_is_refused(member: str, value: object, problem: str) -> None:
    with pytest.raises(MalformedReply, match=problem):
        _checked({**RUN, member: value})


def test_a_missing_member_is_named() -> None:
    with pytest.raises(MalformedReply, match="it has no 'repair_id'"):
        _checked(RUN)["repair_id"]


def test_users_name_the_members_of_tags() -> None:
    tags = {"run_id": "mine", "tasks": "many"}
    assert _checked({"settings": {"tags": tags}})["settings"]["tags"] == tags
