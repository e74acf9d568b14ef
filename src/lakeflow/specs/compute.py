"""Where runs compute: what a user may request, and the kinds of compute that it becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lakeflow.errors import UsageError

KINDS = ("cluster", "per-run", "serverless")
PERFORMANCE_TARGETS = ("standard", "optimized")
_SIZES = {"max_workers": "--max-workers", "workers": "--workers", "single_node": "--single-node"}
_OPTIONS = {"kind": "--compute", "init_scripts": "--init-script"}


@dataclass(frozen=True)
class Compute:
    """Compute options as the user gives them; None and empty leave the choice to lakeflow.

    `kind` is `cluster` (one all-purpose cluster, created for the job or named by `cluster_id`; the
    default), `per-run` (a single-node cluster for each run) or `serverless`. `workers` is a fixed
    number of workers, `max_workers` the upper limit of autoscaling; a cluster without either is
    single-node. `performance_target` is one of `PERFORMANCE_TARGETS`.
    """

    kind: str | None = None
    cluster_id: str | None = None
    max_workers: int | None = None
    workers: int | None = None
    single_node: bool = False
    node_type: str | None = None
    runtime: str | None = None
    spot: bool = False
    pool: str | None = None
    policy: str | None = None
    idle_minutes: int | None = None
    performance_target: str | None = None
    init_scripts: tuple[str, ...] = ()
    spark_conf: Mapping[str, str] = field(default_factory=dict)
    spark_env: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        if self.kind not in (None, *KINDS):
            raise UsageError(f"--compute {self.kind!r}: choose one of {', '.join(KINDS)}")
        given = [name for name in self._given() if name not in ("kind", "cluster_id")]
        if "performance_target" in given:
            given.remove("performance_target")
            if self.performance_target not in PERFORMANCE_TARGETS:
                raise UsageError(
                    f"--performance-target {self.performance_target!r}: choose one of "
                    f"{', '.join(PERFORMANCE_TARGETS)}"
                )
            if self.kind != "serverless":
                raise UsageError("--performance-target: only with --compute serverless")
        names = ", ".join(_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in given)
        if self.cluster_id is not None and self.kind not in (None, "cluster"):
            raise UsageError(f"--cluster-id cannot be combined with --compute {self.kind}")
        if self.cluster_id is not None and given:
            raise UsageError(
                f"{names}: only for a cluster that lakeflow creates, not with --cluster-id"
            )
        if self.kind == "serverless" and given:
            raise UsageError(f"{names}: only for clusters, not with --compute serverless")
        sizes = [_SIZES[name] for name in given if name in _SIZES]
        if self.kind == "per-run" and sizes:
            raise UsageError(
                f"{', '.join(sizes)}: with --compute per-run each run has a single-node cluster"
            )
        if self.kind == "per-run" and self.idle_minutes is not None:
            raise UsageError(
                "--idle-minutes: with --compute per-run a cluster terminates when its run ends"
            )
        if self.idle_minutes is not None and not 10 <= self.idle_minutes <= 10_000:
            raise UsageError(
                f"--idle-minutes {self.idle_minutes}: Databricks takes 10 to 10,000 minutes"
            )
        if len(sizes) > 1:
            raise UsageError(f"{' and '.join(sizes)} contradict each other: use one of them")
        if self.pool and self.node_type:
            raise UsageError("--pool determines the node type: leave out --node-type")
        if self.pool and self.spot:
            raise UsageError("--pool determines whether machines are spot: leave out --spot")
        for script in self.init_scripts:
            if not script.startswith(("/Workspace/", "/Volumes/")):
                raise UsageError(
                    f"--init-script {script!r}: the script must be under /Workspace or on a volume"
                )

    def override(self, *, max_workers: int | None = None, cluster_id: str | None = None) -> Compute:
        """Return a copy with those of these options that are not None."""
        given = {"max_workers": max_workers, "cluster_id": cluster_id}
        return replace(self, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]

    @property
    def has_size(self) -> bool:
        """Whether a number of workers is requested."""
        return self.single_node or self.workers is not None or self.max_workers is not None

    @property
    def allows_serverless(self) -> bool:
        """Whether serverless compute can replace a cluster: nothing but its size is requested."""
        return set(self._given()) <= {*_SIZES, "idle_minutes", "spot"}

    def _given(self) -> list[str]:
        defaults = Compute()
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(defaults, f.name)]


PENDING_CLUSTER_ID = "(new cluster)"
"""Stands for the id of a cluster that a plan is going to create."""

_ENVIRONMENT = "default"


@dataclass(frozen=True)
class ExistingCluster:
    """Runs share the driver of an all-purpose cluster that exists."""

    id: str
    name: str
    driver_type: str

    def describe(self) -> str:
        """Return the cluster in a few words."""
        return f"cluster {self.name} ({self.id})"

    def task_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what a job's task says of compute; `wheels` are paths, leaves first."""
        return {**_libraries(wheels), "existing_cluster_id": self.id}

    def job_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what the job itself says of compute."""
        return {}


@dataclass(frozen=True)
class NewCluster:
    """Runs share the driver of a cluster to create; `settings` is the body of clusters/create."""

    name: str
    settings: Mapping[str, Any]

    @property
    def driver_type(self) -> str:
        """The driver's node type; empty where a pool determines it."""
        return str(self.settings.get("node_type_id", ""))

    def describe(self) -> str:
        """Return the cluster in a few words."""
        return f"cluster {self.name} ({describe_settings(self.settings)})"

    def task_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what a job's task says of compute, with a placeholder for the cluster's id."""
        return {**_libraries(wheels), "existing_cluster_id": PENDING_CLUSTER_ID}

    def job_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what the job itself says of compute."""
        return {}


