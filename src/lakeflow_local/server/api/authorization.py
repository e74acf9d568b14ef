"""Permission checks for routes.

Each raises the 403 of a request whose principal lacks the permission. As on Databricks, permissions
on a job are checked before its existence: without access you get 403 either way.
"""

from __future__ import annotations

import re

from lakeflow_local.identity.permissions import LEVELS, no_permission, no_privilege
from lakeflow_local.server.api.errors import denied
from lakeflow_local.server.api.request import ApiRequest
from lakeflow_local.server.api.route import PermissionCheck

JOB_PERMISSION_NAMES = {
    1: "View or Admin or Manage Run or Owner",
    2: "Admin or Manage Run or Owner",
    3: "Admin or Owner",
}
CLUSTER_PERMISSION_NAMES = {1: "Attach", 2: "Restart", 3: "Manage"}
FOLDER_PERMISSION_NAMES = {1: "View", 3: "Edit", 4: "Manage"}


def anyone(request: ApiRequest) -> None:
    """Allow everyone; the handler limits the response to what the principal may see."""


def admins_only(request: ApiRequest) -> None:
    """Allow what changes the workspace for everyone."""
    if not request.principal.is_admin:
        raise denied("Only workspace admins can do this.")


def on_job(permission: str) -> PermissionCheck:
    """Need a permission on the job that the request names."""
    level = LEVELS["jobs"][permission]

    def check(request: ApiRequest) -> None:
        _check_job(request, request.number("job_id"), level)

    return check


def on_run(permission: str) -> PermissionCheck:
    """Need a permission on the job of a job run or task run."""
    level = LEVELS["jobs"][permission]

    def check(request: ApiRequest) -> None:
        job_id = request.workspace.storage.runs.job_id_of(request.number("run_id"))
        if job_id is not None:
            _check_job(request, job_id, level)

    return check


def _check_job(request: ApiRequest, job_id: int, level: int) -> None:
    if request.workspace.permissions.on_job(request.principal, job_id) < level:
        raise denied(
            f"User {request.principal.name} does not have {JOB_PERMISSION_NAMES[level]}"
            f" permissions on job {job_id}"
        )


def on_all_runs(request: ApiRequest) -> None:
    """Need CAN_MANAGE_RUN on the named job; without a job, admins only."""
    if request.parameters.get("job_id"):
        on_job("CAN_MANAGE_RUN")(request)
    elif not request.principal.is_admin:
        raise denied("Only workspace admins can cancel the queued runs of all jobs.")


def on_cluster(permission: str) -> PermissionCheck:
    """Need a permission on a cluster, if it exists."""
    level = LEVELS["clusters"][permission]

    def check(request: ApiRequest) -> None:
        cluster_id = request.text("cluster_id")
        if (
            request.workspace.permissions.on_cluster(request.principal, cluster_id) < level
            and request.workspace.storage.clusters.get(cluster_id) is not None
        ):
            raise denied(
                no_permission(request.principal, CLUSTER_PERMISSION_NAMES[level], cluster_id)
            )

    return check


def on_scope(permission: str) -> PermissionCheck:
    """Need a permission on a secret scope, if it exists."""
    level = LEVELS["secrets"][permission]

    def check(request: ApiRequest) -> None:
        scope = request.text("scope")
        if request.workspace.permissions.on_secrets(
            request.principal, scope
        ) < level and request.workspace.storage.secrets.has_scope(scope):
            raise denied(
                f"{request.principal.name} does not have {permission} permission on scope {scope}"
                " to perform this action."
            )

    return check


def on_folder(permission: str) -> PermissionCheck:
    """Need a permission on a workspace file or folder."""
    level = LEVELS["directories"][permission]

    def check(request: ApiRequest) -> None:
        _check_folder(request, request.text("path"), level)

    return check


def _check_folder(request: ApiRequest, path: str, level: int) -> None:
    if request.workspace.permissions.on_folder(request.principal, below_workspace(path)) < level:
        raise denied(no_permission(request.principal, FOLDER_PERMISSION_NAMES[level], path))


def below_workspace(path: str) -> str:
    """Return `/Workspace/Users/x` as `/Users/x`; the API accepts both."""
    return path.removeprefix("/Workspace") if f"{path}/".startswith("/Workspace/") else path


def import_file_permission(request: ApiRequest) -> None:
    """Need CAN_EDIT on an existing file, CAN_MANAGE on the folder of a new one."""
    path = request.parameters.get("path", request.path)
    path = f"/{path.lstrip('/')}" if isinstance(path, str) else request.text("path")
    exists = request.workspace.mount.real(f"/Workspace{below_workspace(path)}").exists()
    _check_folder(request, path, LEVELS["directories"]["CAN_EDIT" if exists else "CAN_MANAGE"])


def make_folders_permission(request: ApiRequest) -> None:
    """Need CAN_MANAGE on the parent of a new folder."""
    path = request.text("path")
    if not request.workspace.mount.real(f"/Workspace{below_workspace(path)}").is_dir():
        _check_folder(request, path, LEVELS["directories"]["CAN_MANAGE"])


def on_volume_file(privilege: str) -> PermissionCheck:
    """Need a privilege on the volume of a file."""

    def check(request: ApiRequest) -> None:
        path = request.path or request.text("path")
        names = [name for name in path.split("/") if name]
        _check_volume(request, ".".join(names[1:4]), privilege)

    return check


def on_volume(privilege: str) -> PermissionCheck:
    """Need a privilege on a volume."""

    def check(request: ApiRequest) -> None:
        _check_volume(request, re.sub("^volume/", "", request.path, flags=re.IGNORECASE), privilege)

    return check


def _check_volume(request: ApiRequest, full_name: str, privilege: str) -> None:
    """Check a privilege on a volume; the handler reports one that does not exist."""
    if (
        privilege not in request.workspace.permissions.on_volume(request.principal, full_name)
        and request.workspace.storage.volumes.get(full_name) is not None
    ):
        raise denied(no_privilege(privilege, full_name))


def own_task_run(request: ApiRequest) -> None:
    """Allow a task the values of its run, and admins all."""
    if request.principal.is_admin and request.token_run_id is None:
        return
    job_run_id: int | None
    if "task_run_id" in request.parameters:
        task = request.workspace.storage.task_runs.get(request.number("task_run_id"))
        job_run_id = None if task is None else task.job_run_id
    else:
        job_run_id = request.number("job_run_id")
    if request.token_run_id is None or job_run_id != request.token_run_id:
        raise denied("Task values can only be used by the tasks of their run.")
