"""Clusters: starts, restarts and terminations, and the environments that their drivers run in."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from lakeflow_local.compute.cluster_states import PENDING, ClusterEvent, changes
from lakeflow_local.compute.cluster_variables import read_spark_env_vars
from lakeflow_local.compute.environments import Environment, Environments
from lakeflow_local.compute.errors import ClusterMissing, ClusterNotStarted, InstallationError
from lakeflow_local.compute.interpreters import Interpreters, runtime_python
from lakeflow_local.compute.libraries import Libraries
from lakeflow_local.compute.serverless import install_serverless
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.identity.principals import kind_of
from lakeflow_local.storage.cluster_repository import Cluster
from lakeflow_local.storage.files import Mount
from lakeflow_local.storage.permission_repository import Grant
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.settings import ClusterSpec, EnvironmentSpec, Library

SHOWN_JOB_CLUSTERS = 30
KEPT_ENVIRONMENT_DAYS = 30
KEPT_ENVIRONMENTS = 100


def new_cluster_id() -> str:
    """Return an id of Databricks' form, such as `1121-122530-k3x9v2ab`."""
    letters = string.ascii_lowercase + string.digits
    suffix = "".join(secrets.choice(letters) for _ in range(8))
    return f"{datetime.now(timezone.utc):%m%d-%H%M%S}-{suffix}"


