"""The compute catalog: runtimes, node types and zones. Lists of policies and pools are empty.

Source: docs.databricks.com/api/workspace/clusters.
"""

from __future__ import annotations

import os

from lakeflow_local.config import CORES
from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route

NODE_TYPES = {"local.small": 1, "local.large": 2}
"""Names, with the number of local disks."""

UNAVAILABLE_NODE_TYPES = {
    "local.elsewhere": "NotAvailableInRegion",
    "local.forbidden": "NotEnabledOnSubscription",
}
"""Node types that are listed as Databricks lists some, and cannot be used: name and status."""


def spark_versions(request: ApiRequest) -> ApiResponse:
    """List the runtimes whose Python is installed on this machine."""
    runtimes = request.workspace.clusters.interpreters.runtimes()
    return {"versions": [{"key": runtime.key, "name": runtime.name} for runtime in runtimes]}


def list_node_types(request: ApiRequest) -> ApiResponse:
    if not request.workspace.clusters.has_node_types:
        return {}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    found = [_node_type(name, disks, CORES, memory) for name, disks in NODE_TYPES.items()]
    for name, status in UNAVAILABLE_NODE_TYPES.items():
        found.append({**_node_type(name, 1, 4, 8 * 1024), "node_info": {"status": [status]}})
    return {"node_types": found}


def _node_type(name: str, disks: int, cores: int, memory: int) -> dict[str, object]:
    """Return a node type; `memory` is in MiB."""
    return {
        "node_type_id": name,
        "description": f"{name}: this machine",
        "category": "General Purpose",
        "num_cores": float(cores),
        "memory_mb": memory,
        "instance_type_id": name,
        "is_deprecated": False,
        "is_hidden": False,
        "num_gpus": 0,
        "photon_driver_capable": False,
        "photon_worker_capable": False,
        "support_cluster_tags": True,
        "support_port_forwarding": False,
        "node_instance_type": {
            "instance_type_id": name,
            "local_disks": disks,
            "local_disk_size_gb": 100,
        },
    }


def list_zones(request: ApiRequest) -> ApiResponse:
    return {"zones": ["local"], "default_zone": "local"}


def list_policies(request: ApiRequest) -> ApiResponse:
    return {"policies": []}


def list_pools(request: ApiRequest) -> ApiResponse:
    return {"instance_pools": []}


ROUTES = (
    *(
        Route("GET", f"/api/{version}/clusters/{path}", handler, anyone)
        for version in ("2.1", "2.0")
        for path, handler in (
            ("spark-versions", spark_versions),
            ("list-node-types", list_node_types),
            ("list-zones", list_zones),
        )
    ),
    Route("GET", "/api/2.0/policies/clusters/list", list_policies, anyone),
    Route("GET", "/api/2.0/instance-pools/list", list_pools, anyone),
)
