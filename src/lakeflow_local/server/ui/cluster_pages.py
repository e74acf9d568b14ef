"""The list of clusters, and a cluster with its events."""

from __future__ import annotations

from starlette.responses import Response

from lakeflow_local.server.ui.page_request import PageRequest
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.database import now
from lakeflow_local.storage.task_run_repository import ActiveTask

SHOWN_EVENTS = 50


def show_clusters(page: PageRequest) -> Response:
    """Show the clusters with the runs that are active on them."""
    clusters = page.call_api("GET", "/api/2.1/clusters/list")["clusters"]
    tasks = _active_tasks(page.workspace)
    rows = [(cluster, tasks.get(cluster["cluster_id"], [])) for cluster in clusters]
    return page.render("clusters.html", rows=rows, now=now())


def show_cluster(page: PageRequest) -> Response:
    """Show a cluster: its settings, active runs, libraries and latest events."""
    cluster_id = page.request.path_params["cluster"]
    cluster = page.call_api("GET", "/api/2.1/clusters/get", cluster_id=cluster_id)
    return page.render(
        "cluster.html",
        cluster=cluster,
        tasks=_active_tasks(page.workspace).get(cluster_id, []),
        libraries=page.workspace.clusters.libraries.all(cluster_id),
        events=page.workspace.storage.clusters.events(cluster_id)[: -SHOWN_EVENTS - 1 : -1],
        now=now(),
    )


def _active_tasks(workspace: Workspace) -> dict[str, list[ActiveTask]]:
    """Return the active tasks of each cluster."""
    found: dict[str, list[ActiveTask]] = {}
    for task in workspace.storage.task_runs.active_with_jobs():
        found.setdefault(task.cluster_id, []).append(task)
    return found
