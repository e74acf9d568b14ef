"""Permissions on jobs and clusters (Permissions API)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeflow.client.workspace import Workspace

CLUSTER_LEVELS: Mapping[str, str] = {
    "CAN_VIEW": "CAN_ATTACH_TO",
    "CAN_MANAGE_RUN": "CAN_RESTART",
    "CAN_MANAGE": "CAN_MANAGE",
}
"""The level on a job's cluster that goes with a level on the job."""

Permission = tuple[str, str]
"""A level, and a user, `group:NAME` or `service_principal:ID`."""


def missing(
    workspace: Workspace, kind: str, object_id: str, permissions: Sequence[Permission]
) -> tuple[Permission, ...]:
    """Return those permissions that one of the `jobs` or `clusters` does not have."""
    if not permissions:
        return ()
    existing = {
        (name, str(entry[name]), str(level.get("permission_level")))
        for entry in workspace.get(_path(kind, object_id)).get("access_control_list", [])
        for name in ("user_name", "group_name", "service_principal_name")
        if entry.get(name)
        for level in entry.get("all_permissions", [])
        if not level.get("inherited")
    }
    return tuple(each for each in permissions if (*_principal(each[1]), each[0]) not in existing)


def grant(
    workspace: Workspace, kind: str, object_id: str, permissions: Sequence[Permission]
) -> None:
    """Grant levels on one of the `jobs` or `clusters` in addition to those it has."""
    entries = [
        {_principal(principal)[0]: _principal(principal)[1], "permission_level": level}
        for level, principal in permissions
    ]
    workspace.patch(_path(kind, object_id), {"access_control_list": entries})


def describe(permissions: Sequence[Permission]) -> str:
    """Return permissions as text."""
    return ", ".join(f"{level} to {principal}" for level, principal in permissions)


def _path(kind: str, object_id: str) -> str:
    return f"/api/2.0/permissions/{kind}/{object_id}"


def _principal(text: str) -> tuple[str, str]:
    """Return the field of an access control entry that names a principal, and its name."""
    kind, colon, name = text.partition(":")
    if colon and kind in ("group", "service_principal", "user"):
        return f"{kind}_name", name
    return "user_name", text