@dataclass(frozen=True)
class PerRunCluster:
    """Each run has a separate cluster; `settings` are those of `new_cluster` (Jobs API)."""

    settings: Mapping[str, Any]
    driver_type: None = None

    def describe(self) -> str:
        """Return the clusters in a few words."""
        return f"a cluster for each run ({describe_settings(self.settings)})"

    def task_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what a job's task says of compute; `wheels` are paths, leaves first."""
        return {**_libraries(wheels), "new_cluster": dict(self.settings)}

    def job_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what the job itself says of compute."""
        return {}


@dataclass(frozen=True)
class Serverless:
    """Runs use serverless compute with this version of its environment."""

    version: str
    performance_target: str | None = None
    driver_type: None = None

    def describe(self) -> str:
        """Return the environment in a few words."""
        target = f", {self.performance_target} performance" if self.performance_target else ""
        return f"serverless (environment version {self.version}{target})"

    def task_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what a job's task says of compute.

        Databricks' own retries are disabled: they would repeat failed runs that the user does not
        want repeated.
        """
        return {"environment_key": _ENVIRONMENT, "disable_auto_optimization": True}

    def job_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what the job itself says of compute; `wheels` are paths, leaves first."""
        spec = {"environment_version": self.version, "dependencies": list(wheels)}
        found: dict[str, Any] = {"environments": [{"environment_key": _ENVIRONMENT, "spec": spec}]}
        if self.performance_target is not None:
            found["performance_target"] = _TARGETS[self.performance_target]
        return found


_TARGETS = {"standard": "STANDARD", "optimized": "PERFORMANCE_OPTIMIZED"}


Placement = ExistingCluster | NewCluster | PerRunCluster | Serverless
"""Where the runs of a job compute."""

COMPUTE_TASK_FIELDS = (
    "libraries",
    "existing_cluster_id",
    "new_cluster",
    "job_cluster_key",
    "environment_key",
    "disable_auto_optimization",
)
"""Fields of a job's task that belong to its compute (Jobs API, tasks)."""


SINGLE_NODE_CONF = {
    "spark.databricks.cluster.profile": "singleNode",
    "spark.master": "local[*]",
}
SINGLE_NODE_TAGS = {"ResourceClass": "SingleNode"}
"""Spark properties and tags of a cluster without workers (docs: compute, single node)."""


