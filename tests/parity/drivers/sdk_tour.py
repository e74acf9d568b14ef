"""databricks-sdk, the Python SDK: oldest and newest."""

from __future__ import annotations

import base64
import hashlib
import io
import uuid

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import catalog, compute, iam, jobs, workspace
from databricks.sdk.service.compute import State

from tests.parity.drivers.tour import Tour, equal, until

tour = Tour()
facts = tour.facts
w = WorkspaceClient(host=facts.host, token=facts.token, auth_type="pat")


def task(function: str, *parameters: str, key: str = "main") -> jobs.Task:
    return jobs.Task(
        task_key=key,
        existing_cluster_id=facts.cluster_id,
        libraries=[compute.Library(whl=facts.wheel)],
        python_wheel_task=jobs.PythonWheelTask(
            package_name="probe", entry_point=f"run-{function}", parameters=list(parameters)
        ),
    )


def completed(run_id: int) -> jobs.Run:
    def end() -> jobs.Run | None:
        run = w.jobs.get_run(run_id)
        return run if run.end_time else None

    return until(end)


def output(run: jobs.Run) -> jobs.RunOutput:
    """Of the last attempt of the last task."""
    return w.jobs.get_run_output(run.tasks[-1].run_id)


def identity() -> None:
    with tour.call("GET /.well-known/databricks-config"):
        equal(w.config.host, facts.host)
    with tour.call("GET preview/scim/v2/Me"):
        equal(w.current_user.me().user_name, facts.user)


