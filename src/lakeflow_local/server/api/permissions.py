"""Permissions on jobs, clusters and workspace folders: `/api/2.0/permissions/{kind}/{id}`.

What they allow is in `identity/permissions.py` and `authorization.py`. You can grant to users that
do not exist yet. Source: docs.databricks.com/api/workspace/permissions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_local.identity.permissions import LEVELS as LEVELS_OF
from lakeflow_local.identity.permissions import no_permission
from lakeflow_local.identity.principals import kind_of
from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.cluster_repository import Cluster
from lakeflow_local.storage.job_repository import Job
from lakeflow_local.storage.permission_repository import Grant
from lakeflow_local.storage.repositories import Storage

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
    """Replace all permissions on an object."""
    return _change(request, is_whole=True)


def patch(request: ApiRequest) -> ApiResponse:
    """Add permissions; a new one replaces that of the same principal."""
    return _change(request, is_whole=False)


def _change(request: ApiRequest, *, is_whole: bool) -> ApiResponse:
    kind, object_id, _ = _object(request, "Manage")
    acl = read_acl(request, kind)
    key = _key(request, kind, object_id)
    storage = request.workspace.storage
    with storage.transaction():
        owner = _owner(request, kind, object_id)
        if kind == "jobs" and not request.principal.is_admin:
            _check_same_owner(acl, owner)
        store_acl(storage, kind, key, acl, owner=owner, is_whole=is_whole)
    return _view(request, kind, object_id)


def _check(request: ApiRequest, kind: str, object_id: str, what: str) -> None:
    """Check that the principal may view or manage an object.

    Without permission, a job that does not exist gets the same response.
    """
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


def _check_same_owner(acl: Sequence[Grant], owner: str) -> None:
    for entry in acl:
        if entry.level == "IS_OWNER" and entry.principal.casefold() != owner.casefold():
            raise ApiError(
                403, "PERMISSION_DENIED", "Only workspace admins can change the owner of a job."
            )


def read_acl(request: ApiRequest, kind: str) -> list[Grant]:
    """Return the `access_control_list` of a request. Raises the error of an invalid one."""
    return [_checked(request.within(item), kind) for item in request.objects("access_control_list")]


def store_acl(
    storage: Storage,
    kind: str,
    object_id: str,
    acl: Sequence[Grant],
    *,
    owner: str,
    is_whole: bool,
) -> None:
    """Store permissions. A job has one owner: the last one named, else its current one."""
    before = () if is_whole else _stored_acl(storage, kind, object_id, owner)
    after = {(item.kind, item.principal): item.level for item in (*before, *acl)}
    owners = [key for key, level in after.items() if level == "IS_OWNER"]
    for key in owners[:-1]:
        del after[key]
    if kind == "jobs" and not owners:
        after[(kind_of(owner), owner)] = "IS_OWNER"
    stored = [Grant(*principal, level) for principal, level in after.items()]
    storage.permissions.replace(kind, object_id, stored)


def _object(request: ApiRequest, what: str) -> tuple[str, str, str]:
    """Return the kind, id and rest of a path. Raises the error of a missing or hidden object."""
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
    return _created(request, kind, object_id) is not None


def _created(request: ApiRequest, kind: str, object_id: str) -> Job | Cluster | None:
    """Return the job or cluster of this id."""
    if kind == "clusters":
        return request.workspace.storage.clusters.get(object_id)
    is_id = re.fullmatch(r"[1-9][0-9]{0,17}", object_id)
    return request.workspace.storage.jobs.get(int(object_id)) if is_id else None


def _folder_path(request: ApiRequest, object_id: str) -> str | None:
    """Return the path below `/Workspace` of a folder. Its id is its inode."""
    root = request.workspace.mount.real("/Workspace")
    for folder, _, _ in os.walk(root):
        if str(os.stat(folder).st_ino) == object_id:
            return "/" + os.path.relpath(folder, root).removeprefix(".")
    return None


def _key(request: ApiRequest, kind: str, object_id: str) -> str:
    """Return the key of stored permissions: of folders the path, which a restored one has again."""
    if kind != "directories":
        return object_id
    return _folder_path(request, object_id) or object_id


def _owner(request: ApiRequest, kind: str, object_id: str) -> str:
    """Return the name of an object's owner, else of its creator, else of the workspace's owner."""
    if kind == "directories":
        return request.workspace.user
    acl = request.workspace.storage.permissions.list(kind, object_id)
    owners = [entry.principal for entry in acl if entry.level == "IS_OWNER"]
    created = _created(request, kind, object_id)
    creator = None if created is None else created.creator
    return next(iter(owners), creator) or request.workspace.user


def _checked(item: ApiRequest, kind: str) -> Grant:
    names = [name for name in PRINCIPALS if item.parameters.get(name)]
    if len(names) != 1:
        raise invalid(f"A permission has exactly one of {', '.join(PRINCIPALS)}.")
    level = item.text("permission_level")
    if level not in LEVELS[kind]:
        raise invalid(
            f"{level} is not a permission of a {OBJECT_TYPES[kind]}: use one of"
            f" {', '.join(LEVELS[kind])}."
        )
    if level == "IS_OWNER" and names == ["group_name"]:
        raise invalid("Groups cannot be owners.")
    return Grant(names[0], item.text(names[0]), level)


def _stored_acl(storage: Storage, kind: str, object_id: str, owner: str) -> Sequence[Grant]:
    """Return the permissions on an object, oldest first. Without any, its creator has all."""
    level = "IS_OWNER" if kind == "jobs" else "CAN_MANAGE"
    return storage.permissions.list(kind, object_id) or [Grant(kind_of(owner), owner, level)]


def _view(request: ApiRequest, kind: str, object_id: str) -> Mapping[str, Any]:
    storage = request.workspace.storage
    with storage.snapshot():
        owner = _owner(request, kind, object_id)
        acl = _stored_acl(storage, kind, _key(request, kind, object_id), owner)
    shown: list[dict[str, Any]] = [
        {
            entry.kind: entry.principal,
            "display_name": entry.principal,
            "all_permissions": [{"permission_level": entry.level, "inherited": False}],
        }
        for entry in acl
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