def cluster_settings(compute: Compute, host: str, node_type: str = "") -> dict[str, Any]:
    """Return the cluster settings (Clusters API) for the options that were given.

    `node_type` is the cluster's; with the host it tells the cloud.
    """
    found: dict[str, Any] = {}
    if compute.workers is not None:
        found["num_workers"] = compute.workers
    elif compute.single_node or compute.kind == "per-run":
        found["num_workers"] = 0
    conf = dict(compute.spark_conf)
    if found.get("num_workers") == 0:
        conf |= SINGLE_NODE_CONF
        found["custom_tags"] = dict(SINGLE_NODE_TAGS)
    if conf:
        found["spark_conf"] = conf
    if compute.spark_env:
        found["spark_env_vars"] = dict(compute.spark_env)
    if compute.node_type:
        found["node_type_id"] = compute.node_type
    if compute.pool:
        found["instance_pool_id"] = compute.pool
    if compute.policy:
        found["policy_id"] = compute.policy
    if compute.runtime:
        found["spark_version"] = compute.runtime
    if compute.idle_minutes is not None:
        found["autotermination_minutes"] = compute.idle_minutes
    if compute.init_scripts:
        found["init_scripts"] = [_init_script(path) for path in compute.init_scripts]
    if compute.spot:
        found |= availability(host, compute.node_type or node_type, spot=True)
    return found


CLOUD_ATTRIBUTES = ("aws_attributes", "azure_attributes", "gcp_attributes")
"""Cluster settings that belong to one cloud; an instance pool determines them."""

_AVAILABILITY = {
    "aws_attributes": ("ON_DEMAND", "SPOT_WITH_FALLBACK"),
    "azure_attributes": ("ON_DEMAND_AZURE", "SPOT_WITH_FALLBACK_AZURE"),
    "gcp_attributes": ("ON_DEMAND_GCP", "PREEMPTIBLE_WITH_FALLBACK_GCP"),
}


def availability(host: str, node_type: str, *, spot: bool) -> dict[str, Any]:
    """Request on-demand machines, or spot workers with an on-demand driver (*_attributes).

    It has to be requested: on AWS all machines, the driver too, are spot otherwise. Custom host
    names do not tell the cloud, so the node type decides first.
    """
    if node_type.startswith("Standard_"):
        attributes = "azure_attributes"
    elif re.match(r"[a-z]\w*-(standard|high|mega|ultra)", node_type):
        attributes = "gcp_attributes"
    elif "azure" in host:
        attributes = "azure_attributes"
    elif "gcp.databricks" in host:
        attributes = "gcp_attributes"
    else:
        attributes = "aws_attributes"
    on_demand, with_fallback = _AVAILABILITY[attributes]
    if spot:
        return {attributes: {"availability": with_fallback, "first_on_demand": 1}}
    return {attributes: {"availability": on_demand}}


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return cluster settings (Clusters API) in a few words."""
    autoscale = settings.get("autoscale")
    workers = settings.get("num_workers")
    machine = settings.get("node_type_id") or f"pool {settings.get('instance_pool_id')}"
    words = [settings["spark_version"], machine]
    if autoscale:
        words.append(f"1 to {autoscale['max_workers']} workers")
    elif workers is not None:
        words.append(f"{workers} workers" if workers else "single node")
    placed = [settings[name] for name in CLOUD_ATTRIBUTES if name in settings]
    if any("ON_DEMAND" not in str(each.get("availability")) for each in placed):
        words.append("spot workers")
    if "policy_id" in settings:
        words.append(f"policy {settings['policy_id']}")
    if "autotermination_minutes" in settings:
        words.append(f"terminates after {settings['autotermination_minutes']} idle minutes")
    return ", ".join(map(str, words))


def _libraries(wheels: Sequence[str]) -> dict[str, Any]:
    return {"libraries": [{"whl": path} for path in wheels]}


def _init_script(path: str) -> dict[str, Any]:
    kind = "volumes" if path.startswith("/Volumes/") else "workspace"
    return {kind: {"destination": path}}
