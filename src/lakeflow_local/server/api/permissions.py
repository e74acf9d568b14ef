"""Grants on jobs, clusters and workspace folders: `/api/2.0/permissions/{kind}/{id}`.

What they allow is in `identity/permissions.py` and `authorization.py`. You can grant to users that
do not exist yet. Source: docs.databricks.com/api/workspace/permissions.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_local.identity.permissions import LEVELS as LEVELS_OF
from lakeflow_local.identity.permissions import no_permission
from lakeflow_local.identity.principals import kind_of
from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route

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
    "directories": {
        "CAN_READ": "Can read what is in the folder",
        "CAN_RUN": "Can read and run what is in the folder",
        "CAN_EDIT": "Can read, run and change what is in the folder",
        "CAN_MANAGE": "Can do everything with the folder",
    },
}
OBJECT_TYPES = {"jobs": "job", "clusters": "cluster", "directories": "directory"}

Grant = tuple[str, str, str]
"""The kind of a principal, its name, its level."""


def get(request: ApiRequest) -> ApiResponse:
    kind, object_id, rest = _object(request, "View")
    if rest == "permissionLevels":
        levels = [
            {"permission_level": level, "description": text} for level, text in LEVELS[kind].items()
        ]
        return {"permission_levels": levels}
    if rest:
        raise ApiError(
            404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'"
        )
    return _view(request, kind, object_id)


def put(request: ApiRequest) -> ApiResponse:
    """Replace all grants."""
    return _change(request, is_whole=True)


def patch(request: ApiRequest) -> ApiResponse:
    """Add grants; of a principal that has one the new one counts."""
    return _change(request, is_whole=False)


def _change(request: ApiRequest, *, is_whole: bool) -> ApiResponse:
    kind, object_id, _ = _object(request, "Manage")
    grants = checked_grants(request, kind)
    key = _key(request, kind, object_id)
    with request.workspace.store.transaction() as database:
        owner = _owner(database, request, kind, object_id)
        if kind == "jobs" and not request.principal.is_admin:
            _check_same_owner(grants, owner)
        grant(database, kind, key, grants, owner=owner, is_whole=is_whole)
    return _view(request, kind, object_id)


def _check(request: ApiRequest, kind: str, object_id: str, what: str) -> None:
    """That whoever asks may view or manage it; who may not is not told of a job if it exists."""
    permissions = request.workspace.permissions
    if kind == "jobs":
        mine = permissions.on_job(request.principal, int(object_id)) if object_id.isdecimal() else 0
        name = f"Job with ID: ElasticJobId({object_id})"
    elif kind == "clusters":
        mine, name = (
            permissions.on_cluster(request.principal, object_id),
            f"Cluster with ID: {object_id}",
        )
        if not _exists(request, kind, object_id):
            return
    else:
        path = _folder_path(request, object_id)
        if path is None:
            return
        mine, name = permissions.on_folder(request.principal, path), path
    if (
        mine < (LEVELS_OF[kind]["CAN_MANAGE"] if what == "Manage" else 1)
        and not request.principal.is_admin
    ):
        raise ApiError(403, "PERMISSION_DENIED", no_permission(request.principal, what, name))


def _check_same_owner(grants: Sequence[Grant], owner: str) -> None:
    for _, principal, level in grants:
        if level == "IS_OWNER" and principal.casefold() != owner.casefold():
            raise ApiError(
                403, "PERMISSION_DENIED", "Only workspace admins can change the owner of a job."
            )


def checked_grants(request: ApiRequest, kind: str) -> list[Grant]:
    """The `access_control_list` of a request, or the error that says what is wrong with it."""
    return [_checked(request.within(item), kind) for item in request.objects("access_control_list")]


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
        after[(kind_of(owner), owner)] = "IS_OWNER"
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


def _object(request: ApiRequest, what: str) -> tuple[str, str, str]:
    """The kind, the id, and what follows; the error of what there is not, or may not be seen."""
    kind, _, rest = request.path.partition("/")
    object_id, _, more = rest.partition("/")
    if kind not in LEVELS:
        raise not_served(f"{request.method} /api/2.0/permissions/{request.path} yet")
    _check(request, kind, object_id, what)
    if not _exists(request, kind, object_id):
        name = OBJECT_TYPES[kind].capitalize()
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{name} {object_id} does not exist.")
    return kind, object_id, more


def _exists(request: ApiRequest, kind: str, object_id: str) -> bool:
    if kind == "directories":
        return _folder_path(request, object_id) is not None
    queries = {
        "jobs": "SELECT 1 FROM jobs WHERE CAST(job_id AS TEXT) = ?",
        "clusters": "SELECT 1 FROM clusters WHERE cluster_id = ?",
    }
    return request.workspace.store.row(queries[kind], object_id) is not None


def _folder_path(request: ApiRequest, object_id: str) -> str | None:
    """The path below `/Workspace` of the folder with this id, which is its inode."""
    root = request.workspace.mount.real("/Workspace")
    for folder, _, _ in os.walk(root):
        if str(os.stat(folder).st_ino) == object_id:
            return "/" + os.path.relpath(folder, root).removeprefix(".")
    return None


def _key(request: ApiRequest, kind: str, object_id: str) -> str:
    """By what grants are kept: of folders their path, which a restored one has again."""
    if kind != "directories":
        return object_id
    return _folder_path(request, object_id) or object_id


def _owner(database: sqlite3.Connection, request: ApiRequest, kind: str, object_id: str) -> str:
    """Who has all of an object, where nobody else does."""
    if kind == "directories":
        return request.workspace.user
    query = {
        "jobs": "SELECT creator FROM jobs WHERE CAST(job_id AS TEXT) = ?",
        "clusters": "SELECT creator FROM clusters WHERE cluster_id = ?",
    }[kind]
    row = database.execute(query, (object_id,)).fetchone()
    owner = database.execute(
        "SELECT principal FROM permissions"
        " WHERE object_type = ? AND object_id = ? AND level = 'IS_OWNER'",
        (kind, object_id),
    ).fetchone()
    return str((owner or row or [None])[0] or request.workspace.user)


def _checked(item: ApiRequest, kind: str) -> Grant:
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
    return found or [(kind_of(owner), owner, "IS_OWNER" if kind == "jobs" else "CAN_MANAGE")]


def _view(request: ApiRequest, kind: str, object_id: str) -> Mapping[str, Any]:
    with request.workspace.store.transaction() as database:
        owner = _owner(database, request, kind, object_id)
        grants = _grants(database, kind, _key(request, kind, object_id), owner)
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
ROUTES = (
    Route("GET", PATH, get, anyone),
    Route("PUT", PATH, put, anyone),
    Route("PATCH", PATH, patch, anyone),
)
