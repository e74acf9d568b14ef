"""Placement: prepares what a task runs on, after checking that its run-as principal may use it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakeflow_local.compute.cluster_variables import describe_cluster
from lakeflow_local.compute.clusters import Clusters
from lakeflow_local.compute.environments import Environment
from lakeflow_local.compute.errors import LibraryFailed, NotAllowed
from lakeflow_local.compute.serverless import environment_version
from lakeflow_local.identity.permissions import LEVELS, Permissions, no_permission
from lakeflow_local.identity.principals import Principal
from lakeflow_local.storage.cluster_repository import Cluster
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.settings import EnvironmentSpec, Library
from lakeflow_local.storage.task_run_repository import TaskRun


@dataclass(frozen=True)
class TaskCompute:
    """What a task runs on. `variables` are environment variables; `home` is the home folder.

    `cluster_id` is None on serverless compute.
    """

    cluster_id: str | None
    environment: Environment
    home: Path
    variables: Mapping[str, str]


class Placement:
    """Prepares compute for tasks. Each cluster has its own folder in `folder`."""

    def __init__(
        self, storage: Storage, permissions: Permissions, clusters: Clusters, folder: Path
    ) -> None:
        self._storage = storage
        self._permissions = permissions
        self._clusters = clusters
        self._folder = folder

    def prepare(self, run: JobRun, task: TaskRun, principal: Principal) -> TaskCompute:
        """Start what a task is to run on, and install its libraries.

        Raises:
            ClusterMissing, ClusterNotStarted, LibraryFailed, NotAllowed
        """
        self._check_permissions(run, task, principal)
        if "environment_key" in task.task:
            spec = _environment_spec(run, task.task["environment_key"])
            return TaskCompute(
                None,
                self._clusters.serverless(spec),
                self._folder / "serverless" / "home",
                {"DATABRICKS_RUNTIME_VERSION": f"client.{environment_version(spec)}.0"},
            )
        cluster_id = task.cluster_id or self._job_cluster(run, task, principal)
        environment = self._clusters.attach(cluster_id, task.task.get("libraries", ()))
        cluster = self._clusters.get(cluster_id)
        return TaskCompute(
            cluster_id,
            environment,
            self._folder / cluster_id / "home",
            {**self._clusters.variables(cluster_id), **describe_cluster(cluster)},
        )

    def release(self) -> None:
        """Terminate job clusters that no task needs any more, and remove their folders."""
        for cluster_id in self._clusters.terminate_unneeded():
            shutil.rmtree(self._folder / cluster_id, ignore_errors=True)

    def _check_permissions(self, run: JobRun, task: TaskRun, principal: Principal) -> None:
        """Check that the run-as principal may use what the task needs.

        Raises:
            ClusterMissing, LibraryFailed, NotAllowed
        """
        libraries = task.task.get("libraries", ())
        paths: list[object] = [path for library in libraries for path in library.values()]
        if "environment_key" in task.task:
            spec = _environment_spec(run, task.task["environment_key"])
            paths += spec.get("dependencies") or ()
        for path in paths:
            if isinstance(path, str) and (why := self._permissions.why_unreadable(principal, path)):
                raise LibraryFailed(why)
        file = task.task.get("spark_python_task", {}).get("python_file", "")
        if why := self._permissions.why_unreadable(principal, file):
            raise NotAllowed(why)
        if "existing_cluster_id" in task.task:
            cluster = self._clusters.get(task.task["existing_cluster_id"])
            self._check_cluster_permissions(cluster, libraries, principal)

    def _check_cluster_permissions(
        self, cluster: Cluster, libraries: Sequence[Library], principal: Principal
    ) -> None:
        cluster_id = cluster.cluster_id
        level = self._permissions.on_cluster(principal, cluster_id)
        if level < (LEVELS["clusters"]["CAN_RESTART"] if cluster.state == "TERMINATED" else 1):
            what = "Attach" if level == 0 else "Restart"
            raise NotAllowed(no_permission(principal, what, cluster_id))
        single_user = cluster.single_user or principal.name
        if single_user.casefold() != principal.name.casefold():
            raise NotAllowed(
                f"Single-user check failed: user '{principal.name}' attempted to run a command on"
                f" single-user cluster {cluster_id}, but the single user of this cluster is user"
                f" '{single_user}'"
            )
        if level < LEVELS["clusters"]["CAN_MANAGE"]:
            attached = [item.library for item in self._clusters.libraries.all(cluster_id)]
            if any(library not in attached for library in libraries):
                raise LibraryFailed(
                    "'Manage' permissions are required to install libraries on a cluster"
                )

    def _job_cluster(self, run: JobRun, task: TaskRun, principal: Principal) -> str:
        key = task.task.get("job_cluster_key")
        if key is None:
            spec = task.task["new_cluster"]
        else:
            (spec,) = (
                entry["new_cluster"]
                for entry in run.settings["job_clusters"]
                if entry["job_cluster_key"] == key
            )
        cluster_id = self._clusters.job_cluster(spec, run.run_id, key, task.run_id, principal.name)
        self._storage.task_runs.set_cluster(task.run_id, cluster_id)
        return cluster_id


def _environment_spec(run: JobRun, key: str) -> EnvironmentSpec:
    (spec,) = (
        entry.get("spec") or EnvironmentSpec()
        for entry in run.settings["environments"]
        if entry["environment_key"] == key
    )
    return spec
