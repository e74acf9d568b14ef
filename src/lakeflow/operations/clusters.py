"""Clusters that several jobs share: plan one, create or change it, start it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from lakeflow.errors import UsageError
from lakeflow.operations import compute
from lakeflow.operations.changes import Change, Plan
from lakeflow.operations.compute import ComputePlan
from lakeflow.operations.session import Session
from lakeflow.resources import cluster_settings, clusters, jobs
from lakeflow.resources.clusters import Cluster
from lakeflow.specs.compute import Compute, ExistingCluster

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClusterPlan(Plan):
    """What creating a shared cluster does."""

    compute: ComputePlan

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes."""
        return self.compute.changes


def plan(session: Session, name: str | None, requested: Compute) -> ClusterPlan:
    """Compare the user's cluster of this name with what is requested. Changes nothing.

    Raises Refused for what the workspace does not have, and UsageError for options that contradict
    each other.
    """
    if requested.kind not in (None, "cluster") or requested.cluster_id is not None:
        raise UsageError("a new cluster takes neither --compute nor --cluster-id")
    requested.check()
    workspace = session.workspace
    name = name or f"lakeflow-{workspace.me.partition('@')[0]}"
    identity = jobs.identity_of("cluster", name, workspace.me)
    found = clusters.find_by_identity(workspace, name, identity)
    if found is not None:
        planned = ComputePlan(
            ExistingCluster(found.id, found.name, found.driver_type),
            identity,
            found,
            is_own=True,
            start=True,
            updates=clusters.differences(workspace, found, requested, workspace.me),
        )
    else:
        new = cluster_settings.new_cluster(workspace, name, identity, (), requested, workspace.me)
        new = replace(new, name=name, settings={**new.settings, "cluster_name": name})
        planned = ComputePlan(new, identity, is_own=True, start=True)
    return ClusterPlan(workspace.host, planned)


def apply(session: Session, plan: ClusterPlan) -> Cluster:
    """Create, change or start the cluster as planned; return it, perhaps not up yet."""
    session.check_workspace(plan.workspace)
    cluster = compute.ensure(session, plan.compute).cluster
    assert cluster is not None
    return cluster


def ensure_running(session: Session, cluster_id: str) -> Cluster:
    """Start a cluster unless it is up, and wait until it is RUNNING.

    Raises UsageError if not found, and LakeflowError if it terminates instead.
    """
    workspace = session.workspace
    cluster = clusters.get(workspace, cluster_id)
    if cluster is None:
        raise UsageError(f"cluster {cluster_id!r} not found in {workspace.host}")
    if clusters.start(workspace, cluster):
        _log.info(f"cluster {cluster.name} ({cluster.id}): starting")
    return clusters.wait_until_running(workspace, cluster_id)
