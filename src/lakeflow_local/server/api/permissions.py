"""Grants on jobs, clusters and workspace folders: `/api/2.0/permissions/{kind}/{id}`.

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
    """Replace all grants."""
    return _change(request, is_whole=True)


def patch(request: ApiRequest) -> ApiResponse:
    """Add grants; of a principal that has one the new one counts."""
    return _change(request, is_whole=False)


def _change(request: ApiRequest, *, is_whole: bool) -> ApiResponse:
    kind, object_id, _ = _object(request, "Manage")
    grants = checked_grants(request, kind)
    key = _key(request, kind, object_id)
    storage = request.workspace.storage
    with storage.transaction():
        owner = _owner(request, kind, object_id)
        if kind == "jobs" and not request.principal.is_admin:
            _check_same_owner(grants, owner)
        grant(storage, kind, key, grants, owner=owner, is_whole=is_whole)
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
    for grant in grants:
        if grant.level == "IS_OWNER" and grant.principal.casefold() != owner.casefold():
            raise ApiError(
                403, "PERMISSION_DENIED", "Only workspace admins can change the owner of a job."
            )


def checked_grants(request: ApiRequest, kind: str) -> list[Grant]:
    """The `access_control_list` of a request, or the error that says what is wrong with it."""
    return [_checked(request.within(item), kind) for item in request.objects("access_control_list")]


def grant(
    storage: Storage,
    kind: str,
    object_id: str,
    grants: Sequence[Grant],
    *,
    owner: str,
    is_whole: bool,
) -> None:
    """Store grants. A job has one owner: the last one named, else its owner or creator before."""
    before = () if is_whole else _grants(storage, kind, object_id, owner)
    after = {(item.kind, item.principal): item.level for item in (*before, *grants)}
    owners = [key for key, level in after.items() if level == "IS_OWNER"]
    for key in owners[:-1]:
        del after[key]
    if kind == "jobs" and not owners:
        after[(kind_of(owner), owner)] = "IS_OWNER"
    stored = [Grant(*principal, level) for principal, level in after.items()]
    storage.permissions.replace(kind, object_id, stored)


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
    return _created(request, kind, object_id) is not None


def _created(request: ApiRequest, kind: str, object_id: str) -> Job | Cluster | None:
    """Return the job or cluster of this id."""
    if kind == "clusters":
        return request.workspace.storage.clusters.get(object_id)
    is_id = re.fullmatch(r"[1-9][0-9]{0,17}", object_id)
    return request.workspace.storage.jobs.get(int(object_id)) if is_id else None


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


def _owner(request: ApiRequest, kind: str, object_id: str) -> str:
    """Return the name of an object's owner, else of its creator, else of the workspace's owner."""
    if kind == "directories":
        return request.workspace.user
    grants = request.workspace.storage.permissions.list(kind, object_id)
    owners = [grant.principal for grant in grants if grant.level == "IS_OWNER"]
    created = _created(request, kind, object_id)
    creator = None if created is None else created.creator
    return next(iter(owners), creator) or request.workspace.user


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
    return Grant(names[0], item.text(names[0]), level)


def _grants(storage: Storage, kind: str, object_id: str, owner: str) -> Sequence[Grant]:
    """Return the grants on an object, oldest first; without any its creator has all permissions."""
    level = "IS_OWNER" if kind == "jobs" else "CAN_MANAGE"
    return storage.permissions.list(kind, object_id) or [Grant(kind_of(owner), owner, level)]


def _view(request: ApiRequest, kind: str, object_id: str) -> Mapping[str, Any]:
    storage = request.workspace.storage
    with storage.snapshot():
        owner = _owner(request, kind, object_id)
        grants = _grants(storage, kind, _key(request, kind, object_id), owner)
    shown: list[dict[str, Any]] = [
        {
            grant.kind: grant.principal,
            "display_name": grant.principal,
            "all_permissions": [{"permission_level": grant.level, "inherited": False}],
        }
        for grant in grants
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
