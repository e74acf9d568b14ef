"""Libraries of clusters: `/api/2.0/libraries/`.

Source: docs.databricks.com/api/workspace/libraries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lakeflow_local.server.api import clusters
from lakeflow_local.server.api.authorization import anyone, on_cluster
from lakeflow_local.server.api.errors import denied
from lakeflow_local.server.api.job_settings import check_library
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.settings import Library


def install(request: ApiRequest) -> ApiResponse:
    cluster = clusters.find(request)
    libraries = request.objects("libraries")
    for library in libraries:
        check_library(library)
        for path in library.values():
            if isinstance(path, str) and (
                why := request.workspace.permissions.why_unreadable(request.principal, path)
            ):
                raise denied(why)
    request.workspace.clusters.install(cluster.cluster_id, cast(Sequence[Library], libraries))
    return {}


def uninstall(request: ApiRequest) -> ApiResponse:
    cluster = clusters.find(request)
    libraries = cast(Sequence[Library], request.objects("libraries"))
    request.workspace.clusters.uninstall(cluster.cluster_id, libraries)
    return {}


def cluster_status(request: ApiRequest) -> ApiResponse:
    cluster = clusters.find(request)
    return _statuses_view(request, cluster.cluster_id)


def all_cluster_statuses(request: ApiRequest) -> ApiResponse:
    found = [_statuses_view(request, cluster.cluster_id) for cluster in clusters.visible(request)]
    return {"statuses": found}


def _statuses_view(request: ApiRequest, cluster_id: str) -> Mapping[str, Any]:
    statuses = [
        {
            "library": attached.library,
            "status": attached.status,
            "messages": attached.messages,
            "is_library_for_all_clusters": False,
        }
        for attached in request.workspace.clusters.libraries.all(cluster_id)
    ]
    return {"cluster_id": cluster_id, "library_statuses": statuses}


ROUTES = (
    Route("POST", "/api/2.0/libraries/install", install, on_cluster("CAN_MANAGE")),
    Route("POST", "/api/2.0/libraries/uninstall", uninstall, on_cluster("CAN_MANAGE")),
    Route("GET", "/api/2.0/libraries/cluster-status", cluster_status, on_cluster("CAN_ATTACH_TO")),
    Route("GET", "/api/2.0/libraries/all-cluster-statuses", all_cluster_statuses, anyone),
)
