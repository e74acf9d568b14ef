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


def spark_versions(request: ApiRequest) -> ApiResponse:
    """List the runtimes whose Python is installed on this machine."""
    runtimes = request.workspace.clusters.interpreters.runtimes()
    return {"versions": [{"key": runtime.key, "name": runtime.name} for runtime in runtimes]}


def list_node_types(request: ApiRequest) -> ApiResponse:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "node_types": [
            {
                "node_type_id": name,
                "description": f"{name}: this machine",
                "category": "General Purpose",
                "num_cores": float(CORES),
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
            for name, disks in NODE_TYPES.items()
        ]
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
