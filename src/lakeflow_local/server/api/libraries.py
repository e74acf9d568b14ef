"""Libraries of clusters: `/api/2.0/libraries/`.

Source: docs.databricks.com/api/workspace/libraries.
"""

from __future__ import annotations

from lakeflow_local.server.api import clusters
from lakeflow_local.server.api.call import Answer, Call, Route
from lakeflow_local.server.api.job_settings import check_library
from lakeflow_local.server.api.rules import denied


def install(call: Call) -> Answer:
    cluster = clusters.find(call)
    libraries = call.objects("libraries")
    for library in libraries:
        check_library(library)
        for path in library.values():
            if isinstance(path, str) and (
                why := call.workspace.permissions.unreadable(call.me, path)
            ):
                raise denied(why)
    call.workspace.clusters.install(cluster.cluster_id, libraries)
    return {}


def uninstall(call: Call) -> Answer:
    cluster = clusters.find(call)
    call.workspace.clusters.uninstall(cluster.cluster_id, call.objects("libraries"))
    return {}


def cluster_status(call: Call) -> Answer:
    cluster = clusters.find(call)
    statuses = call.workspace.clusters.libraries.statuses(cluster.cluster_id)
    return {"cluster_id": cluster.cluster_id, "library_statuses": statuses}


def all_cluster_statuses(call: Call) -> Answer:
    compute = call.workspace.clusters
    return {
        "statuses": [
            {
                "cluster_id": cluster.cluster_id,
                "library_statuses": compute.libraries.statuses(cluster.cluster_id),
            }
            for cluster in clusters.visible(call)
        ]
    }


ROUTES = (
    Route("POST", "/api/2.0/libraries/install", install),
    Route("POST", "/api/2.0/libraries/uninstall", uninstall),
    Route("GET", "/api/2.0/libraries/cluster-status", cluster_status),
    Route("GET", "/api/2.0/libraries/all-cluster-statuses", all_cluster_statuses),
)
