"""Who may do what with a job or a cluster: `/api/2.0/permissions/{jobs,clusters}/{id}`.

Grants are kept and shown. They restrict nobody yet: the workspace has one user, who owns all.
Source: docs.databricks.com/api/workspace/permissions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow.local.api.call import Answer, ApiError, Call, Route, invalid, not_served

PRINCIPALS = ("user_name", "group_name", "service_principal_name")
LEVELS = {
    "jobs": {
        "CAN_VIEW": "Can view the job and its runs",
        "CAN_MANAGE_RUN": "Can view, trigger and cancel runs of the job",
        "IS_OWNER": "Owns the job",
        "CAN_MANAGE": "Can do everything with the job",
    },
    "clusters": {
        "CAN_ATTACH_TO": "Can attach to the cluster",
        "CAN_RESTART": "Can attach to, start, restart and terminate the cluster",
        "CAN_MANAGE": "Can do everything with the cluster",
    },
}
OBJECT_TYPES = {"jobs": "job", "clusters": "cluster"}

Grant = tuple[str, str, str]
"""The kind of a principal, its name, its level."""


def get(call: Call) -> Answer:
    kind, object_id, rest = _object(call)
    if rest == "permissionLevels":
        levels = [
            {"permission_level": level, "description": text} for level, text in LEVELS[kind].items()
        ]
        return {"permission_levels": levels}
    if rest:
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{call.method} {call.path}'")
    return _view(call, kind, object_id)


def put(call: Call) -> Answer:
    """Replace all grants."""
    return _change(call, is_whole=True)


def patch(call: Call) -> Answer:
    """Add grants; of a principal that has one the new one counts."""
    return _change(call, is_whole=False)


def _change(call: Call, *, is_whole: bool) -> Answer:
    kind, object_id, _ = _object(call)
    with call.workspace.store.transaction() as database:
        grant(
            database,
            kind,
            object_id,
            checked_grants(call, kind),
            owner=call.workspace.user,
            is_whole=is_whole,
        )
    return _view(call, kind, object_id)


def checked_grants(call: Call, kind: str) -> list[Grant]:
    """The `access_control_list` of a request, or the error that says what is wrong with it."""
    return [_checked(call.within(item), kind) for item in call.objects("access_control_list")]


def grant(
    database: sqlite3.Connection,
    kind: str,
    object_id: str,
    grants: Sequence[Grant],
    *,
    owner: str,
    is_whole: bool,
) -> None:
    """Store grants. A job has one owner: the last one named, else who it was or who made it."""
    before = [] if is_whole else _grants(database, kind, object_id, owner)
    after = {(item[0], item[1]): item[2] for item in (*before, *grants)}
    owners = [key for key, level in after.items() if level == "IS_OWNER"]
    for key in owners[:-1]:
        del after[key]
    if kind == "jobs" and not owners:
        after[("user_name", owner)] = "IS_OWNER"
    database.execute(
        "DELETE FROM permissions WHERE object_type = ? AND object_id = ?", (kind, object_id)
    )
    database.executemany(
        "INSERT INTO permissions VALUES (?, ?, ?, ?, ?)",
        [(kind, object_id, *principal, level) for principal, level in after.items()],
    )


def forget(database: sqlite3.Connection, kind: str, object_id: str) -> None:
    """Remove the grants of what is removed."""
    database.execute(
        "DELETE FROM permissions WHERE object_type = ? AND object_id = ?", (kind, object_id)
    )


def _object(call: Call) -> tuple[str, str, str]:
    """The kind, the id, and what follows; the error of what there is not."""
    kind, _, rest = call.path.partition("/")
    object_id, _, more = rest.partition("/")
    queries = {
        "jobs": "SELECT 1 FROM jobs WHERE CAST(job_id AS TEXT) = ?",
        "clusters": "SELECT 1 FROM clusters WHERE cluster_id = ?",
    }
    if kind not in queries:
        raise not_served(f"{call.method} /api/2.0/permissions/{call.path} yet")
    if call.workspace.store.row(queries[kind], object_id) is None:
        name = OBJECT_TYPES[kind].capitalize()
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{name} {object_id} does not exist.")
    return kind, object_id, more


def _checked(item: Call, kind: str) -> Grant:
    names = [name for name in PRINCIPALS if item.parameters.get(name)]
    if len(names) != 1:
        raise invalid(f"A grant has exactly one of {', '.join(PRINCIPALS)}.")
    level = item.text("permission_level")
    if level not in LEVELS[kind]:
        raise invalid(
            f"{level} is no permission of a {OBJECT_TYPES[kind]}: use one of"
            f" {', '.join(LEVELS[kind])}."
        )
    if level == "IS_OWNER" and names == ["group_name"]:
        raise invalid("Groups can not be owners.")
    return names[0], item.text(names[0]), level


def _grants(database: sqlite3.Connection, kind: str, object_id: str, owner: str) -> list[Grant]:
    """In the order in which they were given; at first whoever made the object has all."""
    rows = database.execute(
        "SELECT * FROM permissions WHERE object_type = ? AND object_id = ? ORDER BY rowid",
        (kind, object_id),
    )
    found = [(row["principal_kind"], row["principal"], row["level"]) for row in rows]
    return found or [("user_name", owner, "IS_OWNER" if kind == "jobs" else "CAN_MANAGE")]


def _view(call: Call, kind: str, object_id: str) -> Mapping[str, Any]:
    with call.workspace.store.transaction() as database:
        grants = _grants(database, kind, object_id, call.workspace.user)
    shown: list[dict[str, Any]] = [
        {
            principal_kind: principal,
            "display_name": principal,
            "all_permissions": [{"permission_level": level, "inherited": False}],
        }
        for principal_kind, principal, level in grants
    ]
    inherited = {
        "permission_level": "CAN_MANAGE",
        "inherited": True,
        "inherited_from_object": [f"/{kind}/"],
    }
    shown.append({"group_name": "admins", "all_permissions": [inherited]})
    return {
        "object_id": f"/{kind}/{object_id}",
        "object_type": OBJECT_TYPES[kind],
        "access_control_list": shown,
    }


PATH = "/api/2.0/permissions/{path}"
ROUTES = (Route("GET", PATH, get), Route("PUT", PATH, put), Route("PATCH", PATH, patch))
