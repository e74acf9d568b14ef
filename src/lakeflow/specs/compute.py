"""What a user may say of where runs compute, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lakeflow.errors import UsageError

KINDS = ("cluster", "per-run", "serverless")
_SIZES = {"max_workers": "--max-workers", "workers": "--workers", "single_node": "--single-node"}
_OPTIONS = {"kind": "--compute", "init_scripts": "--init-script"}


@dataclass(frozen=True)
class Compute:
    """Where runs compute: `kind` is `cluster` (one all-purpose cluster, made for the job or named
    by `cluster_id`), `per-run` (a single-node cluster for each run) or `serverless`.

    `workers` is a fixed number of them, `max_workers` the most that autoscaling may have. What is
    None or empty is lakeflow's choice.
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
        """Raises UsageError for options that contradict each other."""
        if self.kind not in KINDS:
            raise UsageError(f"--compute {self.kind!r}: it can be {', '.join(KINDS)}")
        given = [name for name in self._given() if name not in ("kind", "cluster_id")]
        words = ", ".join(_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in given)
        if self.cluster_id is not None and self.kind != "cluster":
            raise UsageError(f"--cluster-id names a cluster: not with --compute {self.kind}")
        if self.cluster_id is not None and given:
            raise UsageError(f"{words}: for a cluster of the job's own, not with --cluster-id")
        if self.kind == "serverless" and given:
            raise UsageError(f"{words}: for clusters, not with --compute serverless")
        sizes = [_SIZES[name] for name in given if name in _SIZES]
        if self.kind == "per-run" and sizes:
            raise UsageError(f"{', '.join(sizes)}: with --compute per-run each run has one node")
        if len(sizes) > 1:
            raise UsageError(f"{' and '.join(sizes)} contradict each other: say one of them")
        if self.pool and self.node_type:
            raise UsageError("--node-type is the pool's own with --pool: say one of them")
        for script in self.init_scripts:
            if not script.startswith(("/Workspace/", "/Volumes/")):
                raise UsageError(
                    f"--init-script {script!r}: it has to lie under /Workspace or on a volume"
                )

    def _given(self) -> list[str]:
        defaults = Compute()
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(defaults, f.name)]


def settings_of(compute: Compute, host: str) -> dict[str, Any]:
    """What the Clusters API is told of the options that were given, sizes included."""
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
        found["init_scripts"] = [_script(path) for path in compute.init_scripts]
    if compute.spot:
        found |= _spot(host)
    return found


SPOT_ATTRIBUTES = ("aws_attributes", "azure_attributes", "gcp_attributes")
"""Where each cloud's API has what is said of spot machines."""


def _script(path: str) -> dict[str, Any]:
    kind = "volumes" if path.startswith("/Volumes/") else "workspace"
    return {kind: {"destination": path}}


def _spot(host: str) -> dict[str, Any]:
    """Spot machines where there are any, the driver never one (Clusters API, *_attributes)."""
    if "azuredatabricks" in host:
        availability = {"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1}
        return {"azure_attributes": availability}
    if "gcp.databricks" in host:
        availability = {"availability": "PREEMPTIBLE_WITH_FALLBACK_GCP", "first_on_demand": 1}
        return {"gcp_attributes": availability}
    return {"aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1}}