def jobs_and_runs() -> None:
    with tour.call("POST jobs/create"):
        job_id = w.jobs.create(name=facts.name, tasks=[task("echo", "one", "zwölf")]).job_id
    with tour.call("GET jobs/get"):
        equal(w.jobs.get(job_id).settings.name, facts.name)
    with tour.call("GET jobs/list"):
        equal(job_id in [job.job_id for job in w.jobs.list(expand_tasks=True)], True)
    with tour.call("GET jobs/list: by name"):
        equal([job.job_id for job in w.jobs.list(name=facts.name)], [job_id])
    with tour.call("GET jobs/list: page by page"):
        more = [w.jobs.create(name=f"{facts.name}-{n}", tasks=[task("echo")]) for n in range(3)]
        equal({job.job_id for job in more} <= {job.job_id for job in w.jobs.list(limit=2)}, True)
    with tour.call("POST jobs/update"):
        w.jobs.update(job_id, new_settings=jobs.JobSettings(timeout_seconds=600))
        equal(w.jobs.get(job_id).settings.timeout_seconds, 600)
    with tour.call("POST jobs/reset"):
        settings = jobs.JobSettings(name=facts.name, tasks=[task("echo", "one", "zwölf")])
        w.jobs.reset(job_id, settings)
        equal(w.jobs.get(job_id).settings.timeout_seconds or 0, 0)

    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        run = completed(w.jobs.run_now(job_id).run_id)
        equal(run.state.result_state, jobs.RunResultState.SUCCESS)
    with tour.call("POST jobs/run-now: the same idempotency token twice"):
        token = uuid.uuid4().hex
        first, second = (w.jobs.run_now(job_id, idempotency_token=token).run_id for _ in "12")
        equal(first, second)
        completed(first)
    with tour.call("GET jobs/runs/list"):
        equal(run.run_id in [each.run_id for each in w.jobs.list_runs(job_id=job_id)], True)
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        equal('["probe", "one", "zw\\u00f6lf"]' in output(run).logs, True)
    with tour.call(
        "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"
    ):
        submit = task("echo", "submitted").as_dict()
        submitted = w.jobs.submit(tasks=[jobs.SubmitTask.from_dict(submit)], run_name="parity")
        equal('["probe", "submitted"]' in output(completed(submitted.run_id)).logs, True)
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        failing = w.jobs.create(name=facts.name + "-fails", tasks=[task("fail")]).job_id
        failed = completed(w.jobs.run_now(failing).run_id)
        equal(failed.state.result_state, jobs.RunResultState.FAILED)
        equal(output(failed).error, "ValueError: of the test")
        equal("Traceback" in output(failed).error_trace, True)
    with tour.call("POST jobs/runs/repair"):
        w.jobs.reset(failing, jobs.JobSettings(name=facts.name, tasks=[task("echo", "repaired")]))
        w.jobs.repair_run(failed.run_id, rerun_all_failed_tasks=True)
        repaired = completed(failed.run_id)
        equal(repaired.state.result_state, jobs.RunResultState.SUCCESS)
        equal('["probe", "repaired"]' in output(repaired).logs, True)
    with tour.call("GET jobs/runs/export"):
        w.jobs.export_run(run.tasks[0].run_id)
    with tour.call("POST jobs/create: two tasks, one after the other, on a job cluster"):
        two = [task("echo", "first", key="first"), task("echo", "second", key="second")]
        two[1].depends_on = [jobs.TaskDependency(task_key="first")]
        for each in two:
            each.existing_cluster_id, each.job_cluster_key = None, "shared"
        spec = compute.ClusterSpec(
            spark_version=facts.spark_version, node_type_id=facts.node_type_id, num_workers=0
        )
        clusters = [jobs.JobCluster(job_cluster_key="shared", new_cluster=spec)]
        both = w.jobs.create(name=facts.name + "-two", tasks=two, job_clusters=clusters).job_id
        finished = completed(w.jobs.run_now(both).run_id)
        times = {each.task_key: each for each in finished.tasks}
        equal(finished.state.result_state, jobs.RunResultState.SUCCESS)
        equal(times["first"].end_time <= times["second"].start_time, True)
    with tour.call("POST jobs/runs/cancel"):
        holding = w.jobs.create(
            name=facts.name + "-holds", tasks=[task("await_others", "/", "tmp", "100000")]
        ).job_id
        held = w.jobs.run_now(holding).run_id
        w.jobs.cancel_run(held)
        equal(completed(held).state.result_state, jobs.RunResultState.CANCELED)
    with tour.call("POST jobs/runs/cancel-all"):
        again = w.jobs.run_now(holding).run_id
        w.jobs.cancel_all_runs(job_id=holding)
        equal(completed(again).state.result_state, jobs.RunResultState.CANCELED)
    with tour.call("POST jobs/runs/delete"):
        w.jobs.delete_run(again)
        equal(refused(lambda: w.jobs.get_run(again)), True)

    with tour.call("GET permissions/jobs/{id}"):
        equal(permissions("jobs", job_id)[facts.user], ["IS_OWNER"])
    with tour.call("PATCH permissions/jobs/{id}"):
        run_by_users = iam.AccessControlRequest(
            group_name="users", permission_level=iam.PermissionLevel.CAN_MANAGE_RUN
        )
        w.permissions.update("jobs", str(job_id), access_control_list=[run_by_users])
        equal(permissions("jobs", job_id)["users"], ["CAN_MANAGE_RUN"])
    with tour.call("PUT permissions/jobs/{id}"):
        mine = iam.AccessControlRequest(
            user_name=facts.user, permission_level=iam.PermissionLevel.IS_OWNER
        )
        w.permissions.set("jobs", str(job_id), access_control_list=[mine])
        equal("users" in permissions("jobs", job_id), False)
    with tour.call("GET permissions/jobs/{id}/permissionLevels"):
        levels = w.permissions.get_permission_levels("jobs", str(job_id)).permission_levels
        equal(iam.PermissionLevel.CAN_MANAGE in [each.permission_level for each in levels], True)
    with tour.call("POST jobs/delete"):
        w.jobs.delete(job_id)
        equal(refused(lambda: w.jobs.get(job_id)), True)


def permissions(kind: str, ident: object) -> dict[str, list[str]]:
    return {
        str(entry.user_name or entry.group_name): [
            each.permission_level.value for each in entry.all_permissions
        ]
        for entry in w.permissions.get(kind, str(ident)).access_control_list
    }


def refused(call: object) -> bool:
    try:
        call()
    except DatabricksError:
        return True
    return False


