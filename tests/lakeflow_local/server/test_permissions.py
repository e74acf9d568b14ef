"""Permissions on jobs and clusters: stored, merged, returned."""

from __future__ import annotations

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, ResourceDoesNotExist
from databricks.sdk.service.iam import AccessControlRequest, ObjectPermissions, PermissionLevel
from databricks.sdk.service.jobs import (
    JobAccessControlRequest,
    JobPermissionLevel,
)

from tests.lakeflow_local.helpers import make_job, probe_task


def levels(found: ObjectPermissions) -> dict[str, str]:
    """Return the level of each principal, without inherited ones."""
    return {
        item.user_name or item.group_name or item.service_principal_name or "": level.value
        for item in found.access_control_list or ()
        for permission in item.all_permissions or ()
        if not permission.inherited and (level := permission.permission_level)
    }


def test_permissions_on_a_job(client: WorkspaceClient) -> None:
    me = client.current_user.me().user_name or ""
    job_id = str(make_job(client, [probe_task("cluster", "/Workspace/x.whl", "echo")]))
    assert levels(client.permissions.get("jobs", job_id)) == {me: "IS_OWNER"}
    team = AccessControlRequest(group_name="team", permission_level=PermissionLevel.CAN_VIEW)
    changed = client.permissions.update("jobs", job_id, access_control_list=[team])
    assert levels(changed) == {me: "IS_OWNER", "team": "CAN_VIEW"}
    assert (changed.object_id, changed.object_type) == (f"/jobs/{job_id}", "job")
    team.permission_level = PermissionLevel.CAN_MANAGE
    client.permissions.update("jobs", job_id, access_control_list=[team])
    assert levels(client.permissions.get("jobs", job_id))["team"] == "CAN_MANAGE"
    client.permissions.set("jobs", job_id, access_control_list=[])
    assert levels(client.permissions.get("jobs", job_id)) == {me: "IS_OWNER"}
    wrong = AccessControlRequest(user_name="x", permission_level=PermissionLevel.CAN_READ)
    with pytest.raises(InvalidParameterValue, match="CAN_READ is not a permission of a job"):
        client.permissions.update("jobs", job_id, access_control_list=[wrong])
    client.jobs.delete(int(job_id))
    with pytest.raises(ResourceDoesNotExist, match=f"Job {job_id} does not exist"):
        client.permissions.get("jobs", job_id)


def test_permissions_with_a_new_job(client: WorkspaceClient) -> None:
    given = JobAccessControlRequest(
        user_name="somebody", permission_level=JobPermissionLevel.CAN_MANAGE_RUN
    )
    task = probe_task("cluster", "/Workspace/x.whl", "echo")
    job_id = str(make_job(client, [task], access_control_list=[given]))
    assert levels(client.permissions.get("jobs", job_id))["somebody"] == "CAN_MANAGE_RUN"


def test_permissions_on_a_cluster(client: WorkspaceClient) -> None:
    cluster = client.clusters.create(
        spark_version=client.clusters.select_spark_version(long_term_support=True),
        node_type_id="local.small",
        num_workers=0,
    ).cluster_id
    assert cluster
    found = client.permissions.get_permission_levels("clusters", cluster).permission_levels
    assert [item.permission_level and item.permission_level.value for item in found or ()] == [
        "CAN_ATTACH_TO",
        "CAN_RESTART",
        "CAN_MANAGE",
    ]
    team = AccessControlRequest(group_name="team", permission_level=PermissionLevel.CAN_RESTART)
    client.permissions.update("clusters", cluster, access_control_list=[team])
    assert levels(client.permissions.get("clusters", cluster))["team"] == "CAN_RESTART"
