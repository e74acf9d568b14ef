"""Clusters and their events."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_local.storage.database import Database, now, to_json
from lakeflow_local.storage.phases import is_in, next_phase
from lakeflow_local.storage.settings import ClusterSpec


@dataclass(frozen=True)
class Cluster:
    """A cluster. `spec` is what create or edit was sent; times are ms since 1970.

    `environment` is the key of what is installed on the running driver. `active` is when the
    cluster was last used. A job cluster has the `job_run_id` of its run.
    """

    cluster_id: str
    spec: ClusterSpec
    state: str
    state_message: str
    environment: str | None
    created: int
    started: int | None
    active: int
    terminated: int | None
    termination: Mapping[str, Any] | None
    job_run_id: int | None
    pinned_by: str | None
    creator: str | None

    @property
    def source(self) -> str:
        """Return what created it: `API` or `JOB`."""
        return "API" if self.job_run_id is None else "JOB"

    @property
    def runtime_version(self) -> str:
        """Return the value of `DATABRICKS_RUNTIME_VERSION`, such as `15.4`."""
        return ".".join(self.spec["spark_version"].split(".")[:2])

    @property
    def single_user(self) -> str | None:
        """Return the name of the principal to whom the cluster is dedicated."""
        if self.spec.get("data_security_mode") == "SINGLE_USER" or "single_user_name" in self.spec:
            return self.spec.get("single_user_name") or self.creator
        return None


@dataclass(frozen=True)
class ClusterEvent:
    """`type` is the API's: CREATING, RUNNING, TERMINATING, ..."""

    at: int
    type: str
    details: Mapping[str, Any]