def clusters() -> None:
    with tour.call("GET clusters/spark-versions"):
        equal(w.clusters.select_spark_version(long_term_support=True), facts.spark_version)
    with tour.call("GET clusters/list-node-types"):
        equal(w.clusters.select_node_type(local_disk=True), facts.node_type_id)
    with tour.call("GET clusters/list-zones"):
        equal(bool(w.clusters.list_zones().zones), True)
    spec = {"spark_version": facts.spark_version, "node_type_id": facts.node_type_id}
    with tour.call("POST clusters/create", "GET clusters/get"):
        created = w.clusters.create_and_wait(cluster_name=facts.name, num_workers=0, **spec)
        equal(created.state, State.RUNNING)
        cluster_id = created.cluster_id
    with tour.call("GET clusters/list"):
        equal(cluster_id in [cluster.cluster_id for cluster in w.clusters.list()], True)
    with tour.call("GET permissions/clusters/{id}"):
        equal("CAN_MANAGE" in permissions("clusters", cluster_id)[facts.user], True)
    with tour.call("PATCH permissions/clusters/{id}"):
        attach = iam.AccessControlRequest(
            group_name="users", permission_level=iam.PermissionLevel.CAN_ATTACH_TO
        )
        w.permissions.update("clusters", cluster_id, access_control_list=[attach])
        equal(permissions("clusters", cluster_id)["users"], ["CAN_ATTACH_TO"])
    with tour.call("POST libraries/install", "GET libraries/cluster-status"):
        w.libraries.install(cluster_id, [compute.Library(whl=facts.wheel)])
        until(lambda: library(cluster_id) == compute.LibraryInstallStatus.INSTALLED)
    with tour.call("GET libraries/all-cluster-statuses"):
        statuses = w.libraries.all_cluster_statuses()
        equal(cluster_id in [status.cluster_id for status in statuses], True)
    with tour.call("POST libraries/uninstall"):
        w.libraries.uninstall(cluster_id, [compute.Library(whl=facts.wheel)])
        equal(library(cluster_id), compute.LibraryInstallStatus.UNINSTALL_ON_RESTART)
    with tour.call("POST clusters/resize"):
        equal(w.clusters.resize_and_wait(cluster_id, num_workers=1).num_workers, 1)
    with tour.call("POST clusters/restart"):
        equal(w.clusters.restart_and_wait(cluster_id).state, State.RUNNING)
    with tour.call("POST clusters/edit"):
        w.clusters.edit_and_wait(cluster_id, cluster_name=facts.name + "-2", num_workers=0, **spec)
        equal(w.clusters.get(cluster_id).cluster_name, facts.name + "-2")
    with tour.call("POST clusters/update"):
        change = compute.UpdateClusterResource(autotermination_minutes=33)
        w.clusters.update_and_wait(
            cluster_id, update_mask="autotermination_minutes", cluster=change
        )
        equal(w.clusters.get(cluster_id).autotermination_minutes, 33)
    with tour.call("POST clusters/delete"):
        equal(w.clusters.delete_and_wait(cluster_id).state, State.TERMINATED)
    with tour.call("POST clusters/start"):
        equal(w.clusters.start_and_wait(cluster_id).state, State.RUNNING)
    with tour.call("POST clusters/events"):
        kinds = [event.type for event in w.clusters.events(cluster_id, limit=2)]
        equal(compute.EventType.CREATING in kinds, True)
    with tour.call("POST clusters/pin"):
        w.clusters.pin(cluster_id)
    with tour.call("POST clusters/unpin"):
        w.clusters.unpin(cluster_id)
    with tour.call("POST clusters/permanent-delete"):
        w.clusters.permanent_delete(cluster_id)
        equal(cluster_id in [cluster.cluster_id for cluster in w.clusters.list()], False)
    with tour.call("GET policies/clusters/list"):
        list(w.cluster_policies.list())
    with tour.call("POST policies/clusters/create"):
        w.cluster_policies.create(name=facts.name, definition="{}")
    with tour.call("GET instance-pools/list"):
        list(w.instance_pools.list())
    with tour.call("POST instance-pools/create"):
        w.instance_pools.create(facts.name, facts.node_type_id)


def library(cluster_id: str) -> compute.LibraryInstallStatus | None:
    (status,) = w.libraries.cluster_status(cluster_id)
    return status.status


