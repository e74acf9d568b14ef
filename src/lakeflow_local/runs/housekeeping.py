"""Housekeeping: recovery after a crash, idle clusters, old runs and unused environments."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from lakeflow_local.compute import processes
from lakeflow_local.compute.clusters import Clusters
from lakeflow_local.compute.placement import Placement
from lakeflow_local.runs import lifecycle, retention
from lakeflow_local.runs.run_folders import RunFolders
from lakeflow_local.runs.scheduler import Scheduler
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.database import now
from lakeflow_local.storage.repositories import Storage

log = logging.getLogger(__name__)

CHECK_SECONDS = 30.0


class Housekeeping:
    """Recovers the workspace when the server starts, and cleans up every 30 seconds."""

    def __init__(
        self,
        storage: Storage,
        scheduler: Scheduler,
        placement: Placement,
        clusters: Clusters,
        folders: RunFolders,
        cluster_folder: Path,
    ) -> None:
        self._storage = storage
        self._scheduler = scheduler
        self._placement = placement
        self._clusters = clusters
        self._folders = folders
        self._cluster_folder = cluster_folder
        self._stopping = threading.Event()

    def start(self) -> None:
        """Recover, then clean up in the background until `stop`."""
        self._recover()
        threading.Thread(target=self._work, name="housekeeping", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _recover(self) -> None:
        """Finish the tasks that an earlier server left running, and start its clusters again."""
        interrupted = self._storage.task_runs.active()
        for task in interrupted:  # processes that left their group were killed by their marker
            processes.kill_group(task.pid or 0, task.pid_started)
        with self._storage.transaction():
            for task in interrupted:
                lifecycle.finish_task(self._storage, task, outcomes.INTERRUPTED, now())
        self._placement.release()
        self._remove_unused_environments()
        retention.remove_strays(self._storage, self._folders.root, self._cluster_folder)
        self._clusters.recover()

    def _work(self) -> None:
        while True:
            try:
                self._terminate_idle_clusters()
                self._scheduler.wake()  # timers do not count the time that a machine sleeps
                retention.remove_old_runs(self._storage, self._folders)
                self._remove_unused_environments()
            except Exception:  # such as a full disk; one failure must not end housekeeping
                log.exception("idle clusters and old runs could not be removed yet")
            if self._stopping.wait(CHECK_SECONDS):
                return

    def _remove_unused_environments(self) -> None:
        self._scheduler.run_while_idle(self._clusters.remove_unused_environments)

    def _terminate_idle_clusters(self) -> None:
        for cluster in self._clusters.all():
            minutes = cluster.spec.get("autotermination_minutes", 0)
            if (
                cluster.state == "RUNNING"
                and minutes
                and now() - cluster.active > minutes * 60_000
                and not self._storage.task_runs.active_on(cluster.cluster_id)
            ):
                reason = {"inactivity_duration_min": str(minutes)}
                self._clusters.terminate(cluster.cluster_id, "INACTIVITY", reason)
