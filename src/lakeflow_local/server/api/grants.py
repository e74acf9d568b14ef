"""Privileges on volumes: `/api/2.1/unity-catalog/permissions/volume/{full name}`.

A volume's owner has all of them; catalogs and schemas need none here.
Source: docs.databricks.com/api/workspace/grants.
"""

from __future__ import annotations

import sqlite3

from lakeflow_local.identity.permissions import PRIVILEGES
from lakeflow_local.identity.principals import EVERYBODY, kind_of
from lakeflow_local.server.api.authorization import on_volume
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route


def get(request: ApiRequest) -> ApiResponse:
    return _view(request, _volume(request))


def update(request: ApiRequest) -> ApiResponse:
    """Add and remove privileges; who has none left is not listed any more."""
    volume = _volume(request)
    changes = [request.within(change) for change in request.objects("changes")]
    for change in changes:
        change.text("principal")
        for name in ("add", "remove"):
            _check_privileges(change, name)
    with request.workspace.store.transaction() as database:
        for change in changes:
            principal = change.text("principal")
            now = set(_granted(database, volume).get(principal, ()))
            now |= set(change.parameters.get("add") or ())
            now -= set(change.parameters.get("remove") or ())
            database.execute(
                "DELETE FROM permissions"
                " WHERE object_type = 'volumes' AND object_id = ? AND principal = ?",
                (volume, principal),
            )
            if now:
                kind = kind_of(principal)
                is_group = principal in EVERYBODY or principal == "admins"
                database.execute(
                    "INSERT INTO permissions VALUES ('volumes', ?, ?, ?, ?)",
                    (volume, "group_name" if is_group else kind, principal, ",".join(sorted(now))),
                )
    return _view(request, volume)


def _volume(request: ApiRequest) -> str:
    """The full name of the volume that a path ends in, or its error."""
    kind, _, name = request.path.partition("/")
    if kind.lower() != "volume":
        raise not_served(f"{request.method} /api/2.1/unity-catalog/permissions/{request.path} yet")
    row = request.workspace.store.row(
        "SELECT 1 FROM volumes WHERE catalog || '.' || schema || '.' || name = ?", name
    )
    if row is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{name}' does not exist.")
    return name


def _check_privileges(change: ApiRequest, name: str) -> None:
    given = change.parameters.get(name) or []
    if not isinstance(given, list) or not all(privilege in PRIVILEGES for privilege in given):
        raise invalid(f"'{name}' of a volume can have {', '.join(PRIVILEGES)}.")


def _granted(database: sqlite3.Connection, volume: str) -> dict[str, list[str]]:
    rows = database.execute(
        "SELECT principal, level FROM permissions"
        " WHERE object_type = 'volumes' AND object_id = ? ORDER BY principal",
        (volume,),
    )
    return {row["principal"]: row["level"].split(",") for row in rows}


def _view(request: ApiRequest, volume: str) -> ApiResponse:
    with request.workspace.store.transaction() as database:
        granted = _granted(database, volume)
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
