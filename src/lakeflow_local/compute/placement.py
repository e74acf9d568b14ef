"""Where tasks compute: clusters, job clusters and serverless, for those who may use them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakeflow_local.compute.clusters import Cluster, Clusters, environment_version
from lakeflow_local.compute.environments import Environment
from lakeflow_local.compute.libraries import LibraryFailed
from lakeflow_local.identity.permissions import LEVELS, Permissions, no_permission
from lakeflow_local.identity.principals import Principal
from lakeflow_local.storage.database import Database
from lakeflow_local.storage.records import JobRun, TaskRun


class NotAllowed(Exception):
    """Whoever a task runs as may not use what it needs; the text says what."""


@dataclass(frozen=True)
class TaskCompute:
    """Where a task computes. `variables` are what its environment has of it.

    `cluster_id` is None on serverless compute.
    """

    cluster_id: str | None
    environment: Environment
    home: Path
    variables: Mapping[str, str]


class Placement:
    """Brings up what tasks compute on. Each cluster has a folder of its own in `folder`."""

    def __init__(
        self, store: Database, permissions: Permissions, clusters: Clusters, folder: Path
    ) -> None:
        self._store = store
        self._permissions = permissions
        self._clusters = clusters
        self._folder = folder

    def prepare(self, run: JobRun, task: TaskRun, who: Principal) -> TaskCompute:
        """Bring up what the task is to compute on.

        Raises:
            ClusterMissing, ClusterNotStarted, LibraryFailed, NotAllowed
        """
        settings = task.task
        self._check_rights(run, task, who)
        if "environment_key" in settings:
            (spec,) = (
                entry.get("spec") or {}
                for entry in run.settings["environments"]
                if entry["environment_key"] == settings["environment_key"]
            )
            return TaskCompute(
                None,
                self._clusters.serverless(spec),
                self._folder / "serverless" / "home",
                {"DATABRICKS_RUNTIME_VERSION": f"client.{environment_version(spec)}.0"},
            )
        cluster_id = task.cluster_id or self._job_cluster(run, task, who)
        environment = self._clusters.attach(cluster_id, settings.get("libraries", ()))
        cluster = self._clusters.get(cluster_id)
        return TaskCompute(
            cluster_id,
            environment,
            self._folder / cluster_id / "home",
            {**self._clusters.variables(cluster_id), **_cluster_variables(cluster)},
        )

    def release(self) -> None:
        """Terminate job clusters that are not needed any more, and remove their folders."""
        for cluster_id in self._clusters.release():
            shutil.rmtree(self._folder / cluster_id, ignore_errors=True)

    def _check_rights(self, run: JobRun, task: TaskRun, who: Principal) -> None:
        """That the one whose permissions the task has may use what it needs.

        Raises:
            ClusterMissing, LibraryFailed, NotAllowed
        """
        libraries: Sequence[Mapping[str, Any]] = task.task.get("libraries", ())
        paths = [path for library in libraries for path in library.values()]
        key = task.task.get("environment_key")
        for entry in run.settings.get("environments", ()) if key else ():
            if entry["environment_key"] == key:
                paths += (entry.get("spec") or {}).get("dependencies", ())
        for path in paths:
            if isinstance(path, str) and (why := self._permissions.unreadable(who, path)):
                raise LibraryFailed(why)
        program = task.task.get("spark_python_task", {}).get("python_file", "")
        if why := self._permissions.unreadable(who, program):
            raise NotAllowed(why)
        cluster_id = task.task.get("existing_cluster_id")
        if cluster_id is not None:
            self._check_rights_on_cluster(self._clusters.get(cluster_id), libraries, who)

    def _check_rights_on_cluster(
        self, cluster: Cluster, libraries: Sequence[Mapping[str, Any]], who: Principal
    ) -> None:
        cluster_id = cluster.cluster_id
        level = self._permissions.on_cluster(who, cluster_id)
        if level < (LEVELS["clusters"]["CAN_RESTART"] if cluster.state == "TERMINATED" else 1):
            what = "Attach" if level == 0 else "Restart"
            raise NotAllowed(no_permission(who, what, cluster_id))
        single = cluster.single_user or who.name
        if single.casefold() != who.name.casefold():
            raise NotAllowed(
                f"Single-user check failed: user '{who.name}' attempted to run a command on"
                f" single-user cluster {cluster_id}, but the single user of this cluster is user"
                f" '{single}'"
            )
        if level < LEVELS["clusters"]["CAN_MANAGE"]:
            there = [item["library"] for item in self._clusters.libraries.statuses(cluster_id)]
            if any(library not in there for library in libraries):
                raise LibraryFailed(
                    "'Manage' permissions are required to install libraries on a cluster"
                )

    def _job_cluster(self, run: JobRun, task: TaskRun, who: Principal) -> str:
        key = task.task.get("job_cluster_key")
        spec = task.task.get("new_cluster")
        if key is not None:
            (spec,) = (
                entry["new_cluster"]
                for entry in run.settings["job_clusters"]
                if entry["job_cluster_key"] == key
            )
        assert spec is not None
        cluster_id = self._clusters.job_cluster(spec, run.run_id, key, task.run_id, who.name)
        with self._store.transaction() as database:
            database.execute(
                "UPDATE task_runs SET cluster_id = ? WHERE run_id = ?", (cluster_id, task.run_id)
            )
        return cluster_id


def _cluster_variables(cluster: Cluster) -> dict[str, str]:
    """What the environment of every process on a cluster's driver says of the cluster."""
    return {
        "DATABRICKS_RUNTIME_VERSION": cluster.runtime_version,
        "DB_CLUSTER_ID": cluster.cluster_id,
        "DB_CLUSTER_NAME": cluster.spec.get("cluster_name", ""),
        "DB_IS_DRIVER": "TRUE",
        "DB_IS_JOB_CLUSTER": "FALSE" if cluster.job_run_id is None else "TRUE",
        "DB_DRIVER_IP": "127.0.0.1",
        "DB_CONTAINER_IP": "127.0.0.1",
        "DB_INSTANCE_TYPE": cluster.spec.get("node_type_id", ""),
    }
