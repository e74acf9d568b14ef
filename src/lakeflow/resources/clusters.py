"""All-purpose clusters: found by id or by tag, started, resized, or made.

A job has a cluster of its own unless one is named, so that jobs do not share installed libraries.
Python wheel tasks run on the driver; the workers that `--max-workers` bounds serve Spark.
"""

from __future__ import annotations

import json
import posixpath
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import ApiError, ReplyLost, Workspace
from lakeflow.errors import LakeflowError, Refused
from lakeflow.resources.cluster_settings import NewCluster, check_offered, name_for
from lakeflow.specs.compute import Compute, settings_of
from lakeflow.specs.job import IDENTITY_TAG
from lakeflow.wheels import compatibility
from lakeflow.wheels.wheel import Wheel

_API = "/api/2.1/clusters"
_UP = ("RUNNING", "RESIZING", "PENDING", "RESTARTING")
_POLL_SECONDS = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """A cluster as the workspace describes it. `settings` is the whole description."""

    id: str
    name: str
    state: str
    runtime: str
    driver_type: str
    max_workers: int | None
    tags: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def dedicated_to(self) -> str | None:
        """The only user who may compute there (access mode `SINGLE_USER`); None where many may."""
        if self.settings.get("data_security_mode") != "SINGLE_USER":
            return None
        return self.settings.get("single_user_name")


def get(workspace: Workspace, cluster_id: str) -> Cluster | None:
    """The cluster with this id; None where there is none."""
    try:
        return _read(workspace.get(f"{_API}/get", cluster_id=cluster_id))
    except ApiError as error:
        if error.missing or error.code == "INVALID_STATE":  # permanently deleted long ago
            return None
        raise


def named(workspace: Workspace, cluster_id: str, wheels: Sequence[Wheel], runner: str) -> Cluster:
    """The cluster that the user named.

    Raises Refused where it is missing, the wheels don't fit it or it is dedicated to another user.
    """
    cluster = get(workspace, cluster_id)
    if cluster is None:
        raise Refused(
            f"there is no cluster {cluster_id!r} in {workspace.host}. Leave out --cluster-id to "
            "have one made."
        )
    what = f"the cluster {cluster_id}"
    compatibility.check_runtime(cluster.runtime, compatibility.pythons_of(wheels), what)
    compatibility.check_machine(wheels, cluster.runtime, cluster.driver_type, what)
    owner = cluster.dedicated_to
    if owner is not None and "@" in owner and owner != runner:  # else a group's
        raise Refused(
            f"{what} is dedicated to {owner}, and the job is to run as {runner}, who cannot use "
            "it. Leave out --cluster-id to have one made."
        )
    return cluster


def find(
    workspace: Workspace,
    job_name: str,
    identity: str,
    pythons: Sequence[compatibility.Python],
    known_id: str | None,
) -> Cluster | None:
    """The cluster that was made for the job with this name and identity, if the wheels run on it.

    `known_id` is the cluster that the job has now, which is looked at first.
    """

    def fits(cluster: Cluster) -> bool:
        python = compatibility.runtime_python(cluster.runtime)
        return (
            cluster.tags.get(IDENTITY_TAG) == identity
            and python is not None
            and python in pythons
            and cluster.name == name_for(job_name, python)
        )

    if known_id is not None:
        known = get(workspace, known_id)
        if known is not None and fits(known):
            return known
    fitting = [cluster for cluster in every(workspace) if fits(cluster)]
    return min(fitting, key=lambda c: (c.state not in _UP, *_age(c)), default=None)


def is_for(workspace: Workspace, cluster_id: str, identity: str) -> bool:
    """Whether a cluster was made for this identity, or is gone."""
    cluster = get(workspace, cluster_id)
    return cluster is None or cluster.tags.get(IDENTITY_TAG) == identity


def with_identity(workspace: Workspace, name: str, identity: str) -> Cluster | None:
    """The cluster with this name and identity; None where there is none."""
    found = _twins(workspace, name, identity)
    return min(found, key=lambda c: c.state not in _UP, default=None)


def running(workspace: Workspace, cluster_id: str) -> Cluster:
    """The cluster once it is RUNNING. Raises LakeflowError where it ends instead."""
    while True:
        cluster = get(workspace, cluster_id)
        if cluster is not None and cluster.state in ("RUNNING", "RESIZING"):
            return cluster
        if cluster is None or cluster.state in ("TERMINATED", "ERROR", "UNKNOWN"):
            why = "" if cluster is None else str(cluster.settings.get("state_message", ""))
            raise LakeflowError(f"the cluster {cluster_id} did not come up. {why}".rstrip())
        time.sleep(_POLL_SECONDS)


