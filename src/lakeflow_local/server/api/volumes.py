"""Volumes of Unity Catalog: `/api/2.1/unity-catalog/volumes`. Catalogs and schemas need no making.

Source: docs.databricks.com/api/workspace/volumes.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.call import Answer, ApiError, Call, Route, invalid, not_served
from lakeflow_local.server.workspace import make_volume


def create(call: Call) -> Answer:
    names = [call.text("catalog_name"), call.text("schema_name"), call.text("name")]
    for name in names:
        if not re.fullmatch(r"[^\s/.\x00-\x1f\x7f]{1,255}", name):
            raise invalid(f"'{name}' is no name of a catalog, schema or volume.")
    if call.text("volume_type", "MANAGED") != "MANAGED":
        raise not_served("external volumes")
    full_name = ".".join(names)
    if not make_volume(call.workspace, *names, owner=call.me.name):
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Volume '{full_name}' already exists")
    return _view(call, _row(call, full_name))


def get(call: Call) -> Answer:
    return _view(call, _row(call, call.path))


def list_volumes(call: Call) -> Answer:
    rows = call.workspace.store.rows(
        "SELECT * FROM volumes WHERE catalog = ? AND schema = ? ORDER BY name",
        call.text("catalog_name"),
        call.text("schema_name"),
    )
    views = [_view(call, row) for row in rows]
    permissions = call.workspace.permissions
    return {
        "volumes": [view for view in views if permissions.on_volume(call.me, view["full_name"])]
    }


def delete(call: Call) -> Answer:
    row = _row(call, call.path)
    names = (row["catalog"], row["schema"], row["name"])
    with call.workspace.store.transaction() as database:
        database.execute("DELETE FROM volumes WHERE catalog = ? AND schema = ? AND name = ?", names)
        permissions.forget(database, "volumes", ".".join(names))
    call.workspace.mount.remove(call.workspace.mount.real("/Volumes/" + "/".join(names)))
    return {}


def _row(call: Call, full_name: str) -> sqlite3.Row:
    row = call.workspace.store.row(
        "SELECT * FROM volumes WHERE catalog || '.' || schema || '.' || name = ?", full_name
    )
    if row is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{full_name}' does not exist.")
    return row


def _view(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    full_name = f"{row['catalog']}.{row['schema']}.{row['name']}"
    return {
        "catalog_name": row["catalog"],
        "schema_name": row["schema"],
        "name": row["name"],
        "full_name": full_name,
        "volume_id": full_name,
        "volume_type": "MANAGED",
        "owner": row["owner"] or call.workspace.user,
        "created_at": row["created"],
        "created_by": row["owner"] or call.workspace.user,
    }


VOLUMES, VOLUME = "/api/2.1/unity-catalog/volumes", "/api/2.1/unity-catalog/volumes/{path}"
ROUTES = (
    Route("POST", VOLUMES, create),
    Route("GET", VOLUMES, list_volumes),
    Route("GET", VOLUME, get),
    Route("DELETE", VOLUME, delete),
)
