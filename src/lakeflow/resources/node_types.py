"""Node types of a workspace: which it can start, and which one a new cluster gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.resources.cluster_policies import ClusterPolicy
from lakeflow.specs.compute import Compute

_UNAVAILABLE = {"NotAvailableInRegion", "NotEnabledOnSubscription"}


class ServerlessOnly(Refused):
    """The workspace has no classic compute."""

    def __init__(self) -> None:
        super().__init__(
            "this workspace offers only serverless compute.\nhint: use --compute serverless, "
            "without options of clusters."
        )


def list_available(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the node types that the workspace can start (Clusters API, list-node-types).

    The API also lists those that its region or subscription lacks (`node_info.status`). Raises
    ServerlessOnly if it lists none.
    """
    found = workspace.get("/api/2.1/clusters/list-node-types").get("node_types", [])
    if not found:
        raise ServerlessOnly
    return [node for node in found if not _UNAVAILABLE & _statuses(node)]


def _statuses(node: Mapping[str, Any]) -> set[str]:
    return {str(status) for status in (node.get("node_info") or {}).get("status") or []}


def choose_default(available: Sequence[Mapping[str, Any]]) -> str:
    """Return the smallest node type with 4 cores, 8 GB and local disk; no GPU, not ARM.

    Raises Refused if no node type qualifies.
    """
    suitable = [
        node
        for node in available
        if not node.get("is_deprecated")
        and not node.get("is_hidden")
        and not node.get("is_graviton")
        and not node.get("num_gpus")
        and (node.get("node_instance_type") or {}).get("local_disks")
        and float(node["num_cores"]) >= 4
        and int(node["memory_mb"]) >= 8 * 1024
    ]
    if not suitable:
        raise Refused(
            "this workspace has no node type with at least 4 cores, 8 GB and a local disk.\n"
            "hint: choose one with --node-type, or use an existing cluster with --cluster-id."
        )
    best = min(suitable, key=lambda n: (n["num_cores"], n["memory_mb"], n["node_type_id"]))
    return str(best["node_type_id"])


def cores_of(workspace: Workspace, node_type: str) -> int:
    """Return the cores of a node type; 4, the fewest of a driver, if unknown."""
    for node in list_available(workspace):
        if node["node_type_id"] == node_type:
            return max(1, int(float(node["num_cores"])))
    return 4


def resolve(workspace: Workspace, compute: Compute, policy: ClusterPolicy) -> Mapping[str, Any]:
    """Return the node type to use. Raises Refused if workspace or policy does not have it."""
    available = [
        node
        for node in list_available(workspace)
        if policy.allows("node_type_id", str(node["node_type_id"]))
    ]
    preferred = policy.value("node_type_id")
    chosen = compute.node_type or preferred or choose_default(available)
    for node in available:
        if node["node_type_id"] == chosen:
            return node
    names = sorted(str(node["node_type_id"]) for node in available)
    raise Refused(f"--node-type {chosen}: not in this workspace, which has {', '.join(names)}")
