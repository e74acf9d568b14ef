"""Who may do what with a job or a cluster (Permissions API)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeflow.client.workspace import Workspace

ON_CLUSTER: Mapping[str, str] = {
    "CAN_VIEW": "CAN_ATTACH_TO",
    "CAN_MANAGE_RUN": "CAN_RESTART",
    "CAN_MANAGE": "CAN_MANAGE",
}
"""What goes on a job's cluster with a level on the job."""

Grant = tuple[str, str]
"""A level, and a user, `group:NAME` or `service_principal:ID`."""


def grant(workspace: Workspace, kind: str, object_id: str, wanted: Sequence[Grant]) -> bool:
    """Grant levels on one of the `jobs` or `clusters`, beside what is granted already.

    Returns whether anything was missing; else nothing is sent.
    """
    path = f"/api/2.0/permissions/{kind}/{object_id}"
    there = {
        (name, str(entry[name]), str(level.get("permission_level")))
        for entry in workspace.get(path).get("access_control_list", [])
        for name in ("user_name", "group_name", "service_principal_name")
        if entry.get(name)
        for level in entry.get("all_permissions", [])
        if not level.get("inherited")
    }
    missing = [(level, who) for level, who in wanted if (*_principal(who), level) not in there]
    if missing:
        entries = [
            {_principal(who)[0]: _principal(who)[1], "permission_level": level}
            for level, who in missing
        ]
        workspace.patch(path, {"access_control_list": entries})
    return bool(missing)


def told(grants: Sequence[Grant]) -> str:
    """Grants in words."""
    return ", ".join(f"{level} to {who}" for level, who in grants)


def _principal(text: str) -> tuple[str, str]:
    """The member of an access control entry that names a principal, and its name."""
    kind, colon, name = text.partition(":")
    if colon and kind in ("group", "service_principal", "user"):
        return f"{kind}_name", name
    return "user_name", text
