"""Wheels installed on a cluster (Libraries API)."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from lakeflow.client.workspace import Workspace
from lakeflow.resources import clusters
from lakeflow.resources.clusters import Cluster


def conflicting_wheels(
    workspace: Workspace, cluster: Cluster, paths: Sequence[str]
) -> tuple[str, ...]:
    """Return the paths of wheels that a running cluster has installed over those of `paths`.

    A wheel that was installed before is not installed again, although another version was
    installed over it: only detaching the other version and a restart bring it back. The Libraries
    API lists libraries in the order in which they were added (cluster-status).
    """
    if not cluster.is_up:
        return ()
    status = workspace.get("/api/2.0/libraries/cluster-status", cluster_id=cluster.id)
    attached = [str(s["library"].get("whl", "")) for s in status.get("library_statuses", [])]
    found: list[str] = []
    for path in paths:
        name = _distribution_of(path)
        versions = [other for other in attached if _distribution_of(other) == name]
        if path in versions and versions[-1] != path:
            found += [other for other in versions if other != path]
    return tuple(found)


def detach_and_restart(workspace: Workspace, cluster: Cluster, paths: Sequence[str]) -> None:
    """Detach wheels and restart a running cluster, which cancels its running work."""
    cluster = clusters.wait_until_settled(workspace, cluster)
    detach(workspace, cluster, paths)
    clusters.restart(workspace, cluster)


def other_versions(workspace: Workspace, cluster: Cluster, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of wheels from the same store that `paths` have superseded on a cluster.

    They stay attached, and are installed again whenever the cluster starts.
    """
    status = workspace.get("/api/2.0/libraries/cluster-status", cluster_id=cluster.id)
    attached = [
        str(entry["library"].get("whl", ""))
        for entry in status.get("library_statuses", [])
        if entry.get("status") != "UNINSTALL_ON_RESTART"
    ]
    current = {_folder_of(path) for path in paths}
    return tuple(p for p in attached if p not in paths and _folder_of(p) in current)


def detach(workspace: Workspace, cluster: Cluster, paths: Sequence[str]) -> None:
    """Detach wheels from a cluster; one that is up keeps them until it restarts."""
    body = {"cluster_id": cluster.id, "libraries": [{"whl": path} for path in paths]}
    workspace.post("/api/2.0/libraries/uninstall", body, repeatable=True)


def distribution_names(paths: Sequence[str]) -> str:
    """Return the distributions of wheels, each once, separated by commas."""
    return ", ".join(dict.fromkeys(_distribution_of(path) for path in paths))


def _distribution_of(path: str) -> str:
    return posixpath.basename(path).partition("-")[0]


def _folder_of(path: str) -> str:
    """Return the store's folder of a distribution: `<root>/artifacts/<name>/<version>/<file>`."""
    return posixpath.dirname(posixpath.dirname(path))
