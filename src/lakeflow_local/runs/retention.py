"""What the local workspace removes by itself, so that its folder does not grow for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

from lakeflow_local.storage.database import Database, now

KEPT_RUN_DAYS = 60
"""As on Databricks, runs go so long after their end; here with their logs."""

KEPT_RUNS = 100_000
"""Ended runs beyond the newest of them go too."""

BATCH = 1000


def remove_old_runs(store: Database, folder: Path) -> None:
    """Remove some of the runs that are too old or too many; `folder` has a folder for each run."""
    moment = now() - 86_400_000 * KEPT_RUN_DAYS
    rows = store.rows(
        "SELECT run_id FROM runs WHERE ended IS NOT NULL AND coalesce(ended, created) < ?"
        " UNION SELECT run_id FROM (SELECT run_id FROM runs WHERE ended IS NOT NULL"
        " ORDER BY coalesce(ended, created) DESC, run_id DESC LIMIT ? OFFSET ?) LIMIT ?",
        moment,
        BATCH,
        KEPT_RUNS,
        BATCH,
    )
    if not rows:
        return
    with store.transaction() as database:
        database.executemany(
            "DELETE FROM runs WHERE run_id = ?", [(row["run_id"],) for row in rows]
        )
        database.execute(
            "DELETE FROM clusters WHERE job_run_id IS NOT NULL"
            " AND job_run_id NOT IN (SELECT run_id FROM runs)"
        )
    for row in rows:
        shutil.rmtree(folder / str(row["run_id"]), ignore_errors=True)


def remove_strays(store: Database, runs: Path, clusters: Path) -> None:
    """Remove the folders of runs and clusters that a killed server had no time to remove.

    To be called before any run or cluster is made.
    """
    known = {str(row["run_id"]) for row in store.rows("SELECT run_id FROM runs")}
    known_clusters = "SELECT cluster_id FROM clusters WHERE job_run_id IS NULL"
    for parent, kept in (
        (runs, known),
        (clusters, {"serverless"} | {row["cluster_id"] for row in store.rows(known_clusters)}),
    ):
        for folder in parent.iterdir() if parent.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
