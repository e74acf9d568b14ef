"""Who may call what: one rule for each route, asked before its function is.

As on Databricks permission comes before existence for jobs: who may not see a job is not told
whether there is one. A route without a rule is for admins only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lakeflow_local.identity.permissions import LEVELS, no_permission, no_privilege
from lakeflow_local.server.api.call import ApiError, Call, Route

Rule = Callable[[Call], None]

JOB_WORDS = {
    1: "View or Admin or Manage Run or Owner",
    2: "Admin or Manage Run or Owner",
    3: "Admin or Owner",
}
CLUSTER_WORDS = {1: "Attach", 2: "Restart", 3: "Manage"}
FOLDER_WORDS = {1: "View", 3: "Edit", 4: "Manage"}


def check(call: Call, route: Route) -> None:
    """Raise the 403 of a call that its principal may not make."""
    rule = RULES.get(key(route))
    if rule is not None:
        rule(call)
    elif not call.me.is_admin:
        raise denied("Only workspace admins can do this.")


def key(route: Route) -> str:
    """A route as the rules know it: the same whatever the version of the API."""
    return f"{route.method} {re.sub('^/api/[0-9.]+/', '', route.path)}"


def denied(message: str) -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message)


def anybody(call: Call) -> None:
    """What needs no permission, or is limited to what its caller may see."""


def admins(call: Call) -> None:
    """What changes the workspace for everybody."""
    if not call.me.is_admin:
        raise denied("Only workspace admins can do this.")


def _job(permission: str) -> Rule:
    level = LEVELS["jobs"][permission]

    def rule(call: Call) -> None:
        _check_job(call, call.number("job_id"), level)

    return rule


def _run(permission: str) -> Rule:
    """Of a job run or a task run, by the permission on its job."""
    level = LEVELS["jobs"][permission]

    def rule(call: Call) -> None:
        run_id = call.number("run_id")
        row = call.workspace.store.row(
            "SELECT job_id FROM runs WHERE run_id = coalesce("
            "(SELECT job_run_id FROM task_runs WHERE run_id = ?), ?)",
            run_id,
            run_id,
        )
        if row is not None:
            _check_job(call, row["job_id"], level)

    return rule


def _check_job(call: Call, job_id: int, level: int) -> None:
    if call.workspace.permissions.on_job(call.me, job_id) < level:
        raise denied(
            f"User {call.me.name} does not have {JOB_WORDS[level]} permissions on job {job_id}"
        )


def _all_runs(call: Call) -> None:
    if call.parameters.get("job_id"):
        _job("CAN_MANAGE_RUN")(call)
    elif not call.me.is_admin:
        raise denied("Only workspace admins can cancel the queued runs of all jobs.")


def _cluster(permission: str) -> Rule:
    level = LEVELS["clusters"][permission]

    def rule(call: Call) -> None:
        cluster_id = call.text("cluster_id")
        if call.workspace.permissions.on_cluster(
            call.me, cluster_id
        ) < level and call.workspace.store.row(
            "SELECT 1 FROM clusters WHERE cluster_id = ?", cluster_id
        ):
            raise denied(no_permission(call.me, CLUSTER_WORDS[level], cluster_id))

    return rule


def _scope(permission: str) -> Rule:
    level = LEVELS["secrets"][permission]

    def rule(call: Call) -> None:
        scope = call.text("scope")
        if call.workspace.permissions.on_secrets(
            call.me, scope
        ) < level and call.workspace.store.row("SELECT 1 FROM secret_scopes WHERE name = ?", scope):
            raise denied(
                f"{call.me.name} does not have {permission} permission on scope {scope} to perform"
                " this action."
            )

    return rule


def _folder(permission: str) -> Rule:
    level = LEVELS["directories"][permission]

    def rule(call: Call) -> None:
        _check_folder(call, call.text("path"), level)

    return rule


def _check_folder(call: Call, path: str, level: int) -> None:
    if call.workspace.permissions.on_folder(call.me, below_workspace(path)) < level:
        raise denied(no_permission(call.me, FOLDER_WORDS[level], path))


def below_workspace(path: str) -> str:
    """`/Workspace/Users/x` as `/Users/x`: the API takes both."""
    return path.removeprefix("/Workspace") if f"{path}/".startswith("/Workspace/") else path


def _import(call: Call) -> None:
    """Who may edit a file may write over it; a new one needs more, of its folder."""
    path = call.parameters.get("path", call.path)
    path = f"/{path.lstrip('/')}" if isinstance(path, str) else call.text("path")
    exists = call.workspace.mount.real(f"/Workspace{below_workspace(path)}").exists()
    _check_folder(call, path, LEVELS["directories"]["CAN_EDIT" if exists else "CAN_MANAGE"])


def _make_folders(call: Call) -> None:
    path = call.text("path")
    if not call.workspace.mount.real(f"/Workspace{below_workspace(path)}").is_dir():
        _check_folder(call, path, LEVELS["directories"]["CAN_MANAGE"])


def _volume_file(privilege: str) -> Rule:
    def rule(call: Call) -> None:
        path = call.path or call.text("path")
        names = [name for name in path.split("/") if name]
        _check_volume(call, ".".join(names[1:4]), privilege)

    return rule


def _volume(privilege: str) -> Rule:
    def rule(call: Call) -> None:
        _check_volume(call, re.sub("^volume/", "", call.path, flags=re.IGNORECASE), privilege)

    return rule


def _check_volume(call: Call, full_name: str, privilege: str) -> None:
    """One that does not exist is said to be missing."""
    if privilege not in call.workspace.permissions.on_volume(call.me, full_name) and (
        call.workspace.store.row(
            "SELECT 1 FROM volumes WHERE catalog || '.' || schema || '.' || name = ?", full_name
        )
    ):
        raise denied(no_privilege(privilege, full_name))


def _own_task(call: Call) -> None:
    """Task values belong to the run whose task asks; the admins may look."""
    if call.me.is_admin and call.of_run is None:
        return
    wanted: object = None
    if "task_run_id" in call.parameters:
        row = call.workspace.store.row(
            "SELECT job_run_id FROM task_runs WHERE run_id = ?", call.number("task_run_id")
        )
        wanted = None if row is None else row["job_run_id"]
    else:
        wanted = call.number("job_run_id")
    if call.of_run is None or wanted != call.of_run:
        raise denied("Task values can only be used by the tasks of their run.")


RULES: Mapping[str, Rule] = {
    "GET preview/scim/v2/Me": anybody,
    # jobs
    "POST jobs/create": anybody,
    "POST jobs/reset": _job("CAN_MANAGE"),
    "POST jobs/update": _job("CAN_MANAGE"),
    "POST jobs/delete": _job("CAN_MANAGE"),
    "GET jobs/get": _job("CAN_VIEW"),
    "GET jobs/list": anybody,
    "POST jobs/run-now": _job("CAN_MANAGE_RUN"),
    "POST jobs/runs/submit": anybody,
    "POST jobs/runs/repair": _run("CAN_MANAGE_RUN"),
    "GET jobs/runs/get": _run("CAN_VIEW"),
    "GET jobs/runs/get-output": _run("CAN_VIEW"),
    "GET jobs/runs/export": _run("CAN_VIEW"),
    "GET jobs/runs/list": anybody,
    "POST jobs/runs/cancel": _run("CAN_MANAGE_RUN"),
    "POST jobs/runs/cancel-all": _all_runs,
    "POST jobs/runs/delete": _run("CAN_MANAGE"),
    # clusters
    "POST clusters/create": anybody,
    "POST clusters/edit": _cluster("CAN_MANAGE"),
    "GET clusters/get": _cluster("CAN_ATTACH_TO"),
    "GET clusters/list": anybody,
    "POST clusters/start": _cluster("CAN_RESTART"),
    "POST clusters/restart": _cluster("CAN_RESTART"),
    "POST clusters/delete": _cluster("CAN_RESTART"),
    "POST clusters/permanent-delete": _cluster("CAN_MANAGE"),
    "POST clusters/resize": _cluster("CAN_MANAGE"),
    "POST clusters/events": _cluster("CAN_ATTACH_TO"),
    "POST clusters/update": _cluster("CAN_MANAGE"),
    "POST clusters/pin": admins,
    "POST clusters/unpin": admins,
    "GET policies/clusters/list": anybody,
    "GET instance-pools/list": anybody,
    "GET clusters/spark-versions": anybody,
    "GET clusters/list-node-types": anybody,
    "GET clusters/list-zones": anybody,
    "POST libraries/install": _cluster("CAN_MANAGE"),
    "POST libraries/uninstall": _cluster("CAN_MANAGE"),
    "GET libraries/cluster-status": _cluster("CAN_ATTACH_TO"),
    "GET libraries/all-cluster-statuses": anybody,
    # files
    "PUT fs/files{path}": _volume_file("WRITE_VOLUME"),
    "GET fs/files{path}": _volume_file("READ_VOLUME"),
    "HEAD fs/files{path}": _volume_file("READ_VOLUME"),
    "DELETE fs/files{path}": _volume_file("WRITE_VOLUME"),
    "POST fs/files{path}": _volume_file("WRITE_VOLUME"),
    "POST fs/create-upload-part-urls": _volume_file("WRITE_VOLUME"),
    "POST fs/create-resumable-upload-url": _volume_file("WRITE_VOLUME"),
    "POST fs/create-abort-upload-url": _volume_file("WRITE_VOLUME"),
    "POST fs/create-download-url": _volume_file("READ_VOLUME"),
    "PUT fs/directories{path}": _volume_file("WRITE_VOLUME"),
    "GET fs/directories{path}": _volume_file("READ_VOLUME"),
    "HEAD fs/directories{path}": _volume_file("READ_VOLUME"),
    "DELETE fs/directories{path}": _volume_file("WRITE_VOLUME"),
    "POST unity-catalog/volumes": anybody,
    "GET unity-catalog/volumes": anybody,
    "GET unity-catalog/volumes/{path}": _volume("READ_VOLUME"),
    "DELETE unity-catalog/volumes/{path}": _volume("MANAGE"),
    "GET unity-catalog/permissions/{path}": _volume("READ_VOLUME"),
    "PATCH unity-catalog/permissions/{path}": _volume("MANAGE"),
    "POST workspace/import": _import,
    "POST workspace-files/import-file/{path}": _import,
    "GET workspace/export": _folder("CAN_READ"),
    "GET workspace/get-status": _folder("CAN_READ"),
    "GET workspace/list": _folder("CAN_READ"),
    "POST workspace/mkdirs": _make_folders,
    "POST workspace/delete": _folder("CAN_MANAGE"),
    "POST dbfs/create": anybody,
    "POST dbfs/add-block": anybody,
    "POST dbfs/close": anybody,
    "POST dbfs/put": anybody,
    "GET dbfs/read": anybody,
    "GET dbfs/get-status": anybody,
    "GET dbfs/list": anybody,
    "POST dbfs/mkdirs": anybody,
    "POST dbfs/delete": anybody,
    "POST dbfs/move": anybody,
    # secrets
    "POST secrets/scopes/create": anybody,
    "POST secrets/scopes/delete": _scope("MANAGE"),
    "GET secrets/scopes/list": anybody,
    "POST secrets/put": _scope("WRITE"),
    "GET secrets/get": _scope("READ"),
    "POST secrets/delete": _scope("WRITE"),
    "GET secrets/list": _scope("READ"),
    "POST secrets/acls/put": _scope("MANAGE"),
    "GET secrets/acls/get": _scope("MANAGE"),
    "GET secrets/acls/list": _scope("MANAGE"),
    "POST secrets/acls/delete": _scope("MANAGE"),
    # permissions.py asks by itself: it is all that it does
    "GET permissions/{path}": anybody,
    "PUT permissions/{path}": anybody,
    "PATCH permissions/{path}": anybody,
    "POST /telemetry-ext": anybody,
    "POST /lakeflow/task-values": _own_task,
    "GET /lakeflow/task-values": _own_task,
}
