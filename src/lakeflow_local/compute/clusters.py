"""Clusters: their states, and the environments that their drivers run tasks in."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lakeflow_local.compute.environments import (
    Environment,
    Environments,
    InstallationError,
    Requirements,
)
from lakeflow_local.compute.interpreters import (
    Interpreter,
    Interpreters,
    runtime_python,
    serverless_python,
)
from lakeflow_local.compute.libraries import ClusterMissing, Libraries, LibraryFailed
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.identity.principals import kind_of
from lakeflow_local.storage.database import Database, now, to_json
from lakeflow_local.storage.files import Mount, PathOutside

SHOWN_JOB_CLUSTERS = 30
KEPT_ENVIRONMENT_DAYS = 30
KEPT_ENVIRONMENTS = 100
SECRET_REFERENCE = re.compile(r"\{\{secrets/([\w.@-]+)/([\w.@-]+)\}\}", re.ASCII)
"""The whole value of an environment variable: docs.databricks.com/security/secrets."""


class ClusterNotStarted(Exception):
    """A cluster's driver has no environment; the text says why."""


@dataclass(frozen=True)
class Cluster:
    """A row of `clusters`. `spec` is what create or edit was sent.

    A job cluster has the `job_run_id` of the run that it was made for.
    """

    cluster_id: str
    spec: Mapping[str, Any]
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
        """Who made it: `API` or `JOB`."""
        return "API" if self.job_run_id is None else "JOB"

    @property
    def runtime_version(self) -> str:
        """What `DATABRICKS_RUNTIME_VERSION` says: `15.4`."""
        return ".".join(self.spec["spark_version"].split(".")[:2])

    @property
    def single_user(self) -> str | None:
        """Whose cluster it is alone, where it is dedicated to somebody."""
        if self.spec.get("data_security_mode") == "SINGLE_USER" or "single_user_name" in self.spec:
            return self.spec.get("single_user_name") or self.creator
        return None


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


def new_cluster_id() -> str:
    """In the form of Databricks' own: `1121-122530-k3x9v2ab`."""
    letters = string.ascii_lowercase + string.digits
    suffix = "".join(secrets.choice(letters) for _ in range(8))
    return f"{datetime.now(timezone.utc):%m%d-%H%M%S}-{suffix}"


def environment_version(spec: Mapping[str, Any]) -> str | None:
    """Of the `spec` of an `environments` entry; `client` is its old name."""
    return spec.get("environment_version") or spec.get("client")


