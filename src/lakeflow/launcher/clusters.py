"""The Python API for clusters: `launcher.clusters`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    from lakeflow.operations.clusters import ClusterPlan
    from lakeflow.resources.clusters import Cluster
    from lakeflow.specs.compute import Compute


class Clusters(SessionGroup):
    """All-purpose clusters: `launcher.clusters`."""

    def plan(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        compute: Compute | None = None,
    ) -> ClusterPlan:
        """Compare the shared cluster of this name with what is requested.

        Raises Refused for what the workspace does not have.
        """
        from lakeflow.operations import clusters
        from lakeflow.specs.compute import Compute

        requested = (compute or Compute()).override(max_workers=max_workers)
        return clusters.plan(self._session, name, requested)

    def create(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        compute: Compute | None = None,
    ) -> Cluster:
        """Create the shared cluster of this name, or change and start it.

        Raises what `plan` and `Launcher.apply` raise.
        """
        from lakeflow.operations import clusters

        plan = self.plan(name, max_workers=max_workers, compute=compute)
        return clusters.apply(self._session, plan)

    def list(self) -> Sequence[Cluster]:
        """Return the visible all-purpose clusters, by name."""
        from lakeflow.resources import clusters

        found = clusters.list_all(self._session.workspace)
        return sorted(found, key=lambda cluster: (cluster.name.casefold(), cluster.id))

    def ensure_running(self, cluster_id: str) -> Cluster:
        """Start a cluster unless it is running, and wait until it is.

        Raises UsageError if not found, and LakeflowError if it terminates instead.
        """
        from lakeflow.operations import clusters

        return clusters.ensure_running(self._session, cluster_id)
