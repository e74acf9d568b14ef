"""Volumes of Unity Catalog: `/api/2.1/unity-catalog/volumes`. Catalogs and schemas are implicit.

Source: docs.databricks.com/api/workspace/volumes.
"""

from __future__ import annotations

import re
from typing import Any

from lakeflow_local.server.api.authorization import anyone, on_volume
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.server.workspace import create_volume
from lakeflow_local.storage.volume_repository import Volume


def create(request: ApiRequest) -> ApiResponse:
    names = [request.text("catalog_name"), request.text("schema_name"), request.text("name")]
    for name in names:
        if not re.fullmatch(r"[^\s/.\x00-\x1f\x7f]{1,255}", name):
            raise invalid(f"'{name}' is not a valid name of a catalog, schema or volume.")
    if request.text("volume_type", "MANAGED") != "MANAGED":
        raise not_served("external volumes")
    full_name = ".".join(names)
    if not create_volume(request.workspace, *names, owner=request.principal.name):
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Volume '{full_name}' already exists")
    return _view(request, _find(request, full_name))


def get(request: ApiRequest) -> ApiResponse:
    return _view(request, _find(request, request.path))


def list_volumes(request: ApiRequest) -> ApiResponse:
    found = request.workspace.storage.volumes.list(
        request.text("catalog_name"), request.text("schema_name")
    )
    permissions = request.workspace.permissions
    visible = [
        volume for volume in found if permissions.on_volume(request.principal, volume.full_name)
    ]
    return {"volumes": [_view(request, volume) for volume in visible]}


def delete(request: ApiRequest) -> ApiResponse:
    volume = _find(request, request.path)
    storage = request.workspace.storage
    with storage.transaction():
        storage.volumes.delete(volume)
        storage.permissions.delete("volumes", volume.full_name)
    path = f"/Volumes/{volume.catalog}/{volume.schema}/{volume.name}"
    request.workspace.mount.remove(request.workspace.mount.real(path))
    return {}


def _find(request: ApiRequest, full_name: str) -> Volume:
    """Return a volume. Raises the error of one that does not exist."""
    volume = request.workspace.storage.volumes.get(full_name)
    if volume is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{full_name}' does not exist.")
    return volume


def _view(request: ApiRequest, volume: Volume) -> dict[str, Any]:
    owner = volume.owner or request.workspace.user
    return {
        "catalog_name": volume.catalog,
        "schema_name": volume.schema,
        "name": volume.name,
        "full_name": volume.full_name,
        "volume_id": volume.full_name,
        "volume_type": "MANAGED",
        "owner": owner,
        "created_at": volume.created,
        "created_by": owner,
    }


VOLUMES, VOLUME = "/api/2.1/unity-catalog/volumes", "/api/2.1/unity-catalog/volumes/{path}"
ROUTES = (
    Route("POST", VOLUMES, create, anyone),
    Route("GET", VOLUMES, list_volumes, anyone),
    Route("GET", VOLUME, get, on_volume("READ_VOLUME")),
    Route("DELETE", VOLUME, delete, on_volume("MANAGE")),
)
