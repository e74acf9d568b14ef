"""The shape of JSON replies, checked where they arrive.

Whoever reads a reply may then index it, convert its ids and walk its lists: a member that is
missing, has another type or is no number raises MalformedReply. Members that are null count as
missing, as in the Databricks APIs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lakeflow.errors import WorkspaceError


class MalformedReply(WorkspaceError):
    """The reply to a request lacks a member, or has one of another type than documented."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(
            f"malformed reply of {source}: {problem}\n"
            "hint: check the address, and the proxy between this machine and the workspace"
        )


class Reply(dict[str, Any]):
    """A JSON object of a reply. Raises MalformedReply for a member that is missing."""

    def __init__(self, members: Mapping[str, Any], source: str) -> None:
        super().__init__(members)
        self._source = source

    def __missing__(self, name: str) -> Any:
        raise MalformedReply(self._source, f"it has no {name!r}")


def check(reply: Mapping[str, Any], source: str, path: str) -> Reply:
    """Return a reply whose members have the types that the APIs document.

    `source` names the workspace and the request, `path` is the request's. Raises MalformedReply.
    """
    own = next((types for part, types in _OWN_TYPES.items() if part in path), {})
    types = {**_TYPES, **own}
    checked = _checked(reply, "", types, source)
    assert isinstance(checked, Reply)
    return checked


_LATEST_MS = 253_370_764_800_000
"""The beginning of the year 9999 in Unix milliseconds."""

_MAX_INT = 2**63

_FREE_MAPS = (
    "tags",
    "custom_tags",
    "default_tags",
    "spark_conf",
    "spark_env_vars",
    "base_parameters",
    "named_parameters",
    "notebook_params",
)
"""Objects whose members users name."""

_TYPES: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "integer": "job_id run_id repair_id handle bytes_read file_size size memory_mb "
        "attempt_number max_workers min_workers num_gpus",
        "time": "start_time end_time created_time modified_at modification_time last_modified",
        "number": "num_cores",
        "string": "userName run_name run_page_url task_key cluster_id cluster_name spark_version "
        "node_type_id driver_node_type_id path object_type message state_message "
        "life_cycle_state result_state error error_trace logs session_token url data "
        "permission_level single_user_name data_security_mode whl code "
        "existing_cluster_id run_as_user_name creator_user_name",
        "token": "next_page_token id",
        "object": "settings overriding_parameters termination_details node_instance_type "
        "tags custom_tags spark_conf spark_env_vars autoscale multipart_upload new_cluster library "
        "python_wheel_task node_info",
        "objects": "runs jobs tasks clusters node_types versions library_statuses scopes contents "
        "access_control_list all_permissions objects files repair_history entitlements groups "
        "libraries upload_part_urls headers job_parameters job_clusters environments",
        "strings": "python_params",
    }.items()
    for name in names.split()
}

_MEMBER_TYPES: Mapping[tuple[str, str], str] = {
    ("entitlements", "value"): "string",
    ("groups", "display"): "string",
    ("headers", "name"): "string",
    ("headers", "value"): "string",
    ("job_parameters", "default"): "string",
    ("job_parameters", "name"): "string",
    ("job_parameters", "value"): "string",
    ("node_info", "status"): "strings",
    ("python_wheel_task", "parameters"): "strings",
    ("repair_history", "id"): "integer",
    ("scopes", "name"): "string",
    ("settings", "name"): "string",
    ("settings", "parameters"): "objects",
    ("settings", "run_as"): "object",
    ("status", "state"): "string",
    ("versions", "key"): "string",
}
"""Types of members whose names mean something else in other objects."""

_OWN_TYPES: Mapping[str, Mapping[str, str]] = {
    "/jobs/": {"state": "object", "status": "object"},
    "/clusters/": {"state": "string"},
    "/libraries/": {"status": "string"},
}
"""Members whose type depends on the API."""


def _checked(value: Any, parent: str, types: Mapping[str, str], source: str) -> Any:
    if isinstance(value, Mapping):
        members = {}
        for name, member in value.items():
            if member is None:
                continue
            if parent not in _FREE_MAPS:
                kind = _MEMBER_TYPES.get((parent, name)) or types.get(name)
                _check_kind(kind, name, member, source)
            members[name] = _checked(member, name, types, source)
        return Reply(members, source)
    if isinstance(value, list):
        return [_checked(item, parent, types, source) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedReply(source, f"{parent!r} is {value}, which is no JSON")
    return value


def _check_kind(kind: str | None, name: str, value: Any, source: str) -> None:
    if kind is not None and not _is(kind, value):
        problem = f"{name!r} is {_described(value)}, not {_NAMES[kind]}"
        raise MalformedReply(source, problem)


_NAMES = {
    "integer": "an integer",
    "time": "a time in milliseconds",
    "number": "a number",
    "string": "a string",
    "token": "a string",
    "object": "an object",
    "objects": "a list of objects",
    "strings": "a list of strings",
}


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            return _is_integer(value)
        case "time":
            return _is_integer(value) and 0 <= int(value) <= _LATEST_MS
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "token":
            return isinstance(value, str) or _is_integer(value)
        case "object":
            return isinstance(value, Mapping)
        case "objects":
            return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
        case _:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_integer(value: Any) -> bool:
    if isinstance(value, str):  # as protobuf writes 64-bit integers
        return value.isascii() and value.isdecimal() and len(value) < 20
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_INT


def _described(value: Any) -> str:
    """Return a JSON value's type: the value itself may be long, or a secret."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "another number"
    if isinstance(value, list):
        return "a list" if all(item is not None for item in value) else "a list with null"
    return "an object" if isinstance(value, Mapping) else "a string"
