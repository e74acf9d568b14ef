"""What a cluster that is to be made looks like: the defaults, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.specs.compute import SPOT_ATTRIBUTES, Compute, settings_of
from lakeflow.specs.job import IDENTITY_TAG
from lakeflow.wheels import compatibility
from lakeflow.wheels.wheel import Wheel

DEFAULT_MAX_WORKERS = 1
IDLE_MINUTES = 30
"""After that long without work a cluster of ours ends itself."""

_API = "/api/2.1/clusters"


@dataclass(frozen=True)
class NewCluster:
    """What a cluster that is to be made looks like; `settings` is the body of clusters/create."""

    name: str
    settings: Mapping[str, Any]

    @property
    def driver_type(self) -> str:
        """Its driver's node type."""
        return str(self.settings["node_type_id"])


def plan_new(
    workspace: Workspace,
    job_name: str,
    identity: str,
    wheels: Sequence[Wheel],
    compute: Compute,
    runner: str,
) -> NewCluster:
    """The cluster to make for a job: newest fitting LTS runtime, smallest sensible node type.

    It is dedicated to `runner`, who the job runs as. Raises Refused where the workspace offers no
    runtime or node type that fits.
    """
    settings = _described_by(workspace, identity, wheels, compute, runner)
    if "num_workers" not in settings:
        most = compute.max_workers or DEFAULT_MAX_WORKERS
        settings["autoscale"] = {"min_workers": 1, "max_workers": most}
    name = name_for(job_name, compatibility.python_of(settings["spark_version"]))
    idle = {"cluster_name": name, "autotermination_minutes": IDLE_MINUTES}
    return NewCluster(name, {**idle, **settings})


def per_run(
    workspace: Workspace, identity: str, wheels: Sequence[Wheel], compute: Compute, runner: str
) -> dict[str, Any]:
    """The single-node cluster that each run gets (Jobs API, `new_cluster`). Raises Refused."""
    return _described_by(workspace, identity, wheels, compute, runner)


def check_offered(
    workspace: Workspace, compute: Compute, runtime: str, node_type: str | None
) -> None:
    """Raises Refused where a cluster is to have what the workspace does not offer.

    `runtime` and `node_type` are those that the cluster has now.
    """
    if compute.runtime not in (None, runtime):
        _check_runtime(_runtimes(workspace), str(compute.runtime))
    if compute.node_type not in (None, node_type):
        _node(workspace, compute)


def described(settings: Mapping[str, Any]) -> str:
    """A cluster's settings in a few words."""
    autoscale = settings.get("autoscale")
    workers = settings.get("num_workers")
    size = f"1 to {autoscale['max_workers']} workers" if autoscale else f"{workers} workers"
    machine = settings.get("node_type_id") or f"pool {settings.get('instance_pool_id')}"
    words = [settings["spark_version"], machine, size if workers != 0 else "single node"]
    if any(name in settings for name in SPOT_ATTRIBUTES):
        words.append("spot but for the driver")
    if "policy_id" in settings:
        words.append(f"policy {settings['policy_id']}")
    if "autotermination_minutes" in settings:
        words.append(f"ends after {settings['autotermination_minutes']} idle minutes")
    return ", ".join(map(str, words))


def name_for(job_name: str, python: compatibility.Python) -> str:
    """The name of the cluster that is made for a job."""
    return f"lakeflow-{job_name}-py{python[0]}.{python[1]}"


def node_types(workspace: Workspace) -> list[dict[str, Any]]:
    """The node types that the workspace offers (Clusters API, list-node-types)."""
    offered = workspace.get(f"{_API}/list-node-types").get("node_types", [])
    return [dict(node) for node in offered]


def choose_node_type(offered: Sequence[Mapping[str, Any]]) -> str:
    """The smallest sensible node type: 4 cores and 8 GB or more, local disk, no GPU, not ARM.

    Raises Refused where none is like that.
    """
    sensible = [
        node
        for node in offered
        if not node.get("is_deprecated")
        and not node.get("is_hidden")
        and not node.get("is_graviton")
        and not node.get("num_gpus")
        and (node.get("node_instance_type") or {}).get("local_disks")
        and float(node["num_cores"]) >= 4
        and int(node["memory_mb"]) >= 8 * 1024
    ]
    if not sensible:
        raise Refused(
            "this workspace offers no node type with at least 4 cores, 8 GB and a local disk. "
            "Make a cluster yourself and name it with --cluster-id."
        )
    best = min(sensible, key=lambda n: (n["num_cores"], n["memory_mb"], n["node_type_id"]))
    return str(best["node_type_id"])


def cores_of(workspace: Workspace, node_type: str) -> int:
    """The cores of a node type; 4, as few as a driver has, where the workspace doesn't say."""
    for node in node_types(workspace):
        if node["node_type_id"] == node_type:
            return max(1, int(float(node["num_cores"])))
    return 4


def _described_by(
    workspace: Workspace, identity: str, wheels: Sequence[Wheel], compute: Compute, runner: str
) -> dict[str, Any]:
    """What a cluster is to be, apart from its name and its size where that may change."""
    pythons = compatibility.pythons_of(wheels)
    node = None if compute.pool else _node(workspace, compute)
    settings = settings_of(compute, workspace.host)
    if node is not None:
        settings["node_type_id"] = node["node_type_id"]
    offered = _runtimes(workspace)
    if compute.runtime is None:
        gpu = bool(node and node.get("num_gpus"))
        settings["spark_version"] = compatibility.choose_runtime(offered, pythons, gpu=gpu)
    else:
        _check_runtime(offered, compute.runtime)
        compatibility.check_runtime(compute.runtime, pythons, "the cluster to make")
    node_type = str(settings.get("node_type_id", ""))
    compatibility.check_machine(wheels, settings["spark_version"], node_type, "the cluster to make")
    return {
        **settings,
        "data_security_mode": "SINGLE_USER",
        "single_user_name": runner,
        "custom_tags": {**settings.get("custom_tags", {}), IDENTITY_TAG: identity},
    }


def _runtimes(workspace: Workspace) -> list[dict[str, str]]:
    """The runtimes that the workspace offers (Clusters API, spark-versions)."""
    offered = workspace.get(f"{_API}/spark-versions").get("versions", [])
    return [dict(entry) for entry in offered]


def _check_runtime(offered: Sequence[Mapping[str, str]], runtime: str) -> None:
    known = sorted(entry["key"] for entry in offered)
    if runtime not in known:
        raise Refused(f"--runtime {runtime}: this workspace offers {', '.join(known)}")


def _node(workspace: Workspace, compute: Compute) -> Mapping[str, Any]:
    """The node type to take. Raises Refused where the workspace does not offer it."""
    offered = node_types(workspace)
    wanted = compute.node_type or choose_node_type(offered)
    for node in offered:
        if node["node_type_id"] == wanted:
            return node
    names = sorted(str(node["node_type_id"]) for node in offered)
    raise Refused(f"--node-type {wanted}: this workspace offers {', '.join(names)}")
