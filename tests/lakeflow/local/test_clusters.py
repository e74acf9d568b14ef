"""Clusters: their states, runtimes and node types."""

from __future__ import annotations

from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, ResourceDoesNotExist
from databricks.sdk.service.compute import AutoScale, State

from lakeflow.local.daemon import Endpoint
from tests.lakeflow.local.helpers import ask, start_cluster


def spec(client: WorkspaceClient, **changes: Any) -> dict[str, Any]:
    version = client.clusters.select_spark_version(long_term_support=True)
    base = {"spark_version": version, "node_type_id": "local.small", "num_workers": 0}
    return base | changes


def test_life_cycle(client: WorkspaceClient) -> None:
    cluster = start_cluster(client, autotermination_minutes=30, custom_tags={"a": "b"})
    got = client.clusters.get(cluster)
    assert (got.state, got.cluster_name, got.custom_tags) == (State.RUNNING, "test", {"a": "b"})
    assert got.autotermination_minutes == 30
    with pytest.raises(BadRequest, match=f"Cluster {cluster} is in unexpected state Running."):
        client.clusters.start(cluster)
    stopped = client.clusters.delete_and_wait(cluster)
    assert stopped.state == State.TERMINATED
    assert stopped.termination_reason
    assert stopped.termination_reason.code
    assert stopped.termination_reason.code.value == "USER_REQUEST"
    assert client.clusters.start_and_wait(cluster).state == State.RUNNING
    kinds = [event.type.value for event in client.clusters.events(cluster) if event.type]
    assert kinds == ["RUNNING", "STARTING", "TERMINATING", "RUNNING", "CREATING"]
    assert len(list(client.clusters.events(cluster, limit=2))) == 5
    client.clusters.permanent_delete(cluster)
    with pytest.raises(ResourceDoesNotExist, match=f"Cluster {cluster} does not exist"):
        client.clusters.get(cluster)


def test_list(client: WorkspaceClient) -> None:
    cluster = start_cluster(client)
    assert cluster in [found.cluster_id for found in client.clusters.list()]


def test_edit_restarts(client: WorkspaceClient) -> None:
    cluster = start_cluster(client)
    changed = client.clusters.edit_and_wait(
        cluster_id=cluster, cluster_name="other", **spec(client)
    )
    assert (changed.cluster_name, changed.state) == ("other", State.RUNNING)


def test_resize(client: WorkspaceClient) -> None:
    cluster = start_cluster(client)
    client.clusters.resize_and_wait(cluster, autoscale=AutoScale(min_workers=1, max_workers=3))
    assert client.clusters.get(cluster).autoscale == AutoScale(min_workers=1, max_workers=3)
    client.clusters.delete_and_wait(cluster)
    with pytest.raises(BadRequest) as refused:
        client.clusters.resize(cluster, num_workers=2)
    assert refused.value.error_code == "INVALID_STATE"


def test_runtimes_and_node_types(client: WorkspaceClient) -> None:
    versions = client.clusters.spark_versions().versions
    assert versions
    assert all("LTS" in (version.name or "") for version in versions)
    assert client.clusters.list_node_types().node_types
    assert client.clusters.list_zones().default_zone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spark_version": "99.9.x-scala2.12"}, "Spark version 99.9.x-scala2.12"),
        ({"node_type_id": "i3.xlarge"}, "Node type i3.xlarge is not supported"),
        ({"num_workers": -1}, "num_workers"),
        ({"autoscale": {"min_workers": 2, "max_workers": 1}}, "min_workers"),
        ({"autotermination_minutes": 5}, "between 10 and 10000"),
        ({"policy_id": "x"}, "policy_id"),
        ({"spark_env_vars": {"A": 1}}, "'A' must be a text"),
    ],
)
def test_wrong_specifications(
    client: WorkspaceClient, endpoint: Endpoint, changes: dict[str, Any], message: str
) -> None:
    answer = ask(endpoint, "POST", "/api/2.1/clusters/create", json=spec(client, **changes))
    assert answer.status_code == 400
    assert message in answer.json()["message"]