class Unreadable(io.BytesIO):
    """Cannot be read beyond its first 50 MiB."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 50 * 1024**2:
            raise OSError("this part cannot be read")
        return super().read(size)


def files() -> None:
    catalog_name, schema = "main", "default"
    full_name = f"{catalog_name}.{schema}.{facts.name}"
    with tour.call("POST unity-catalog/volumes"):
        kind = catalog.VolumeType.MANAGED
        w.volumes.create(catalog_name, schema, facts.name, kind)
    with tour.call("GET unity-catalog/volumes"):
        names = [volume.full_name for volume in w.volumes.list(catalog_name, schema)]
        equal(full_name in names, True)
    with tour.call("GET unity-catalog/volumes/{name}"):
        equal(w.volumes.read(full_name).full_name, full_name)

    with tour.call(
        "PATCH unity-catalog/permissions/{path}", "GET unity-catalog/permissions/{path}"
    ):
        change = catalog.PermissionsChange(
            principal="account users", add=[catalog.Privilege.READ_VOLUME]
        )
        w.grants.update("volume", full_name, changes=[change])
        found = w.grants.get("volume", full_name).privilege_assignments
        equal(
            [(each.principal, each.privileges) for each in found],
            [("account users", [catalog.Privilege.READ_VOLUME])],
        )

    root = f"/Volumes/{catalog_name}/{schema}/{facts.name}"
    content = b"some bytes \x00\xff" * 100
    with tour.call("PUT fs/directories{path}"):
        w.files.create_directory(f"{root}/a folder/below")
    with tour.call("HEAD fs/directories{path}"):
        w.files.get_directory_metadata(f"{root}/a folder/below")
    path = f"{root}/a folder/a+b % ö.bin"
    with tour.call("PUT fs/files{path}"):
        w.files.upload(path, io.BytesIO(content), overwrite=True)
    with tour.call("POST fs/create-download-url: a download"):
        equal(w.files.download(path).contents.read(), content)
    with tour.call("HEAD fs/files{path}"):
        equal(w.files.get_metadata(path).content_length, len(content))
    with tour.call("GET fs/directories{path}"):
        names = sorted(entry.name for entry in w.files.list_directory_contents(f"{root}/a folder"))
        equal(names, ["a+b % ö.bin", "below"])
    with tour.call("DELETE fs/files{path}"):
        w.files.delete(path)
        equal(refused(lambda: w.files.get_metadata(path)), True)
    with tour.call("DELETE fs/directories{path}"):
        w.files.delete_directory(f"{root}/a folder/below")
        equal(refused(lambda: w.files.get_directory_metadata(f"{root}/a folder/below")), True)
    with tour.call(
        "POST fs/create-upload-part-urls: 60 MB, sent and read back", "POST fs/files{path}"
    ):
        large = hashlib.sha256(b"seed").digest() * (60_000_000 // 32)
        w.files.upload(f"{root}/large", io.BytesIO(large), overwrite=True)
        equal(w.files.download(f"{root}/large").contents.read() == large, True)
    with tour.call("POST fs/create-abort-upload-url"):
        try:
            w.files.upload(f"{root}/aborted", Unreadable(large), use_parallel=False)
        except OSError:
            pass
        else:
            raise AssertionError("this could not be read whole")
        equal(refused(lambda: w.files.get_metadata(f"{root}/aborted")), True)
    with tour.call("DELETE unity-catalog/volumes/{name}"):
        w.volumes.delete(full_name)
        equal(refused(lambda: w.volumes.read(full_name)), True)
    with tour.call("GET unity-catalog/catalogs"):
        list(w.catalogs.list())


def workspace_files() -> None:
    home = f"/Users/{facts.user}/{facts.name}"
    content = b"print('a file')\n"
    with tour.call("POST workspace/mkdirs"):
        w.workspace.mkdirs(home)
    with tour.call("POST workspace/import"):
        text = base64.b64encode(content).decode()
        auto = workspace.ImportFormat.AUTO
        w.workspace.import_(f"{home}/json.py", content=text, format=auto, overwrite=True)
    with tour.call("POST workspace/import: as a multipart form"):
        w.workspace.upload(f"{home}/form.py", content, format=workspace.ImportFormat.AUTO)
    with tour.call("GET workspace/export"):
        answer = w.workspace.export(f"{home}/json.py", format=workspace.ExportFormat.AUTO)
        equal(base64.b64decode(answer.content), content)
    with tour.call("GET workspace/export: as it is (direct_download)"):
        equal(w.workspace.download(f"{home}/form.py").read(), content)
    with tour.call("GET workspace/get-status"):
        status = w.workspace.get_status(f"{home}/json.py")
        equal(status.object_type, workspace.ObjectType.FILE)
    with tour.call("GET workspace/list"):
        equal(
            sorted(entry.path for entry in w.workspace.list(home)),
            [f"{home}/form.py", f"{home}/json.py"],
        )
    with tour.call("POST workspace/delete"):
        w.workspace.delete(home, recursive=True)
        equal(refused(lambda: w.workspace.get_status(home)), True)


def dbfs() -> None:
    root = f"/parity/{facts.name}"
    content = b"some bytes \x00\xff" * 10
    text = base64.b64encode(content).decode()
    with tour.call("POST dbfs/mkdirs"):
        w.dbfs.mkdirs(root)
    with tour.call("POST dbfs/put"):
        w.dbfs.put(f"{root}/put", contents=text, overwrite=True)
    with tour.call("POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"):
        handle = w.dbfs.create(f"{root}/blocks", overwrite=True).handle
        w.dbfs.add_block(handle, text)
        w.dbfs.add_block(handle, text)
        w.dbfs.close(handle)
    with tour.call("GET dbfs/get-status"):
        equal(w.dbfs.get_status(f"{root}/blocks").file_size, 2 * len(content))
    with tour.call("GET dbfs/read"), w.dbfs.open(f"{root}/blocks", read=True) as stream:
        equal(stream.read(), content * 2)
    with tour.call("GET dbfs/list"):
        names = sorted(entry.path for entry in w.dbfs.list(root))
        equal(names, [f"{root}/blocks", f"{root}/put"])
    with tour.call("POST dbfs/move"):
        w.dbfs.move(f"{root}/put", f"{root}/moved")
        equal(w.dbfs.get_status(f"{root}/moved").file_size, len(content))
    with tour.call("POST dbfs/delete"):
        w.dbfs.delete(root, recursive=True)
        equal(refused(lambda: w.dbfs.get_status(root)), True)


def secrets() -> None:
    scope = facts.name
    with tour.call("POST secrets/scopes/create"):
        w.secrets.create_scope(scope)
    with tour.call("GET secrets/scopes/list"):
        equal(scope in [each.name for each in w.secrets.list_scopes()], True)
    with tour.call("POST secrets/put"):
        w.secrets.put_secret(scope, "key", string_value="välue")
    with tour.call("GET secrets/get"):
        value = base64.b64decode(w.secrets.get_secret(scope, "key").value).decode()
        equal(value, "välue")
    with tour.call("GET secrets/list"):
        equal([each.key for each in w.secrets.list_secrets(scope)], ["key"])
    with tour.call("POST secrets/delete"):
        w.secrets.delete_secret(scope, "key")
        equal(list(w.secrets.list_secrets(scope)), [])
    with tour.call("POST secrets/acls/put"):
        w.secrets.put_acl(scope, "users", workspace.AclPermission.READ)
    with tour.call("GET secrets/acls/get"):
        equal(w.secrets.get_acl(scope, "users").permission, workspace.AclPermission.READ)
    with tour.call("GET secrets/acls/list"):
        found = {acl.principal: acl.permission.value for acl in w.secrets.list_acls(scope)}
        equal(found, {facts.user: "MANAGE", "users": "READ"})
    with tour.call("POST secrets/acls/delete"):
        w.secrets.delete_acl(scope, "users")
        equal([acl.principal for acl in w.secrets.list_acls(scope)], [facts.user])
    with tour.call("POST secrets/scopes/delete"):
        w.secrets.delete_scope(scope)
        equal(scope in [each.name for each in w.secrets.list_scopes()], False)


def others() -> None:
    with tour.call("GET token/list"):
        list(w.tokens.list())
    with tour.call("GET repos"):
        list(w.repos.list())
    with tour.call("GET pipelines"):
        list(w.pipelines.list_pipelines())
    with tour.call("GET sql/warehouses"):
        list(w.warehouses.list())


if __name__ == "__main__":
    for part in (
        identity,
        jobs_and_runs,
        clusters,
        files,
        workspace_files,
        dbfs,
        secrets,
        others,
    ):
        part()
