"""Differences between JSON objects."""

from __future__ import annotations

from typing import Any

import pytest

from lakeflow.resources.field_diff import diff, render

Pair = tuple[object, object]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2}}, {"a.b": (1, 2), "a.c": (2, None)}),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, {"a[1]": (2, 3), "a[2]": (None, 4)}),
        (
            {"tasks": [{"task_key": "main", "max_retries": 2}]},
            {"tasks": [{"task_key": "main", "max_retries": 1}]},
            {"tasks.main.max_retries": (2, 1)},
        ),
        (
            {"a": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]},
            {"a": [{"name": "x", "v": 2}]},
            None,
        ),
        ({"a": {}}, {}, {"a": ({}, None)}),
        ({}, {"a": []}, {"a": (None, [])}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": (None, 1), "a.b": (1, None)}),
    ],
)
def test_fields_that_differ(
    before: dict[str, Any], after: dict[str, Any], found: dict[str, Pair] | None
) -> None:
    changed = diff(before, after)
    assert changed == found if found is not None else changed
    assert diff(after, before) == {name: (new, old) for name, (old, new) in changed.items()}


def test_values_cannot_control_a_terminal() -> None:
    assert render({"name": ("a\x1b[31m", None)}) == ['name: "a\\u001b[31m" -> not set']