def changes(
    workspace: Workspace, cluster: Cluster, compute: Compute, runner: str | None
) -> dict[str, tuple[object, object]]:
    """The settings that a cluster of ours has other than was asked, as pairs: is, is to be.

    What was not asked for stays as it is, and with no `runner` who may compute there. Raises
    Refused for what the workspace does not offer, and for a cluster that is up where more is to
    change than how far it may grow: that would end what computes there.
    """
    node_type = cluster.settings.get("node_type_id")
    check_offered(workspace, compute, cluster.runtime, node_type)
    wanted = settings_of(compute, workspace.host)
    if compute.max_workers is not None and compute.max_workers != cluster.max_workers:
        wanted["autoscale"] = {"min_workers": 1, "max_workers": compute.max_workers}
    if cluster.dedicated_to is not None and runner is not None:
        wanted["single_user_name"] = runner
    there = cluster.settings
    found = {
        name: (there.get(name), value)
        for name, value in wanted.items()
        if not _holds(there.get(name), value)
    }
    if found.keys() <= {"autoscale"} or cluster.state in ("TERMINATED", "TERMINATING"):
        return found
    raise Refused(
        f"the cluster {cluster.name} ({cluster.id}) was made with other settings: "
        f"{told(found)}. It is {cluster.state}, and changing them would end what computes there. "
        "Terminate it in the workspace, then deploy again; or leave these options out."
    )


def told(changes: Mapping[str, tuple[object, object]]) -> str:
    """Changes in words."""
    return ", ".join(
        f"{name} {_plain(was)} instead of {_plain(value)}" for name, (was, value) in changes.items()
    )


def change(
    workspace: Workspace, cluster: Cluster, changes: Mapping[str, tuple[object, object]]
) -> None:
    """Give a cluster of ours other settings: it stays the same cluster.

    One that is up is only let grow further (`changes`).
    """
    wanted = {name: value for name, (_, value) in changes.items()}
    cluster = _settled(workspace, cluster)
    if cluster.state == "RUNNING" and wanted.keys() == {"autoscale"}:
        workspace.post(f"{_API}/resize", {"cluster_id": cluster.id, **wanted}, repeatable=True)
        return
    kept = {k: v for k, v in cluster.settings.items() if k in _EDITABLE}
    if "instance_pool_id" in wanted:  # the pool says which
        kept.pop("node_type_id", None)
        kept.pop("driver_node_type_id", None)
    if "node_type_id" in wanted:
        for other in ("driver_node_type_id", "instance_pool_id", "driver_instance_pool_id"):
            kept.pop(other, None)
    if "num_workers" not in wanted and "autoscale" not in wanted:
        kept |= {k: v for k, v in cluster.settings.items() if k in ("autoscale", "num_workers")}
        if kept.get("autoscale"):  # which is told beside the number there is
            kept.pop("num_workers", None)
    for name in ("custom_tags", "spark_conf", "spark_env_vars"):
        if name in wanted:
            wanted[name] = {**(kept.get(name) or {}), **_mapping(wanted[name])}
    workspace.post(f"{_API}/edit", {**kept, **wanted}, repeatable=True)


def create(workspace: Workspace, new: NewCluster, identity: str) -> Cluster:
    """Make the cluster, once.

    Where the reply was lost it is looked for before it is made again. Of the clusters that several
    deploys have made at the same time the first stays, and each of the others deletes its own. One
    that somebody gave a runtime with another Python since is none of these.
    """
    python = compatibility.runtime_python(new.settings["spark_version"])

    def twins() -> list[Cluster]:
        found = _twins(workspace, new.name, identity)
        return [c for c in found if compatibility.runtime_python(c.runtime) == python]

    try:
        reply = workspace.post(f"{_API}/create", new.settings, repeatable=False)
    except ReplyLost:
        found = twins()
        if found:
            return found[0]
        reply = workspace.post(f"{_API}/create", new.settings, repeatable=False)
    own = _read({**new.settings, "cluster_id": reply["cluster_id"], "state": "PENDING"})
    first, *_ = [*twins(), own]
    if first.id != own.id:
        body = {"cluster_id": own.id}
        workspace.post(f"{_API}/permanent-delete", body, repeatable=True)
    return first


def _twins(workspace: Workspace, name: str, identity: str) -> list[Cluster]:
    """The clusters with this name and identity, in the order in which they were made."""
    found = [c for c in every(workspace) if c.name == name and c.tags.get(IDENTITY_TAG) == identity]
    return sorted(found, key=_age)


