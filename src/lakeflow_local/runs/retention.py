"""Retention: removes old runs with their logs, and folders that a killed server left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from lakeflow_local.runs.run_folders import RunFolders
from lakeflow_local.storage.database import now
from lakeflow_local.storage.repositories import Storage

KEPT_RUN_DAYS = 60
"""As on Databricks, counted from when a run finished; here the logs are removed too."""

KEPT_RUNS = 100_000
"""The latest finished runs; older ones are removed earlier."""

BATCH = 1000


def remove_old_runs(storage: Storage, folders: RunFolders) -> None:
    """Remove up to 1000 of the runs that are too old or too many."""
    run_ids = storage.runs.expired(now() - 86_400_000 * KEPT_RUN_DAYS, KEPT_RUNS, BATCH)
    if not run_ids:
        return
    with storage.transaction():
        storage.runs.delete(run_ids)
        storage.clusters.delete_of_deleted_runs()
    for run_id in run_ids:
        folders.remove(run_id)


def remove_strays(storage: Storage, runs: Path, clusters: Path) -> None:
    """Remove the folders of runs and clusters that do not exist any more.

    Call it before any run or cluster is created.
    """
    kept_runs = {str(run_id) for run_id in storage.runs.ids()}
    kept_clusters = {"serverless", *storage.clusters.all_purpose_ids()}
    for parent, kept in ((runs, kept_runs), (clusters, kept_clusters)):
        for folder in parent.iterdir() if parent.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