class Clusters:
    """Changes clusters. One lock a cluster orders starts and installations on it."""

    def __init__(
        self,
        store: Database,
        permissions: Permissions,
        environments: Environments,
        interpreters: Interpreters,
        mount: Mount,
    ) -> None:
        self._store = store
        self._permissions = permissions
        self._environments = environments
        self.interpreters = interpreters
        self.libraries = Libraries(store, environments, mount)
        self._locks: dict[str, threading.RLock] = {}
        self._variables: dict[str, dict[str, str]] = {}
        self._locks_lock = threading.Lock()

    def get(self, cluster_id: str) -> Cluster:
        """Raises ClusterMissing."""
        row = self._store.row("SELECT * FROM clusters WHERE cluster_id = ?", cluster_id)
        if row is None:
            raise ClusterMissing(cluster_id)
        return _cluster(row)

    def all(self) -> list[Cluster]:
        """Newest first; of job clusters those that run and the last 30 that did."""
        rows = self._store.rows(
            "SELECT * FROM clusters WHERE job_run_id IS NULL OR state != 'TERMINATED'"
            " OR cluster_id IN (SELECT cluster_id FROM clusters WHERE job_run_id IS NOT NULL"
            " ORDER BY terminated DESC LIMIT ?) ORDER BY created DESC, cluster_id",
            SHOWN_JOB_CLUSTERS,
        )
        return [_cluster(row) for row in rows]

    def create(self, spec: Mapping[str, Any], creator: str) -> str:
        """Store a new cluster and start it in the background. Its id."""
        with self._store.transaction() as database:
            cluster_id = _add_cluster(database, spec, creator)
            database.execute(  # who made it may manage it
                "INSERT INTO permissions VALUES ('clusters', ?, ?, ?, 'CAN_MANAGE')",
                (cluster_id, kind_of(creator), creator),
            )
        self._start_in_background(cluster_id)
        return cluster_id

    def job_cluster(
        self,
        spec: Mapping[str, Any],
        job_run_id: int,
        key: str | None,
        task_run_id: int,
        creator: str,
    ) -> str:
        """The id of a run's job cluster, made where there is none yet.

        With a `key` all tasks of the run that name it share it, else it is the task run's own.
        """
        owner = None if key else task_run_id
        with self._store.transaction() as database:
            row = database.execute(
                "SELECT cluster_id FROM clusters WHERE job_run_id = ? AND job_cluster_key IS ?"
                " AND task_run_id IS ? AND state != 'TERMINATED'",
                (job_run_id, key, owner),
            ).fetchone()
            if row is not None:
                return str(row["cluster_id"])
            name = f"job-run-{job_run_id}-{key or task_run_id}"
            cluster_id = _add_cluster(database, {"cluster_name": name, **spec}, creator)
            database.execute(
                "UPDATE clusters SET job_run_id = ?, job_cluster_key = ?, task_run_id = ?"
                " WHERE cluster_id = ?",
                (job_run_id, key, owner, cluster_id),
            )
        return cluster_id

    def release(self) -> list[str]:
        """Terminate the job clusters whose run, or whose one task, has ended. Their ids."""
        rows = self._store.rows(
            "SELECT clusters.cluster_id FROM clusters"
            " JOIN runs ON runs.run_id = clusters.job_run_id"
            " LEFT JOIN task_runs ON task_runs.run_id = clusters.task_run_id"
            " WHERE clusters.job_run_id IS NOT NULL AND clusters.state != 'TERMINATED'"
            " AND (runs.ended IS NOT NULL OR task_runs.ended IS NOT NULL)"
        )
        for row in rows:
            self.terminate(row["cluster_id"], "JOB_FINISHED", {})
        return [row["cluster_id"] for row in rows]

    def change(self, cluster_id: str, spec: Mapping[str, Any]) -> None:
        """Store a new specification. Whoever calls restarts a running cluster afterwards."""
        with self._store.transaction() as database:
            changed = database.execute(
                "UPDATE clusters SET spec = ? WHERE cluster_id = ?", (to_json(spec), cluster_id)
            )
            if changed.rowcount == 0:
                raise ClusterMissing(cluster_id)
            _add_event(database, cluster_id, "EDITED", {})

    def start(self, cluster_id: str) -> bool:
        """Start a terminated cluster in the background; whether it was one."""
        return self._start(cluster_id, "PENDING", "TERMINATED")

    def restart(self, cluster_id: str) -> bool:
        """Start a running cluster again in the background; whether it was one."""
        return self._start(cluster_id, "RESTARTING", "RUNNING")

    def _start(self, cluster_id: str, state: str, from_state: str) -> bool:
        event = "RESTARTING" if state == "RESTARTING" else "STARTING"
        with self._store.transaction() as database:
            changed = database.execute(
                "UPDATE clusters SET state = ?, state_message = '', environment = NULL,"
                " started = ?, active = ?, terminated = NULL, termination = NULL"
                " WHERE cluster_id = ? AND state = ?",
                (state, now(), now(), cluster_id, from_state),
            )
            if changed.rowcount == 0:
                return False
            _add_event(database, cluster_id, event, {"cause": "USER"})
        self._start_in_background(cluster_id)
        return True

    def terminate(self, cluster_id: str, code: str, parameters: Mapping[str, str]) -> None:
        """Stop a cluster that is not; `code` is the termination reason's, `USER_REQUEST` say."""
        reason = {"code": code, "type": "SUCCESS", "parameters": dict(parameters)}
        with self._store.transaction() as database:
            changed = database.execute(
                "UPDATE clusters SET state = 'TERMINATED', environment = NULL, terminated = ?,"
                " termination = ? WHERE cluster_id = ? AND state != 'TERMINATED'",
                (now(), to_json(reason), cluster_id),
            )
            if changed.rowcount:
                _add_event(database, cluster_id, "TERMINATING", {"reason": reason})

    def pin(self, cluster_id: str, by: str | None) -> None:
        """Note who has pinned a cluster, or None, that nobody has."""
        with self._store.transaction() as database:
            changed = database.execute(
                "UPDATE clusters SET pinned_by = ? WHERE cluster_id = ? AND pinned_by IS NOT ?",
                (by, cluster_id, by),
            )
            if changed.rowcount:
                _add_event(database, cluster_id, "UNPINNED" if by is None else "PINNED", {})

    def forget(self, cluster_id: str) -> None:
        """Remove a cluster for good."""
        with self._store.transaction() as database:
            database.execute("DELETE FROM clusters WHERE cluster_id = ?", (cluster_id,))

    def recover(self) -> None:
        """After a start of the server: go on starting and installing what was under way."""
        with self._store.transaction() as database:
            database.execute(
                "UPDATE cluster_libraries SET status = 'PENDING' WHERE status = 'INSTALLING'"
            )
        for cluster in self.all():
            key = cluster.environment
            lost = key is None or self._environments.find(key) is None
            if cluster.state in ("PENDING", "RESTARTING") or (cluster.state == "RUNNING" and lost):
                self._start(cluster.cluster_id, "PENDING", cluster.state)
            elif cluster.state == "RUNNING":
                self._start_in_background(cluster.cluster_id)

    def remove_unused_environments(self) -> None:
        """Remove what no running cluster has, and what nothing has used for a month or for long.

        To be called while no task runs.
        """
        keep = {cluster.environment for cluster in self.all() if cluster.environment is not None}
        before = time.time() - 86_400 * KEPT_ENVIRONMENT_DAYS
        self._environments.remove_unused(keep, before, KEPT_ENVIRONMENTS)

    def use(self, cluster_id: str) -> None:
        """Note that a cluster is in use: its time to auto-termination begins again."""
        with self._store.transaction() as database:
            database.execute(
                "UPDATE clusters SET active = ? WHERE cluster_id = ?", (now(), cluster_id)
            )

    def attach(self, cluster_id: str, libraries: Sequence[Mapping[str, Any]]) -> Environment:
        """Have a cluster running with these libraries: what a task on it runs in.

        Raises:
            ClusterMissing, ClusterNotStarted, LibraryFailed
        """
        with self._lock(cluster_id):
            if self.get(cluster_id).state == "TERMINATED":
                self.start(cluster_id)
            environment = self._bring_up(cluster_id)
            for library in libraries:
                environment = self.libraries.install(cluster_id, environment, library)
            return environment

    def serverless(self, spec: Mapping[str, Any]) -> Environment:
        """What a task on serverless compute runs in: one installation of all dependencies.

        Raises:
            LibraryFailed: one of them is not there, or the installer failed.
        """
        lines = tuple(spec.get("dependencies") or ())
        try:
            python = serverless_python(environment_version(spec) or "")
            environment = self._environments.base(self._interpreter(python))
            if not lines:
                return environment
            return self._environments.extend(
                environment, Requirements(lines, self.libraries.existing)
            )
        except InstallationError as error:
            raise LibraryFailed(f"ERROR: {error}") from None
        except (FileNotFoundError, PathOutside) as error:
            raise LibraryFailed(f"ERROR: the file {error} does not exist") from None

    def variables(self, cluster_id: str) -> dict[str, str]:
        """A cluster's `spark_env_vars` with their secrets, as they were when it started."""
        if cluster_id not in self._variables:
            self._variables[cluster_id] = self._read_variables(self.get(cluster_id))
        return self._variables[cluster_id]

    def _read_variables(self, cluster: Cluster) -> dict[str, str]:
        """Raises ClusterNotStarted where its creator can read no such secret."""
        principals = self._permissions.principals
        owner = (
            principals.by_name(cluster.creator) if cluster.creator else None
        ) or principals.first
        found: dict[str, str] = dict(cluster.spec.get("spark_env_vars", {}))
        for name, value in found.items():
            match = SECRET_REFERENCE.fullmatch(value)
            if match is None:
                continue
            row = None
            if self._permissions.on_secrets(owner, match[1]):
                row = self._store.row(
                    "SELECT value FROM secrets WHERE scope = ? AND key = ?", match[1], match[2]
                )
            if row is None:
                raise ClusterNotStarted(
                    f"Cluster {cluster.cluster_id} did not start: there is no secret {match[2]} in"
                    f" the scope {match[1]} that {owner.name} may read, for the environment"
                    f" variable {name}."
                )
            found[name] = row["value"].decode(errors="replace")
        return found

    def install(self, cluster_id: str, libraries: Sequence[Mapping[str, Any]]) -> None:
        """Attach libraries; on a running cluster install them in the background."""
        self.libraries.add(cluster_id, libraries)
        if self.get(cluster_id).state == "RUNNING":
            self._start_in_background(cluster_id)

    def uninstall(self, cluster_id: str, libraries: Sequence[Mapping[str, Any]]) -> None:
        """Detach libraries: at once from a stopped cluster, else with its next restart."""
        is_running = self.get(cluster_id).state != "TERMINATED"
        self.libraries.remove(cluster_id, libraries, is_running=is_running)

    def events(self, cluster_id: str) -> list[dict[str, Any]]:
        """Oldest first."""
        rows = self._store.rows(
            "SELECT * FROM cluster_events WHERE cluster_id = ? ORDER BY position", cluster_id
        )
        return [
            {
                "cluster_id": cluster_id,
                "timestamp": row["at"],
                "type": row["type"],
                "details": json.loads(row["details"]),
            }
            for row in rows
        ]

    def _lock(self, cluster_id: str) -> threading.RLock:
        with self._locks_lock:
            return self._locks.setdefault(cluster_id, threading.RLock())

    def _start_in_background(self, cluster_id: str) -> None:
        def work() -> None:
            with self._lock(cluster_id):
                try:
                    self.libraries.install_waiting(cluster_id, self._bring_up(cluster_id))
                except (ClusterMissing, ClusterNotStarted):
                    return

        threading.Thread(target=work, name=f"cluster {cluster_id}", daemon=True).start()

    def _bring_up(self, cluster_id: str) -> Environment:
        """The environment of a running cluster's driver; a starting one is started first."""
        cluster = self.get(cluster_id)
        if cluster.state == "RUNNING" and cluster.environment is not None:
            environment = self._environments.find(cluster.environment)
            if environment is not None:
                return environment
        if cluster.state not in ("PENDING", "RESTARTING", "RUNNING"):
            raise ClusterNotStarted(f"Cluster {cluster_id} is in state {cluster.state}.")
        try:
            self._variables[cluster_id] = self._read_variables(cluster)
            environment = self._environments.base(
                self._interpreter(runtime_python(cluster.spec["spark_version"]))
            )
        except ClusterNotStarted as error:
            reason = {"databricks_error_message": str(error)}
            self.terminate(cluster_id, "INVALID_ARGUMENT", reason)
            raise
        except (InstallationError, OSError) as error:
            self.terminate(cluster_id, "SPARK_STARTUP_FAILURE", {"databricks_error": str(error)})
            raise ClusterNotStarted(f"Cluster {cluster_id} did not start: {error}") from None
        with self._store.transaction() as database:
            changed = database.execute(
                "UPDATE clusters SET state = 'RUNNING', environment = ?, active = ?"
                " WHERE cluster_id = ? AND state IN ('PENDING', 'RESTARTING', 'RUNNING')",
                (environment.key, now(), cluster_id),
            )
            if changed.rowcount == 0:
                raise ClusterNotStarted(f"Cluster {cluster_id} was terminated while it started.")
            database.execute(
                "DELETE FROM cluster_libraries"
                " WHERE cluster_id = ? AND status = 'UNINSTALL_ON_RESTART'",
                (cluster_id,),
            )
            database.execute(
                "UPDATE cluster_libraries SET status = 'PENDING', messages = '[]'"
                " WHERE cluster_id = ?",
                (cluster_id,),
            )
            _add_event(database, cluster_id, "RUNNING", {})
        return self.libraries.install_waiting(cluster_id, environment)

    def _interpreter(self, python: str) -> Interpreter:
        interpreter = self.interpreters.find(python)
        if interpreter is None:
            raise InstallationError(
                f"this machine has no Python {python} (`uv python install {python}` installs it,"
                " `lakeflow local up --any-python` takes another)"
            )
        return interpreter


def _add_cluster(database: sqlite3.Connection, spec: Mapping[str, Any], creator: str) -> str:
    cluster_id, moment = new_cluster_id(), now()
    database.execute(
        "INSERT INTO clusters (cluster_id, spec, state, created, started, active, creator)"
        " VALUES (?, ?, 'PENDING', ?, ?, ?, ?)",
        (cluster_id, to_json(spec), moment, moment, moment, creator),
    )
    _add_event(database, cluster_id, "CREATING", {"cause": "USER"})
    return cluster_id


def _add_event(
    database: sqlite3.Connection, cluster_id: str, kind: str, details: Mapping[str, Any]
) -> None:
    database.execute(
        "INSERT INTO cluster_events (cluster_id, at, type, details) VALUES (?, ?, ?, ?)",
        (cluster_id, now(), kind, to_json(details)),
    )
