"""Differences between two JSON objects, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

FieldChanges = Mapping[str, tuple[object, object]]
"""Fields that differ, each with its old and new value; None is a field that is not set."""

_KEYS = ("task_key", "environment_key", "job_cluster_key", "name")
"""Members that identify an item of a list in job settings (Jobs API)."""


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """Compare two JSON objects; a field is named by its path, such as `tasks.main.libraries`."""
    old, new = flatten(before), flatten(after)
    return {
        name: (old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def flatten(value: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields of a JSON object by their path; empty objects and lists are values."""
    return dict(_leaves("", value)) if value else {}


def render(changes: FieldChanges) -> list[str]:
    """Return changes as text, one line `field: old -> new` each."""
    return [f"{name}: {_text(old)} -> {_text(new)}" for name, (old, new) in changes.items()]


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), item)
    elif isinstance(value, (list, tuple)) and value:
        keys = [_key(item) for item in value]
        is_keyed = None not in keys and len(set(keys)) == len(keys)
        for index, item in enumerate(value):
            yield from _leaves(f"{path}.{keys[index]}" if is_keyed else f"{path}[{index}]", item)
    else:
        yield path, value


def _key(item: object) -> str | None:
    if not isinstance(item, Mapping):
        return None
    return next((str(item[name]) for name in _KEYS if name in item), None)


def _text(value: object) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
