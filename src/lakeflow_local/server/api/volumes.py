"""Volumes of Unity Catalog: `/api/2.1/unity-catalog/volumes`. Catalogs and schemas need no making.

Source: docs.databricks.com/api/workspace/volumes.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.authorization import anyone, on_volume
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.server.workspace import make_volume


def create(request: ApiRequest) -> ApiResponse:
    names = [request.text("catalog_name"), request.text("schema_name"), request.text("name")]
    for name in names:
        if not re.fullmatch(r"[^\s/.\x00-\x1f\x7f]{1,255}", name):
            raise invalid(f"'{name}' is no name of a catalog, schema or volume.")
    if request.text("volume_type", "MANAGED") != "MANAGED":
        raise not_served("external volumes")
    full_name = ".".join(names)
    if not make_volume(request.workspace, *names, owner=request.principal.name):
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Volume '{full_name}' already exists")
    return _view(request, _row(request, full_name))


def get(request: ApiRequest) -> ApiResponse:
    return _view(request, _row(request, request.path))


def list_volumes(request: ApiRequest) -> ApiResponse:
    rows = request.workspace.store.rows(
        "SELECT * FROM volumes WHERE catalog = ? AND schema = ? ORDER BY name",
        request.text("catalog_name"),
        request.text("schema_name"),
    )
    views = [_view(request, row) for row in rows]
    permissions = request.workspace.permissions
    return {
        "volumes": [
            view for view in views if permissions.on_volume(request.principal, view["full_name"])
        ]
    }


def delete(request: ApiRequest) -> ApiResponse:
    row = _row(request, request.path)
    names = (row["catalog"], row["schema"], row["name"])
    with request.workspace.store.transaction() as database:
        database.execute("DELETE FROM volumes WHERE catalog = ? AND schema = ? AND name = ?", names)
        permissions.forget(database, "volumes", ".".join(names))
    request.workspace.mount.remove(request.workspace.mount.real("/Volumes/" + "/".join(names)))
    return {}


def _row(request: ApiRequest, full_name: str) -> sqlite3.Row:
    row = request.workspace.store.row(
        "SELECT * FROM volumes WHERE catalog || '.' || schema || '.' || name = ?", full_name
    )
    if row is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{full_name}' does not exist.")
    return row


def _view(request: ApiRequest, row: sqlite3.Row) -> dict[str, Any]:
    full_name = f"{row['catalog']}.{row['schema']}.{row['name']}"
    return {
        "catalog_name": row["catalog"],
        "schema_name": row["schema"],
        "name": row["name"],
        "full_name": full_name,
        "volume_id": full_name,
        "volume_type": "MANAGED",
        "owner": row["owner"] or request.workspace.user,
        "created_at": row["created"],
        "created_by": row["owner"] or request.workspace.user,
    }


VOLUMES, VOLUME = "/api/2.1/unity-catalog/volumes", "/api/2.1/unity-catalog/volumes/{path}"
ROUTES = (
    Route("POST", VOLUMES, create, anyone),
    Route("GET", VOLUMES, list_volumes, anyone),
    Route("GET", VOLUME, get, on_volume("READ_VOLUME")),
    Route("DELETE", VOLUME, delete, on_volume("MANAGE")),
)
