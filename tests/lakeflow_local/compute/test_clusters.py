"""Clusters: their states, runtimes and node types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, ResourceDoesNotExist
from databricks.sdk.service.compute import (
    AutoScale,
    ClusterSource,
    EventType,
    ListClustersFilterBy,
    ListClustersSortBy,
    ListClustersSortByField,
    State,
    UpdateClusterResource,
)

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask, connect, start_cluster


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


def names(client: WorkspaceClient, **options: Any) -> list[str | None]:
    return [cluster.cluster_name for cluster in client.clusters.list(**options)]


def test_lists_are_filtered_sorted_and_paged(state: Path) -> None:
    client = connect(daemon.ensure_up())
    ids: dict[str, str] = {}
    for name in ("b", "C", "a"):
        created = client.clusters.create_and_wait(cluster_name=name, **spec(client))
        assert created.cluster_id
        ids[name] = created.cluster_id
    client.clusters.delete_and_wait(ids["b"])
    client.clusters.pin(ids["C"])
    assert names(client) == ["a", "C", "b"]
    by_name = ListClustersSortBy(field=ListClustersSortByField.CLUSTER_NAME)
    assert names(client, sort_by=by_name, page_size=2) == ["a", "b", "C"]
    for expected, filter_by in (
        (["a", "C"], ListClustersFilterBy(cluster_states=[State.RUNNING])),
        (["a", "C", "b"], ListClustersFilterBy(cluster_states=[State.RUNNING, State.TERMINATED])),
        (["C"], ListClustersFilterBy(is_pinned=True)),
        (["a", "b"], ListClustersFilterBy(is_pinned=False)),
        ([], ListClustersFilterBy(cluster_sources=[ClusterSource.JOB])),
        ([], ListClustersFilterBy(policy_id="any")),
    ):
        assert names(client, filter_by=filter_by) == expected
    with pytest.raises(BadRequest, match="page_size"):
        names(client, page_size=101)
    client.clusters.unpin(ids["C"])
    assert names(client, filter_by=ListClustersFilterBy(is_pinned=True)) == []
    kinds = [EventType.PINNED, EventType.UNPINNED]
    events = client.clusters.events(ids["C"], event_types=kinds)
    assert [event.type for event in events] == [EventType.UNPINNED, EventType.PINNED]
    assert list(client.clusters.events(ids["C"], start_time=2**42)) == []
    assert list(client.cluster_policies.list()) == []
    assert list(client.instance_pools.list()) == []


def test_update_changes_what_the_mask_names(client: WorkspaceClient) -> None:
    cluster_id = start_cluster(client, autotermination_minutes=30, custom_tags={"a": "b"})
    change = UpdateClusterResource(cluster_name="new", autotermination_minutes=50)
    client.clusters.update_and_wait(cluster_id, "cluster_name,custom_tags", cluster=change)
    changed = client.clusters.get(cluster_id)
    assert (changed.cluster_name, changed.autotermination_minutes) == ("new", 30)
    assert changed.custom_tags is None
    wrong = UpdateClusterResource(node_type_id="x")
    with pytest.raises(BadRequest, match="Node type x is not supported"):
        client.clusters.update(cluster_id, "node_type_id", cluster=wrong)
    client.clusters.permanent_delete(cluster_id)


def test_telemetry_is_taken_and_dropped(endpoint: Endpoint) -> None:
    body = {"uploadTime": 1, "items": [], "protoLogs": ["{}", "{}"]}
    answer = ask(endpoint, "POST", "/telemetry-ext", json=body)
    assert (answer.status_code, answer.json()) == (200, {"errors": [], "numProtoSuccess": 2})
