"""Privileges on volumes: `/api/2.1/unity-catalog/permissions/volume/{full name}`.

A volume's owner has all of them; catalogs and schemas need none here.
Source: docs.databricks.com/api/workspace/grants.
"""

from __future__ import annotations

from lakeflow_local.identity.permissions import PRIVILEGES
from lakeflow_local.identity.principals import EVERYBODY, kind_of
from lakeflow_local.server.api.authorization import on_volume
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.permission_repository import Grant


def get(request: ApiRequest) -> ApiResponse:
    return _view(request, _volume(request))


def update(request: ApiRequest) -> ApiResponse:
    """Add and remove privileges; principals without any are no longer listed."""
    volume = _volume(request)
    changes = [request.within(change) for change in request.objects("changes")]
    for change in changes:
        change.text("principal")
        for name in ("add", "remove"):
            _check_privileges(change, name)
    storage = request.workspace.storage
    with storage.transaction():
        for change in changes:
            principal = change.text("principal")
            privileges = set(_granted(request, volume).get(principal, ()))
            privileges |= set(change.parameters.get("add") or ())
            privileges -= set(change.parameters.get("remove") or ())
            storage.permissions.delete_of("volumes", volume, principal)
            if privileges:
                is_group = principal in EVERYBODY or principal == "admins"
                kind = "group_name" if is_group else kind_of(principal)
                grant = Grant(kind, principal, ",".join(sorted(privileges)))
                storage.permissions.add("volumes", volume, [grant])
    return _view(request, volume)


def _volume(request: ApiRequest) -> str:
    """Return the full name of the volume in a path. Raises the error of an invalid one."""
    kind, _, name = request.path.partition("/")
    if kind.lower() != "volume":
        raise not_served(f"{request.method} /api/2.1/unity-catalog/permissions/{request.path} yet")
    if request.workspace.storage.volumes.get(name) is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{name}' does not exist.")
    return name


def _check_privileges(change: ApiRequest, name: str) -> None:
    given = change.parameters.get(name) or []
    if not isinstance(given, list) or not all(privilege in PRIVILEGES for privilege in given):
        raise invalid(f"'{name}' of a volume can have {', '.join(PRIVILEGES)}.")


def _granted(request: ApiRequest, volume: str) -> dict[str, list[str]]:
    """Return the privileges of each principal, ordered by name."""
    assignments = request.workspace.storage.permissions.list("volumes", volume)
    ordered = sorted(assignments, key=lambda item: item.principal)
    return {item.principal: item.level.split(",") for item in ordered}


def _view(request: ApiRequest, volume: str) -> ApiResponse:
    granted = _granted(request, volume)
    return {
        "privilege_assignments": [
            {"principal": principal, "privileges": privileges}
            for principal, privileges in granted.items()
        ]
    }


PATH = "/api/2.1/unity-catalog/permissions/{path}"
ROUTES = (
    Route("GET", PATH, get, on_volume("READ_VOLUME")),
    Route("PATCH", PATH, update, on_volume("MANAGE")),
)