class ClusterRepository:
    """Tables `clusters` and `cluster_events`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, cluster_id: str, spec: ClusterSpec, state: str, creator: str) -> None:
        moment = now()
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO clusters (cluster_id, spec, state, created, started, active, creator)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                cluster_id,
                to_json(spec),
                state,
                moment,
                moment,
                moment,
                creator,
            )
            self.add_event(cluster_id, "CREATING", {"cause": "USER"})

    def set_run(
        self, cluster_id: str, job_run_id: int, key: str | None, task_run_id: int | None
    ) -> None:
        """Assign a job cluster to a run, or with `task_run_id` to one of its tasks."""
        self._database.execute(
            "UPDATE clusters SET job_run_id = ?, job_cluster_key = ?, task_run_id = ?"
            " WHERE cluster_id = ?",
            job_run_id,
            key,
            task_run_id,
            cluster_id,
        )

    def get(self, cluster_id: str) -> Cluster | None:
        row = self._database.row("SELECT * FROM clusters WHERE cluster_id = ?", cluster_id)
        return None if row is None else _cluster(row)

    def list(self, job_clusters: int) -> Sequence[Cluster]:
        """Return clusters, newest first.

        Of terminated job clusters only the `job_clusters` that were terminated last.
        """
        rows = self._database.rows(
            "SELECT * FROM clusters WHERE job_run_id IS NULL OR state != 'TERMINATED'"
            " OR cluster_id IN (SELECT cluster_id FROM clusters WHERE job_run_id IS NOT NULL"
            " ORDER BY terminated DESC LIMIT ?) ORDER BY created DESC, cluster_id",
            job_clusters,
        )
        return [_cluster(row) for row in rows]

    def all_purpose_ids(self) -> Sequence[str]:
        """Return the ids of all clusters but job clusters."""
        rows = self._database.rows("SELECT cluster_id FROM clusters WHERE job_run_id IS NULL")
        return [row["cluster_id"] for row in rows]

    def job_cluster(self, job_run_id: int, key: str | None, task_run_id: int | None) -> str | None:
        """Return the id of the job cluster of a run that is not terminated."""
        row = self._database.row(
            "SELECT cluster_id FROM clusters WHERE job_run_id = ? AND job_cluster_key IS ?"
            " AND task_run_id IS ? AND state != 'TERMINATED'",
            job_run_id,
            key,
            task_run_id,
        )
        return None if row is None else str(row["cluster_id"])

    def unneeded_job_clusters(self) -> Sequence[str]:
        """Return the ids of job clusters whose run, or whose one task, has finished."""
        rows = self._database.rows(
            "SELECT clusters.cluster_id FROM clusters"
            " JOIN runs ON runs.run_id = clusters.job_run_id"
            " LEFT JOIN task_runs ON task_runs.run_id = clusters.task_run_id"
            " WHERE clusters.job_run_id IS NOT NULL AND clusters.state != 'TERMINATED'"
            " AND (runs.ended IS NOT NULL OR task_runs.ended IS NOT NULL)"
        )
        return [row["cluster_id"] for row in rows]

    def job_of(self, cluster_id: str) -> int | None:
        """Return the id of the job that a job cluster belongs to."""
        return self._database.number(
            "SELECT r.job_id FROM clusters c JOIN runs r ON r.run_id = c.job_run_id"
            " WHERE c.cluster_id = ?",
            cluster_id,
        )

    def set_spec(self, cluster_id: str, spec: ClusterSpec) -> bool:
        """Store a new specification; return False if the cluster does not exist."""
        with self._database.transaction():
            changed = self._database.execute(
                "UPDATE clusters SET spec = ? WHERE cluster_id = ?", to_json(spec), cluster_id
            )
            if changed:
                self.add_event(cluster_id, "EDITED", {})
        return bool(changed)

    def start(self, cluster_id: str, changes: Mapping[str, str], event: str) -> bool:
        """Start a cluster again; return False if `changes` has no change from its state."""
        with self._database.transaction():
            changed = self._database.execute(
                f"UPDATE clusters SET state = {next_phase(changes, 'state')}, state_message = '',"
                " environment = NULL, started = ?, active = ?, terminated = NULL,"
                f" termination = NULL WHERE cluster_id = ? AND {is_in(changes, 'state')}",
                now(),
                now(),
                cluster_id,
            )
            if changed:
                self.add_event(cluster_id, event, {"cause": "USER"})
        return bool(changed)

    def run(self, cluster_id: str, changes: Mapping[str, str], environment: str) -> bool:
        """Store the environment of a cluster that has started; False if it was terminated."""
        with self._database.transaction():
            changed = self._database.execute(
                f"UPDATE clusters SET state = {next_phase(changes, 'state')}, environment = ?,"
                f" active = ? WHERE cluster_id = ? AND {is_in(changes, 'state')}",
                environment,
                now(),
                cluster_id,
            )
            if changed:
                self.add_event(cluster_id, "RUNNING", {})
        return bool(changed)

    def terminate(
        self, cluster_id: str, changes: Mapping[str, str], reason: Mapping[str, Any]
    ) -> None:
        """Terminate a cluster, unless it is terminated; `reason` is `termination_reason`."""
        with self._database.transaction():
            changed = self._database.execute(
                f"UPDATE clusters SET state = {next_phase(changes, 'state')}, environment = NULL,"
                f" terminated = ?, termination = ? WHERE cluster_id = ?"
                f" AND {is_in(changes, 'state')}",
                now(),
                to_json(reason),
                cluster_id,
            )
            if changed:
                self.add_event(cluster_id, "TERMINATING", {"reason": reason})

    def set_environment(self, cluster_id: str, environment: str) -> None:
        """Store the environment of a running cluster after an installation."""
        self._database.execute(
            "UPDATE clusters SET environment = ? WHERE cluster_id = ? AND state = 'RUNNING'",
            environment,
            cluster_id,
        )

    def pin(self, cluster_id: str, by: str | None) -> None:
        """Store who has pinned a cluster; None unpins it."""
        with self._database.transaction():
            changed = self._database.execute(
                "UPDATE clusters SET pinned_by = ? WHERE cluster_id = ? AND pinned_by IS NOT ?",
                by,
                cluster_id,
                by,
            )
            if changed:
                self.add_event(cluster_id, "UNPINNED" if by is None else "PINNED", {})

    def touch(self, cluster_id: str) -> None:
        """Store that a cluster is in use now."""
        self._database.execute(
            "UPDATE clusters SET active = ? WHERE cluster_id = ?", now(), cluster_id
        )

    def delete(self, cluster_id: str) -> None:
        self._database.execute("DELETE FROM clusters WHERE cluster_id = ?", cluster_id)

    def delete_of_deleted_runs(self) -> None:
        """Delete the job clusters of runs that do not exist any more."""
        self._database.execute(
            "DELETE FROM clusters WHERE job_run_id IS NOT NULL"
            " AND job_run_id NOT IN (SELECT run_id FROM runs)"
        )

    def add_event(self, cluster_id: str, type: str, details: Mapping[str, Any]) -> None:
        self._database.execute(
            "INSERT INTO cluster_events (cluster_id, at, type, details) VALUES (?, ?, ?, ?)",
            cluster_id,
            now(),
            type,
            to_json(details),
        )

    def events(self, cluster_id: str) -> Sequence[ClusterEvent]:
        """Return the events of a cluster, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM cluster_events WHERE cluster_id = ? ORDER BY position", cluster_id
        )
        return [ClusterEvent(row["at"], row["type"], json.loads(row["details"])) for row in rows]


def _cluster(row: sqlite3.Row) -> Cluster:
    termination = row["termination"]
    return Cluster(
        cluster_id=row["cluster_id"],
        spec=json.loads(row["spec"]),
        state=row["state"],
        state_message=row["state_message"],
        environment=row["environment"],
        created=row["created"],
        started=row["started"],
        active=row["active"],
        terminated=row["terminated"],
        termination=None if termination is None else json.loads(termination),
        job_run_id=row["job_run_id"],
        pinned_by=row["pinned_by"],
        creator=row["creator"],
    )
