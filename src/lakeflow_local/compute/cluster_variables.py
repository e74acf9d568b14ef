"""Environment variables of the processes on a cluster's driver, secret references included."""

from __future__ import annotations

import re

from lakeflow_local.compute.errors import ClusterNotStarted
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.storage.cluster_repository import Cluster
from lakeflow_local.storage.repositories import Storage

SECRET_REFERENCE = re.compile(r"\{\{secrets/([\w.@-]+)/([\w.@-]+)\}\}", re.ASCII)
"""The whole value of an environment variable: docs.databricks.com/security/secrets."""


def read_spark_env_vars(
    cluster: Cluster, storage: Storage, permissions: Permissions
) -> dict[str, str]:
    """Return a cluster's `spark_env_vars` with the values of the secrets that they refer to.

    Raises:
        ClusterNotStarted: the creator of the cluster can read no such secret.
    """
    creator = permissions.principals.by_name_or_owner(cluster.creator)
    variables = dict(cluster.spec.get("spark_env_vars", {}))
    for name, value in variables.items():
        match = SECRET_REFERENCE.fullmatch(value)
        if match is None:
            continue
        secret = None
        if permissions.on_secrets(creator, match[1]):
            secret = storage.secrets.get(match[1], match[2])
        if secret is None:
            raise ClusterNotStarted(
                f"Cluster {cluster.cluster_id} did not start: there is no secret {match[2]} in"
                f" the scope {match[1]} that {creator.name} may read, for the environment"
                f" variable {name}."
            )
        variables[name] = secret.value.decode(errors="replace")
    return variables


def describe_cluster(cluster: Cluster) -> dict[str, str]:
    """Return the variables that describe a cluster to the processes on its driver."""
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
