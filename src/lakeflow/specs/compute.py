"""Where runs compute: what a user may request, and the kinds of compute that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lakeflow.errors import UsageError

KINDS = ("cluster", "per-run", "serverless")
_SIZES = {"max_workers": "--max-workers", "workers": "--workers", "single_node": "--single-node"}
_OPTIONS = {"kind": "--compute", "init_scripts": "--init-script"}


@dataclass(frozen=True)
class Compute:
    """Compute options as the user gives them; None and empty leave the choice to lakeflow.

    `kind` is `cluster` (one all-purpose cluster, created for the job or named by `cluster_id`),
    `per-run` (a single-node cluster for each run) or `serverless`. `workers` is a fixed number of
    workers, `max_workers` the upper limit of autoscaling.
    """

    kind: str = "cluster"
    cluster_id: str | None = None
    max_workers: int | None = None
    workers: int | None = None
    single_node: bool = False
    node_type: str | None = None
    runtime: str | None = None
    spot: bool = False
    pool: str | None = None
    policy: str | None = None
    init_scripts: tuple[str, ...] = ()
    spark_conf: Mapping[str, str] = field(default_factory=dict)
    spark_env: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        if self.kind not in KINDS:
            raise UsageError(f"--compute {self.kind!r}: choose one of {', '.join(KINDS)}")
        given = [name for name in self._given() if name not in ("kind", "cluster_id")]
        names = ", ".join(_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in given)
        if self.cluster_id is not None and self.kind != "cluster":
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
        if len(sizes) > 1:
            raise UsageError(f"{' and '.join(sizes)} contradict each other: use one of them")
        if self.pool and self.node_type:
            raise UsageError("--pool determines the node type: leave out --node-type")
        for script in self.init_scripts:
            if not script.startswith(("/Workspace/", "/Volumes/")):
                raise UsageError(
                    f"--init-script {script!r}: the script must be under /Workspace or on a volume"
                )

    def override(self, *, max_workers: int | None = None, cluster_id: str | None = None) -> Compute:
        """Return a copy with those of these options that are not None."""
        given = {"max_workers": max_workers, "cluster_id": cluster_id}
        return replace(self, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]

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

    @property
    def user(self) -> str:
        """The user or service principal that the cluster is dedicated to."""
        return str(self.settings["single_user_name"])

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
    driver_type: None = None

    def describe(self) -> str:
        """Return the environment in a few words."""
        return f"serverless (environment version {self.version})"

    def task_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what a job's task says of compute.

        Databricks' own retries are disabled: they would repeat failed runs that the user does not
        want repeated.
        """
        return {"environment_key": _ENVIRONMENT, "disable_auto_optimization": True}

    def job_fields(self, wheels: Sequence[str]) -> dict[str, Any]:
        """Return what the job itself says of compute; `wheels` are paths, leaves first."""
        spec = {"environment_version": self.version, "dependencies": list(wheels)}
        return {"environments": [{"environment_key": _ENVIRONMENT, "spec": spec}]}


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


def cluster_settings(compute: Compute, host: str) -> dict[str, Any]:
    """Return the cluster settings (Clusters API) for the options that were given."""
    found: dict[str, Any] = {}
    if compute.workers is not None:
        found["num_workers"] = compute.workers
    elif compute.single_node or compute.kind == "per-run":
        found["num_workers"] = 0
    conf = dict(compute.spark_conf)
    if found.get("num_workers") == 0:
        conf |= {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
        found["custom_tags"] = {"ResourceClass": "SingleNode"}
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
    if compute.init_scripts:
        found["init_scripts"] = [_init_script(path) for path in compute.init_scripts]
    if compute.spot:
        found |= _spot(host)
    return found


_SPOT_ATTRIBUTES = ("aws_attributes", "azure_attributes", "gcp_attributes")


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return cluster settings (Clusters API) in a few words."""
    autoscale = settings.get("autoscale")
    workers = settings.get("num_workers")
    size = f"1 to {autoscale['max_workers']} workers" if autoscale else f"{workers} workers"
    machine = settings.get("node_type_id") or f"pool {settings.get('instance_pool_id')}"
    words = [settings["spark_version"], machine, size if workers != 0 else "single node"]
    if any(name in settings for name in _SPOT_ATTRIBUTES):
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


def _spot(host: str) -> dict[str, Any]:
    """Request spot workers with an on-demand driver (Clusters API, *_attributes)."""
    if "azuredatabricks" in host:
        availability = {"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1}
        return {"azure_attributes": availability}
    if "gcp.databricks" in host:
        availability = {"availability": "PREEMPTIBLE_WITH_FALLBACK_GCP", "first_on_demand": 1}
        return {"gcp_attributes": availability}
    return {"aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1}}