def _age(cluster: Cluster) -> tuple[int, str]:
    """Sorts clusters by when they were made."""
    return int(cluster.settings.get("start_time") or 0), cluster.id


def start(workspace: Workspace, cluster: Cluster) -> bool:
    """Start a cluster that is TERMINATED or about to be; it need not be up yet on return.

    Returns whether there was anything to do.
    """
    if cluster.state in _UP:
        return False
    if cluster.state == "TERMINATING":
        cluster = _settled(workspace, cluster)
    try:
        workspace.post(f"{_API}/start", {"cluster_id": cluster.id}, repeatable=True)
    except ApiError:
        now = get(workspace, cluster.id)
        if now is None or now.state not in _UP:  # else somebody else started it just now
            raise
    return True


def in_the_way(workspace: Workspace, cluster: Cluster, paths: Sequence[str]) -> tuple[str, ...]:
    """The paths of wheels that a running cluster has installed over those of `paths`.

    A wheel that was installed once is not installed again by its path, although another version
    was installed over it since. Only detaching that other one and a restart bring it back.
    Libraries are listed in the order in which they were added (Libraries API, cluster-status).
    """
    if cluster.state not in _UP:
        return ()
    answer = workspace.get("/api/2.0/libraries/cluster-status", cluster_id=cluster.id)
    attached = [str(s["library"].get("whl", "")) for s in answer.get("library_statuses", [])]
    found: list[str] = []
    for path in paths:
        same = [other for other in attached if distribution_of(other) == distribution_of(path)]
        if path in same and same[-1] != path:
            found += [other for other in same if other != path]
    return tuple(found)


def distribution_of(path: str) -> str:
    """The distribution that a wheel file's name begins with."""
    return posixpath.basename(path).partition("-")[0]


def distributions_of(paths: Sequence[str]) -> str:
    """The distributions of wheels, each once, in words."""
    return ", ".join(dict.fromkeys(distribution_of(path) for path in paths))


def restart_without(workspace: Workspace, cluster: Cluster, paths: Sequence[str]) -> None:
    """Detach wheels and restart a running cluster; whatever computes on it ends."""
    cluster = _settled(workspace, cluster)
    detached = [{"whl": path} for path in paths]
    body = {"cluster_id": cluster.id, "libraries": detached}
    workspace.post("/api/2.0/libraries/uninstall", body, repeatable=True)
    workspace.post(f"{_API}/restart", {"cluster_id": cluster.id}, repeatable=True)


_EDITABLE = (
    "cluster_id",
    "cluster_name",
    "spark_version",
    "node_type_id",
    "driver_node_type_id",
    "autotermination_minutes",
    "data_security_mode",
    "single_user_name",
    "custom_tags",
    "spark_conf",
    "spark_env_vars",
    "init_scripts",
    "cluster_log_conf",
    "runtime_engine",
    "policy_id",
    "instance_pool_id",
    "driver_instance_pool_id",
    "enable_elastic_disk",
    "aws_attributes",
    "azure_attributes",
    "gcp_attributes",
)


def _holds(there: Any, wanted: Any) -> bool:
    """Whether a setting that was read says what is wanted, and perhaps more."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(there.get(k) == v for k, v in wanted.items())
    return bool(there == wanted)


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def _plain(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)


def every(workspace: Workspace) -> list[Cluster]:
    """The all-purpose clusters that can be seen."""
    return [_read(raw) for raw in workspace.pages(f"{_API}/list", "clusters", page_size=100)]


def _settled(workspace: Workspace, cluster: Cluster) -> Cluster:
    """The cluster once it is neither on its way up nor down."""
    while cluster.state in ("PENDING", "RESTARTING", "RESIZING", "TERMINATING"):
        time.sleep(_POLL_SECONDS)
        now = get(workspace, cluster.id)
        if now is None:
            raise LakeflowError(f"the cluster {cluster.id} was removed meanwhile. Try again.")
        cluster = now
    return cluster


def _read(raw: Mapping[str, Any]) -> Cluster:
    autoscale = raw.get("autoscale") or {}
    return Cluster(
        id=str(raw["cluster_id"]),
        name=str(raw.get("cluster_name", "")),
        state=str(raw.get("state", "UNKNOWN")),
        runtime=str(raw.get("spark_version", "")),
        driver_type=str(raw.get("driver_node_type_id") or raw.get("node_type_id") or ""),
        max_workers=autoscale.get("max_workers", raw.get("num_workers")),
        tags=dict(raw.get("custom_tags") or {}),
        settings=dict(raw),
    )
