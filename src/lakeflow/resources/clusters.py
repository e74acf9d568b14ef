"""All-purpose clusters, found by id or by tag: start, change, restart, create.

Each job has a separate cluster unless the user names one, so that jobs do not share installed
libraries. Python wheel tasks run on the driver; workers serve Spark.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.client.http_errors import ApiError, ReplyLost
from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, Refused
from lakeflow.resources import field_diff
from lakeflow.resources.cluster_settings import check_available, name_for
from lakeflow.resources.field_diff import FieldChanges
from lakeflow.resources.jobs import Job
from lakeflow.resources.node_types import ServerlessOnly
from lakeflow.specs.compute import (
    CLOUD_ATTRIBUTES,
    SINGLE_NODE_CONF,
    SINGLE_NODE_TAGS,
    Compute,
    NewCluster,
    cluster_settings,
)
from lakeflow.specs.job import IDENTITY_TAG
from lakeflow.wheels import compatibility
from lakeflow.wheels.wheel import Wheel

_API = "/api/2.1/clusters"
_UP = ("RUNNING", "RESIZING", "PENDING", "RESTARTING")
_POLL_SECONDS = 2.0


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
    def is_up(self) -> bool:
        """Whether it is running, or about to."""
        return self.state in _UP

    @property
    def dedicated_to(self) -> str | None:
        """The only principal who may use it (access mode `SINGLE_USER`); None if many may."""
        if self.settings.get("data_security_mode") != "SINGLE_USER":
            return None
        return self.settings.get("single_user_name")


def get(workspace: Workspace, cluster_id: str) -> Cluster | None:
    """Return the cluster with this id; None if not found."""
    try:
        return _parse(workspace.get(f"{_API}/get", cluster_id=cluster_id))
    except ApiError as error:
        if error.missing or error.code == "INVALID_STATE":  # permanently deleted long ago
            return None
        raise


def list_all(workspace: Workspace) -> list[Cluster]:
    """Return the visible all-purpose clusters."""
    return [_parse(raw) for raw in workspace.pages(f"{_API}/list", "clusters", page_size=100)]


def get_compatible(
    workspace: Workspace, cluster_id: str, wheels: Sequence[Wheel], run_as: str
) -> Cluster:
    """Return the cluster that the user named.

    Raises Refused if it is not found, incompatible with the wheels, or dedicated to a principal
    other than `run_as`.
    """
    cluster = get(workspace, cluster_id)
    if cluster is None:
        raise Refused(
            f"cluster {cluster_id!r} not found in {workspace.host}\n"
            "hint: without --cluster-id lakeflow creates a cluster."
        )
    what = f"cluster {cluster_id}"
    compatibility.check_runtime(cluster.runtime, compatibility.pythons_of(wheels), what)
    compatibility.check_machine(wheels, cluster.runtime, cluster.driver_type, what)
    owner = cluster.dedicated_to
    if owner is not None and "@" in owner and owner != run_as:  # others are groups
        raise Refused(
            f"{what} is dedicated to {owner}; the job is to run as {run_as}, who cannot use it.\n"
            "hint: without --cluster-id lakeflow creates a cluster."
        )
    return cluster


def find_for_job(
    workspace: Workspace,
    job_name: str,
    identity: str,
    pythons: Sequence[compatibility.Python],
    known_id: str | None,
) -> Cluster | None:
    """Return the cluster created for a job if it runs one of `pythons`; None if not found.

    `known_id` is the job's present cluster, which is looked up first.
    """

    def matches(cluster: Cluster) -> bool:
        python = compatibility.runtime_python(cluster.runtime)
        return (
            cluster.tags.get(IDENTITY_TAG) == identity
            and python is not None
            and python in pythons
            and cluster.name == name_for(job_name, python)
        )

    if known_id is not None:
        known = get(workspace, known_id)
        if known is not None and matches(known):
            return known
    matching = [cluster for cluster in list_all(workspace) if matches(cluster)]
    return min(matching, key=lambda c: (not c.is_up, *_age(c)), default=None)


def find_by_identity(workspace: Workspace, name: str, identity: str) -> Cluster | None:
    """Return the cluster with this name and identity; None if not found."""
    found = _with_identity(workspace, name, identity)
    return min(found, key=lambda c: not c.is_up, default=None)


def belongs_to_others(workspace: Workspace, cluster_id: str, identity: str) -> bool:
    """Return whether a cluster exists and was not created for this identity."""
    cluster = get(workspace, cluster_id)
    return cluster is not None and cluster.tags.get(IDENTITY_TAG) != identity


def check_exists(workspace: Workspace, job: Job) -> None:
    """Raise Refused if the all-purpose cluster of a job was deleted: its runs would fail."""
    if job.cluster_id is None:
        return
    try:
        if get(workspace, job.cluster_id) is not None:
            return
    except ApiError as error:
        if error.code == "PERMISSION_DENIED":  # only the run-as principal needs access
            return
        raise
    raise Refused(
        f"the cluster {job.cluster_id} of job {job.name} ({job.id}) no longer exists. Databricks "
        "deletes clusters 30 days after they terminated, unless they are pinned.\n"
        "hint: deploy the job again, which creates a cluster; --compute per-run needs none."
    )


def wait_until_running(workspace: Workspace, cluster_id: str) -> Cluster:
    """Return the cluster once it is RUNNING. Raises LakeflowError if it terminates instead."""
    while True:
        cluster = get(workspace, cluster_id)
        if cluster is not None and cluster.state in ("RUNNING", "RESIZING"):
            return cluster
        if cluster is None or cluster.state in ("TERMINATED", "ERROR", "UNKNOWN"):
            why = "" if cluster is None else str(cluster.settings.get("state_message", ""))
            raise LakeflowError(f"cluster {cluster_id} did not start. {why}".rstrip())
        time.sleep(_POLL_SECONDS)


def wait_until_settled(workspace: Workspace, cluster: Cluster) -> Cluster:
    """Return the cluster once it is neither starting, resizing nor terminating."""
    while cluster.state in ("PENDING", "RESTARTING", "RESIZING", "TERMINATING"):
        time.sleep(_POLL_SECONDS)
        now = get(workspace, cluster.id)
        if now is None:
            raise LakeflowError(
                f"cluster {cluster.name} ({cluster.id}) was deleted while lakeflow waited for it.\n"
                "hint: run the command again."
            )
        cluster = now
    return cluster


def differences(
    workspace: Workspace, cluster: Cluster, compute: Compute, run_as: str | None
) -> dict[str, tuple[object, object]]:
    """Return the settings in which a cluster differs from what is requested: old and new value.

    Settings that are not requested stay, and so does its user without `run_as`.

    Raises Refused for what the workspace does not have, and for a cluster that is up if more than
    its largest size is to change: that would cancel its running work.
    """
    check_available(workspace, compute, cluster.runtime, cluster.settings.get("node_type_id"))
    requested = cluster_settings(compute, workspace.host, cluster.driver_type)
    if compute.max_workers is not None and compute.max_workers != cluster.max_workers:
        requested["autoscale"] = {"min_workers": 1, "max_workers": compute.max_workers}
    if cluster.dedicated_to is not None and run_as is not None:
        requested["single_user_name"] = run_as
    found = {
        name: (cluster.settings.get(name), value)
        for name, value in requested.items()
        if not _contains(cluster.settings.get(name), value)
    }
    resized = found.keys() <= {"autoscale"} and not _is_single_node(cluster.settings)
    if not found or resized or cluster.state in ("TERMINATED", "TERMINATING"):
        return found
    raise Refused(
        f"cluster {cluster.name} ({cluster.id}) has other settings than requested:\n"
        + "\n".join(f"  {line}" for line in field_diff.render(changed_fields(found)))
        + f"\nIt is {cluster.state}; changing them would cancel its running work.\n"
        "hint: terminate it in the workspace and repeat the command, or leave out these options."
    )


def changed_fields(changes: FieldChanges) -> FieldChanges:
    """Return the single fields that change; members of objects that are not named stay."""
    found: dict[str, tuple[object, object]] = {}
    for name, (old, new) in changes.items():
        present = _mapping(old)
        if isinstance(new, Mapping):
            old = {member: present[member] for member in new if member in present}
        found |= field_diff.diff({} if old is None else {name: old}, {name: new})
    return found


def update(workspace: Workspace, cluster: Cluster, changes: FieldChanges) -> None:
    """Change settings of a cluster; one that is up is only resized (see `differences`)."""
    requested = {name: value for name, (_, value) in changes.items()}
    cluster = wait_until_settled(workspace, cluster)
    if cluster.state == "RUNNING" and requested.keys() == {"autoscale"}:
        workspace.post(f"{_API}/resize", {"cluster_id": cluster.id, **requested}, repeatable=True)
        return
    settings = {k: v for k, v in cluster.settings.items() if k in _EDITABLE}
    if "instance_pool_id" in {**settings, **requested}:  # the pool determines them
        for other in ("node_type_id", "driver_node_type_id", "enable_elastic_disk"):
            settings.pop(other, None)
        for other in CLOUD_ATTRIBUTES:
            settings.pop(other, None)
    if "node_type_id" in requested:
        for other in ("driver_node_type_id", "instance_pool_id", "driver_instance_pool_id"):
            settings.pop(other, None)
    if "num_workers" not in requested and "autoscale" not in requested:
        settings |= {k: v for k, v in cluster.settings.items() if k in ("autoscale", "num_workers")}
        if settings.get("autoscale"):  # read with the present number of workers
            settings.pop("num_workers", None)
    if requested.get("num_workers") or "autoscale" in requested:  # it has workers now
        for name, members in (("spark_conf", SINGLE_NODE_CONF), ("custom_tags", SINGLE_NODE_TAGS)):
            present = _mapping(settings.get(name))
            settings[name] = {k: v for k, v in present.items() if members.get(k) != v}
    if "policy_id" in requested:
        requested["apply_policy_default_values"] = True
    for name in ("custom_tags", "spark_conf", "spark_env_vars"):
        if name in requested:
            requested[name] = {**(settings.get(name) or {}), **_mapping(requested[name])}
    workspace.post(f"{_API}/edit", {**settings, **requested}, repeatable=True)


def create(workspace: Workspace, new: NewCluster, identity: str) -> tuple[Cluster, bool]:
    """Create the cluster, once; return it, and whether this call has created it.

    After a lost reply the cluster is looked up before it is created again. If several deploys
    create the cluster at the same time, the first one stays and the other deploys delete theirs.
    A cluster whose runtime somebody changed to another Python since does not count.

    Raises ServerlessOnly in a workspace without classic compute.
    """
    python = compatibility.runtime_python(new.settings["spark_version"])

    def duplicates() -> list[Cluster]:
        found = _with_identity(workspace, new.name, identity)
        return [c for c in found if compatibility.runtime_python(c.runtime) == python]

    try:
        reply = workspace.post(f"{_API}/create", new.settings, repeatable=False)
    except ReplyLost:
        found = duplicates()
        if found:
            return found[0], True
        reply = workspace.post(f"{_API}/create", new.settings, repeatable=False)
    except ApiError as error:
        if "Only serverless compute is supported" in str(error):
            raise ServerlessOnly from error
        raise
    own = _parse({**new.settings, "cluster_id": reply["cluster_id"], "state": "PENDING"})
    first, *_ = [*duplicates(), own]
    if first.id != own.id:
        body = {"cluster_id": own.id}
        workspace.post(f"{_API}/permanent-delete", body, repeatable=True)
    return first, first.id == own.id


def terminate(workspace: Workspace, cluster: Cluster) -> None:
    """Terminate a cluster, which can be started again."""
    workspace.post(f"{_API}/delete", {"cluster_id": cluster.id}, repeatable=True)


def _with_identity(workspace: Workspace, name: str, identity: str) -> list[Cluster]:
    """Return the clusters with this name and identity, oldest first."""
    found = list_all(workspace)
    ours = [c for c in found if c.name == name and c.tags.get(IDENTITY_TAG) == identity]
    return sorted(ours, key=_age)


def _age(cluster: Cluster) -> tuple[int, str]:
    """Return a sort key: oldest first."""
    return int(cluster.settings.get("start_time") or 0), cluster.id


def start(workspace: Workspace, cluster: Cluster) -> bool:
    """Start a terminated or terminating cluster, without waiting until it is up.

    Returns whether it had to be started.
    """
    if cluster.is_up:
        return False
    if cluster.state == "TERMINATING":
        cluster = wait_until_settled(workspace, cluster)
    try:
        workspace.post(f"{_API}/start", {"cluster_id": cluster.id}, repeatable=True)
    except ApiError:
        now = get(workspace, cluster.id)
        if now is None or not now.is_up:  # otherwise somebody else has started it
            raise
    return True


def restart(workspace: Workspace, cluster: Cluster) -> None:
    """Restart a running cluster, which cancels its running work."""
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


def _contains(existing: Any, requested: Any) -> bool:
    """Return whether a setting as read has the requested value, and perhaps more."""
    if isinstance(requested, Mapping):
        return isinstance(existing, Mapping) and all(
            existing.get(k) == v for k, v in requested.items()
        )
    return bool(existing == requested)


def _is_single_node(settings: Mapping[str, Any]) -> bool:
    conf = _mapping(settings.get("spark_conf"))
    return SINGLE_NODE_CONF.items() <= conf.items()


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def _parse(raw: Mapping[str, Any]) -> Cluster:
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
