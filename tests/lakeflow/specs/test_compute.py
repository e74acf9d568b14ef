"""Kinds of compute and the job settings that they need."""

from __future__ import annotations

from typing import Any

import pytest

from lakeflow.specs.compute import (
    COMPUTE_TASK_FIELDS,
    PENDING_CLUSTER_ID,
    Compute,
    ExistingCluster,
    NewCluster,
    PerRunCluster,
    Placement,
    Serverless,
    availability,
    cluster_settings,
)

SETTINGS = {"spark_version": "17.3.x", "node_type_id": "m5.xlarge", "num_workers": 0}
LIBRARIES = [{"whl": "/Volumes/a.whl"}, {"whl": "/Volumes/b.whl"}]
WHEELS = [library["whl"] for library in LIBRARIES]


@pytest.mark.parametrize(
    ("placement", "described", "task", "job"),
    [
        (
            ExistingCluster("0101-1", "shared", "m5.xlarge"),
            "cluster shared (0101-1)",
            {"existing_cluster_id": "0101-1", "libraries": LIBRARIES},
            {},
        ),
        (
            NewCluster("mine", {**SETTINGS, "autotermination_minutes": 30}),
            "cluster mine (17.3.x, m5.xlarge, single node, terminates after 30 idle minutes)",
            {"existing_cluster_id": PENDING_CLUSTER_ID, "libraries": LIBRARIES},
            {},
        ),
        (
            PerRunCluster(SETTINGS),
            "a cluster for each run (17.3.x, m5.xlarge, single node)",
            {"new_cluster": SETTINGS, "libraries": LIBRARIES},
            {},
        ),
        (
            Serverless("3"),
            "serverless (environment version 3)",
            {"environment_key": "default", "disable_auto_optimization": True},
            {
                "environments": [
                    {
                        "environment_key": "default",
                        "spec": {"environment_version": "3", "dependencies": WHEELS},
                    }
                ]
            },
        ),
    ],
)
def test_job_settings_of_a_placement(
    placement: Placement, described: str, task: dict[str, Any], job: dict[str, Any]
) -> None:
    assert placement.describe() == described
    assert placement.task_fields(WHEELS) == task
    assert placement.job_fields(WHEELS) == job
    assert set(task) <= set(COMPUTE_TASK_FIELDS)


def test_only_shared_drivers_limit_the_runs_in_flight() -> None:
    assert NewCluster("pooled", {"instance_pool_id": "p"}).driver_type == ""
    assert (PerRunCluster(SETTINGS).driver_type, Serverless("3").driver_type) == (None, None)


def test_given_options_override() -> None:
    compute = Compute(node_type="m5.xlarge", max_workers=2)
    assert compute.override() == compute
    assert compute.override(max_workers=3) == Compute(node_type="m5.xlarge", max_workers=3)


@pytest.mark.parametrize(
    ("host", "node_type", "attributes"),
    [
        ("https://adb-1.azuredatabricks.net", "", "azure_attributes"),
        ("https://1.gcp.databricks.com", "", "gcp_attributes"),
        ("https://dbc-1.cloud.databricks.com", "", "aws_attributes"),
        ("https://acme.databricks.com", "Standard_D4ds_v5", "azure_attributes"),
        ("https://acme.databricks.com", "n2-standard-4", "gcp_attributes"),
        ("https://acme.databricks.com", "m-fleet.xlarge", "aws_attributes"),
        ("https://acme.databricks.com", "i3.xlarge", "aws_attributes"),
    ],
)
def test_spot_workers_of_each_cloud(host: str, node_type: str, attributes: str) -> None:
    (name,) = cluster_settings(Compute(spot=True), host, node_type)
    assert name == attributes
    (name,) = availability(host, node_type, spot=False)
    assert name == attributes
