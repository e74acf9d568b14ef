"""Settings of clusters to create: the options that were given, and defaults for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.resources import cluster_policies
from lakeflow.resources.cluster_policies import ClusterPolicy
from lakeflow.specs.compute import (
    CLOUD_ATTRIBUTES,
    Compute,
    NewCluster,
    PerRunCluster,
    availability,
    cluster_settings,
)
from lakeflow.specs.job import IDENTITY_TAG
from lakeflow.wheels import compatibility
from lakeflow.wheels.wheel import Wheel

IDLE_MINUTES = 30
"""Clusters that lakeflow creates terminate after so long without work."""

_API = "/api/2.1/clusters"


class ServerlessOnly(Refused):
    """The workspace has no classic compute."""

    def __init__(self) -> None:
        super().__init__(
            "this workspace offers only serverless compute.\nhint: use --compute serverless, "
            "without options of clusters."
        )


def new_cluster(
    workspace: Workspace,
    job_name: str,
    identity: str,
    wheels: Sequence[Wheel],
    compute: Compute,
    user: str,
) -> NewCluster:
    """Return the cluster to create for a job: newest compatible LTS runtime, smallest node type.

    It is single-node unless a size is requested, and dedicated to `user`, the job's run-as
    principal. What a policy decides is left to it. Raises Refused if the workspace has no
    compatible runtime or node type.
    """
    policy = _policy(workspace, compute)
    sizes = ("num_workers", "autoscale", "spark_conf", "custom_tags")
    if not compute.has_size and not any(policy.decides(name) for name in sizes):
        compute = replace(compute, single_node=True)
    settings = _settings(workspace, identity, wheels, compute, user, policy)
    if compute.max_workers is not None:
        settings["autoscale"] = {"min_workers": 1, "max_workers": compute.max_workers}
    if not policy.decides("autotermination_minutes"):
        settings.setdefault("autotermination_minutes", IDLE_MINUTES)
    name = name_for(job_name, compatibility.python_of(settings["spark_version"]))
    return NewCluster(name, {"cluster_name": name, **settings})


def per_run_cluster(
    workspace: Workspace, identity: str, wheels: Sequence[Wheel], compute: Compute, user: str
) -> PerRunCluster:
    """Return the single-node cluster that each run gets. Raises Refused as `new_cluster` does."""
    policy = _policy(workspace, compute)
    return PerRunCluster(_settings(workspace, identity, wheels, compute, user, policy))


def check_available(
    workspace: Workspace, compute: Compute, runtime: str, node_type: str | None
) -> None:
    """Raise Refused if the requested runtime or node type does not exist in the workspace.

    `runtime` and `node_type` are the cluster's present ones, which are not checked again.
    """
    if compute.runtime not in (None, runtime):
        _check_runtime(_runtimes(workspace), str(compute.runtime))
    if compute.node_type not in (None, node_type):
        _node_type(workspace, compute, ClusterPolicy())


def name_for(job_name: str, python: compatibility.Python) -> str:
    """Return the name of the cluster that is created for a job."""
    return f"lakeflow-{job_name}-py{python[0]}.{python[1]}"


def node_types(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the node types that the workspace can start (Clusters API, list-node-types).

    The API also lists those that its region or subscription lacks (`node_info.status`). Raises
    ServerlessOnly if it lists none.
    """
    found = workspace.get(f"{_API}/list-node-types").get("node_types", [])
    if not found:
        raise ServerlessOnly
    return [node for node in found if not _UNAVAILABLE & _statuses(node)]


_UNAVAILABLE = {"NotAvailableInRegion", "NotEnabledOnSubscription"}


def _statuses(node: Mapping[str, Any]) -> set[str]:
    return {str(status) for status in (node.get("node_info") or {}).get("status") or []}


def choose_node_type(available: Sequence[Mapping[str, Any]]) -> str:
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
    for node in node_types(workspace):
        if node["node_type_id"] == node_type:
            return max(1, int(float(node["num_cores"])))
    return 4


def _settings(
    workspace: Workspace,
    identity: str,
    wheels: Sequence[Wheel],
    compute: Compute,
    user: str,
    policy: ClusterPolicy,
) -> dict[str, Any]:
    """Return a cluster's settings without its name, and without its size if that is variable.

    A pool determines node type, disks and the cloud's attributes: they must not be sent with one.
    """
    pythons = compatibility.pythons_of(wheels)
    pooled = bool(compute.pool) or policy.value("instance_pool_id") is not None
    node = None if pooled else _node_type(workspace, compute, policy)
    settings = cluster_settings(compute, workspace.host)
    if node is not None:
        name = str(node["node_type_id"])
        settings = cluster_settings(compute, workspace.host, name) | {"node_type_id": name}
        if not compute.spot and not any(policy.restricts(each) for each in CLOUD_ATTRIBUTES):
            settings |= availability(workspace.host, name, spot=False)
    if compute.policy:
        settings["apply_policy_default_values"] = True
    available = [
        entry for entry in _runtimes(workspace) if policy.allows("spark_version", entry["key"])
    ]
    if compute.runtime is None:
        gpu = bool(node and node.get("num_gpus"))
        preferred = [r for r in available if r["key"] == policy.value("spark_version")]
        settings["spark_version"] = compatibility.choose_runtime(
            preferred or available, pythons, gpu=gpu
        )
    else:
        _check_runtime(available, compute.runtime)
        compatibility.check_runtime(compute.runtime, pythons, "the new cluster")
    node_type = str(settings.get("node_type_id", ""))
    compatibility.check_machine(wheels, settings["spark_version"], node_type, "the new cluster")
    access = {"data_security_mode": "SINGLE_USER", "single_user_name": user}
    return {
        **settings,
        **({} if policy.is_known and policy.decides("data_security_mode") else access),
        "custom_tags": {**settings.get("custom_tags", {}), IDENTITY_TAG: identity},
    }


def _runtimes(workspace: Workspace) -> list[dict[str, str]]:
    """Return the runtimes of the workspace (Clusters API, spark-versions)."""
    return list(workspace.get(f"{_API}/spark-versions").get("versions", []))


def _check_runtime(available: Sequence[Mapping[str, str]], runtime: str) -> None:
    keys = sorted(entry["key"] for entry in available)
    if runtime not in keys:
        raise Refused(f"--runtime {runtime}: not in this workspace, which has {', '.join(keys)}")


def _policy(workspace: Workspace, compute: Compute) -> ClusterPolicy:
    """Return the requested policy; without one, a policy without rules."""
    if compute.policy is None:
        return ClusterPolicy()
    return cluster_policies.get(workspace, compute.policy)


def _node_type(workspace: Workspace, compute: Compute, policy: ClusterPolicy) -> Mapping[str, Any]:
    """Return the node type to use. Raises Refused if workspace or policy does not have it."""
    available = [
        node
        for node in node_types(workspace)
        if policy.allows("node_type_id", str(node["node_type_id"]))
    ]
    preferred = policy.value("node_type_id")
    chosen = compute.node_type or preferred or choose_node_type(available)
    for node in available:
        if node["node_type_id"] == chosen:
            return node
    names = sorted(str(node["node_type_id"]) for node in available)
    raise Refused(f"--node-type {chosen}: not in this workspace, which has {', '.join(names)}")
