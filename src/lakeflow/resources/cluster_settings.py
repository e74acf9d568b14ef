"""Settings of clusters to create: the options that were given, and defaults for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.resources import cluster_policies, node_types
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
        node_types.resolve(workspace, compute, ClusterPolicy())


def name_for(job_name: str, python: compatibility.Python) -> str:
    """Return the name of the cluster that is created for a job."""
    return f"lakeflow-{job_name}-py{python[0]}.{python[1]}"


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
    node = None if pooled else node_types.resolve(workspace, compute, policy)
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
    return list(workspace.get("/api/2.1/clusters/spark-versions").get("versions", []))


def _check_runtime(available: Sequence[Mapping[str, str]], runtime: str) -> None:
    keys = sorted(entry["key"] for entry in available)
    if runtime not in keys:
        raise Refused(f"--runtime {runtime}: not in this workspace, which has {', '.join(keys)}")


def _policy(workspace: Workspace, compute: Compute) -> ClusterPolicy:
    """Return the requested policy; without one, a policy without rules."""
    if compute.policy is None:
        return ClusterPolicy()
    return cluster_policies.get(workspace, compute.policy)