class Clusters:
    """Changes clusters. A lock per cluster puts its starts and installations in order."""

    def __init__(
        self,
        storage: Storage,
        permissions: Permissions,
        environments: Environments,
        interpreters: Interpreters,
        mount: Mount,
    ) -> None:
        self._storage = storage
        self._permissions = permissions
        self._environments = environments
        self._mount = mount
        self.interpreters = interpreters
        self.libraries = Libraries(storage, environments, mount)
        self._locks: dict[str, threading.RLock] = {}
        self._variables: dict[str, dict[str, str]] = {}
        self._locks_lock = threading.Lock()
        self.is_serverless_only = False
        self.has_node_types = True

    def get(self, cluster_id: str) -> Cluster:
        """Raise ClusterMissing if the cluster does not exist."""
        cluster = self._storage.clusters.get(cluster_id)
        if cluster is None:
            raise ClusterMissing(cluster_id)
        return cluster

    def all(self) -> Sequence[Cluster]:
        """Return clusters, newest first; of terminated job clusters the last 30."""
        return self._storage.clusters.list(SHOWN_JOB_CLUSTERS)

    def create(self, spec: ClusterSpec, creator: str) -> str:
        """Store a new cluster, start it in the background and return its id."""
        cluster_id = new_cluster_id()
        with self._storage.transaction():
            self._storage.clusters.create(cluster_id, spec, PENDING, creator)
            manager = Grant(kind_of(creator), creator, "CAN_MANAGE")
            self._storage.permissions.add("clusters", cluster_id, [manager])
        self._start_in_background(cluster_id)
        return cluster_id

    def job_cluster(
        self,
        spec: ClusterSpec,
        job_run_id: int,
        key: str | None,
        task_run_id: int,
        creator: str,
    ) -> str:
        """Return the id of a run's job cluster, which is created if necessary.

        With a `key` all tasks of the run that name it share the cluster; without one it belongs to
        the task run.
        """
        owner = None if key else task_run_id
        with self._storage.transaction():
            cluster_id = self._storage.clusters.job_cluster(job_run_id, key, owner)
            if cluster_id is None:
                cluster_id = new_cluster_id()
                name = f"job-run-{job_run_id}-{key or task_run_id}"
                named: ClusterSpec = {"cluster_name": name, **spec}
                self._storage.clusters.create(cluster_id, named, PENDING, creator)
                self._storage.clusters.set_run(cluster_id, job_run_id, key, owner)
        return cluster_id

    def terminate_unneeded(self) -> Sequence[str]:
        """Terminate the job clusters whose run, or whose one task, has finished; their ids."""
        cluster_ids = self._storage.clusters.unneeded_job_clusters()
        for cluster_id in cluster_ids:
            self.terminate(cluster_id, "JOB_FINISHED", {})
        return cluster_ids

    def change(self, cluster_id: str, spec: ClusterSpec) -> None:
        """Store a new specification; the caller restarts a running cluster afterwards."""
        if not self._storage.clusters.set_spec(cluster_id, spec):
            raise ClusterMissing(cluster_id)

    def start(self, cluster_id: str) -> bool:
        """Start a terminated cluster in the background; return False if it is in another state."""
        return self._start(cluster_id, ClusterEvent.START, "STARTING")

    def restart(self, cluster_id: str) -> bool:
        """Restart a running cluster in the background; return False if it is in another state."""
        return self._start(cluster_id, ClusterEvent.RESTART, "RESTARTING")

    def _start(self, cluster_id: str, event: ClusterEvent, shown_event: str) -> bool:
        is_started = self._storage.clusters.start(cluster_id, changes(event), shown_event)
        if is_started:
            self._start_in_background(cluster_id)
        return is_started

    def terminate(self, cluster_id: str, code: str, parameters: dict[str, str]) -> None:
        """Terminate a cluster unless it is; `code` is a termination reason, `USER_REQUEST` say."""
        reason = {"code": code, "type": "SUCCESS", "parameters": parameters}
        self._storage.clusters.terminate(cluster_id, changes(ClusterEvent.TERMINATE), reason)

    def recover(self) -> None:
        """Resume the starts and installations that an earlier server was stopped in."""
        self._storage.cluster_libraries.retry_interrupted()
        for cluster in self.all():
            key = cluster.environment
            is_lost = key is None or self._environments.find(key) is None
            if cluster.state in ("PENDING", "RESTARTING") or (
                cluster.state == "RUNNING" and is_lost
            ):
                self._start(cluster.cluster_id, ClusterEvent.RECOVER, "STARTING")
            elif cluster.state == "RUNNING":
                self._start_in_background(cluster.cluster_id)

    def remove_unused_environments(self) -> None:
        """Remove environments that no cluster uses and that are old, or too many.

        Call it while no task runs.
        """
        keep = {cluster.environment for cluster in self.all() if cluster.environment is not None}
        before = time.time() - 86_400 * KEPT_ENVIRONMENT_DAYS
        self._environments.remove_unused(keep, before, KEPT_ENVIRONMENTS)

    def attach(self, cluster_id: str, libraries: Sequence[Library]) -> Environment:
        """Start a cluster if necessary, install libraries and return the environment of its driver.

        Raises:
            ClusterMissing, ClusterNotStarted, LibraryFailed
        """
        with self._lock(cluster_id):
            if self.get(cluster_id).state == "TERMINATED":
                self.start(cluster_id)
            environment = self._start_driver(cluster_id)
            for library in libraries:
                environment = self.libraries.install(cluster_id, environment, library)
            return environment

    def serverless(self, spec: EnvironmentSpec) -> Environment:
        """Return the environment of a task on serverless compute. Raises LibraryFailed."""
        return install_serverless(spec, self._environments, self.interpreters, self._mount)

    def variables(self, cluster_id: str) -> dict[str, str]:
        """Return `spark_env_vars` with their secrets, as they were when the cluster started."""
        if cluster_id not in self._variables:
            self._variables[cluster_id] = self._read_variables(self.get(cluster_id))
        return self._variables[cluster_id]

    def _read_variables(self, cluster: Cluster) -> dict[str, str]:
        return read_spark_env_vars(cluster, self._storage, self._permissions)

    def install(self, cluster_id: str, libraries: Sequence[Library]) -> None:
        """Attach libraries, and install them in the background if the cluster is running."""
        self.libraries.attach(cluster_id, libraries)
        if self.get(cluster_id).state == "RUNNING":
            self._start_in_background(cluster_id)

    def uninstall(self, cluster_id: str, libraries: Sequence[Library]) -> None:
        """Detach libraries: at once if the cluster is terminated, else with its next restart."""
        is_running = self.get(cluster_id).state != "TERMINATED"
        self.libraries.detach(cluster_id, libraries, is_running=is_running)

    def _lock(self, cluster_id: str) -> threading.RLock:
        with self._locks_lock:
            return self._locks.setdefault(cluster_id, threading.RLock())

    def _start_in_background(self, cluster_id: str) -> None:
        def work() -> None:
            with self._lock(cluster_id):
                try:
                    environment = self._start_driver(cluster_id)
                    self.libraries.install_pending(cluster_id, environment)
                except (ClusterMissing, ClusterNotStarted):
                    return

        threading.Thread(target=work, name=f"cluster {cluster_id}", daemon=True).start()

    def _start_driver(self, cluster_id: str) -> Environment:
        """Return the environment of a cluster's driver; a cluster that is starting gets one."""
        cluster = self.get(cluster_id)
        if cluster.state == "RUNNING" and cluster.environment is not None:
            environment = self._environments.find(cluster.environment)
            if environment is not None:
                return environment
        ready = changes(ClusterEvent.READY)
        if cluster.state not in ready:
            raise ClusterNotStarted(f"Cluster {cluster_id} is in state {cluster.state}.")
        environment = self._create_environment(cluster)
        with self._storage.transaction():
            if not self._storage.clusters.run(cluster_id, ready, environment.key):
                raise ClusterNotStarted(f"Cluster {cluster_id} was terminated while it started.")
            self._storage.cluster_libraries.restart(cluster_id)
        return self.libraries.install_pending(cluster_id, environment)

    def _create_environment(self, cluster: Cluster) -> Environment:
        """Return an environment without libraries; terminate the cluster if it can have none."""
        try:
            self._variables[cluster.cluster_id] = self._read_variables(cluster)
            python = runtime_python(cluster.spec["spark_version"])
            return self._environments.base(self.interpreters.existing(python))
        except ClusterNotStarted as error:
            reason = {"databricks_error_message": str(error)}
            self.terminate(cluster.cluster_id, "INVALID_ARGUMENT", reason)
            raise
        except (InstallationError, OSError) as error:
            reason = {"databricks_error": str(error)}
            self.terminate(cluster.cluster_id, "SPARK_STARTUP_FAILURE", reason)
            raise ClusterNotStarted(
                f"Cluster {cluster.cluster_id} did not start: {error}"
            ) from None
