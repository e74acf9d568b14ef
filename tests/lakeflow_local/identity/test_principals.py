"""Two users and a service principal: what each may do, and the errors for what it may not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service.catalog import (
    PermissionsChange,
    Privilege,
    VolumeType,
)
from databricks.sdk.service.compute import ClusterDetails, DataSecurityMode, Library, State
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import JobRunAs, JobSettings
from databricks.sdk.service.workspace import AclPermission, ImportFormat

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.app import ROUTES
from tests.lakeflow_local.helpers import (
    ask,
    finish,
    logs,
    make_job,
    output,
    probe_task,
    probe_wheel,
    result_of,
    run_once,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.support.wheels import make_wheel

ALICE, BOB, ROBOT = "alice@example.com", "bob@example.com", "etl-robot"
IN_A_TASK = """
import json, sys
from dbruntime.context import HOST, TOKEN
from dbruntime.dbutils import DBUtils, ExecutionError, _ask

def look():
    dbutils = DBUtils()
    try:
        secret = dbutils.secrets.get(sys.argv[1], "key")
    except ExecutionError as error:
        secret = str(error)
    me = _ask("GET", "/api/2.0/preview/scim/v2/Me")["userName"]
    dbutils.jobs.taskValues.set("of", me)
    try:
        _ask("POST", "/lakeflow/login-links")
        raise AssertionError("a task was given a link to the page")
    except ExecutionError as error:
        assert "cannot log in" in str(error)
    print(json.dumps({"me": me, "secret": secret}))
"""


def connect_as(endpoint: Endpoint, name: str) -> WorkspaceClient:
    token = daemon.token(endpoint, name)
    return WorkspaceClient(host=endpoint.host, token=token, auth_type="pat")


@pytest.fixture(scope="module")
def alice(endpoint: Endpoint) -> WorkspaceClient:
    return connect_as(endpoint, ALICE)


@pytest.fixture(scope="module")
def bob(endpoint: Endpoint) -> WorkspaceClient:
    return connect_as(endpoint, BOB)


@pytest.fixture
def job(alice: WorkspaceClient) -> int:
    """A job of Alice's that is shared with nobody."""
    return make_job(alice, [probe_task("none", "/Workspace/Shared/x.whl", "echo")], name="alice's")


def allow(
    client: WorkspaceClient, kind: str, object_id: object, level: str, name: str = BOB
) -> None:
    who = {"user_name" if "@" in name else "service_principal_name": name}
    if name == "users":
        who = {"group_name": name}
    grant = AccessControlRequest(permission_level=PermissionLevel(level), **who)
    client.permissions.update(kind, str(object_id), access_control_list=[grant])


def refused(call: Callable[[], object]) -> str:
    """What a call says that is refused for want of a permission."""
    with pytest.raises(PermissionDenied) as caught:
        call()
    assert caught.value.error_code == "PERMISSION_DENIED"
    return str(caught.value).split(". Config:")[0]


OPEN_TO_ANYONE = {
    "GET preview/scim/v2/Me",
    "POST jobs/create",
    "GET jobs/list",
    "POST jobs/runs/submit",
    "GET jobs/runs/list",
    "POST clusters/create",
    "GET clusters/list",
    "GET policies/clusters/list",
    "GET instance-pools/list",
    "GET clusters/spark-versions",
    "GET clusters/list-node-types",
    "GET clusters/list-zones",
    "GET libraries/all-cluster-statuses",
    "POST unity-catalog/volumes",
    "GET unity-catalog/volumes",
    "POST dbfs/create",
    "POST dbfs/add-block",
    "POST dbfs/close",
    "POST dbfs/put",
    "GET dbfs/read",
    "GET dbfs/get-status",
    "GET dbfs/list",
    "POST dbfs/mkdirs",
    "POST dbfs/delete",
    "POST dbfs/move",
    "POST secrets/scopes/create",
    "GET secrets/scopes/list",
    "GET permissions/{path}",
    "PUT permissions/{path}",
    "PATCH permissions/{path}",
    "POST /telemetry-ext",
}
"""They check permissions themselves, or only return what the principal may see."""


def test_every_other_route_needs_a_permission() -> None:
    found = {
        route.operation for route in ROUTES if route.permission is anyone and not route.is_presigned
    }
    assert found == OPEN_TO_ANYONE


def test_each_token_identifies_its_principal(
    endpoint: Endpoint, client: WorkspaceClient, alice: WorkspaceClient
) -> None:
    me = alice.current_user.me()
    assert me.user_name == ALICE
    assert [group.display for group in me.groups or ()] == ["users"]
    first = client.current_user.me()
    assert "admins" in [group.display for group in first.groups or ()]
    assert daemon.token(endpoint, ALICE) == daemon.token(endpoint, ALICE.upper())
    assert daemon.token(endpoint, first.user_name or "") == endpoint.token
    robot = connect_as(endpoint, ROBOT).current_user.me()
    assert (robot.user_name, robot.emails or None) == (ROBOT, None)
    assert alice.workspace.get_status(f"/Users/{ALICE}").path == f"/Users/{ALICE}"


def test_only_the_owner_creates_principals(endpoint: Endpoint) -> None:
    bobs = daemon.token(endpoint, BOB)
    answer = ask(endpoint, "POST", "/lakeflow/principals", token=bobs, json={"name": "mallory@x"})
    assert answer.status_code == 403
    for name in ("", "a b", "../x", "é", None, 1, "x" * 256):
        answer = ask(endpoint, "POST", "/lakeflow/principals", json={"name": name})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_an_admin_may_everything(endpoint: Endpoint, job: int) -> None:
    daemon.token(endpoint, "root@example.com", is_admin=True)
    admin = connect_as(endpoint, "root@example.com")
    assert admin.jobs.get(job).creator_user_name == ALICE
    admin.jobs.delete(job)
    daemon.token(endpoint, "root@example.com", is_admin=False)
    assert "does not have" in refused(lambda: admin.jobs.get(job))


def test_permission_comes_before_existence(
    client: WorkspaceClient, alice: WorkspaceClient, bob: WorkspaceClient, job: int
) -> None:
    says = f"User {BOB} does not have View or Admin or Manage Run or Owner permissions on job"
    assert refused(lambda: bob.jobs.get(job)) == f"{says} {job}"
    assert refused(lambda: bob.jobs.get(999_999)) == f"{says} 999999"
    assert refused(lambda: bob.jobs.delete(job)) == (
        f"User {BOB} does not have Admin or Owner permissions on job {job}"
    )
    assert refused(lambda: bob.permissions.get("jobs", str(job))).endswith(
        f"permissions on Job with ID: ElasticJobId({job}). Please contact the owner or an"
        " administrator for access"
    )
    assert refused(lambda: allow(bob, "jobs", job, "CAN_MANAGE")).startswith(
        f"{BOB} does not have Manage permissions on Job"
    )
    with pytest.raises(ResourceDoesNotExist, match=r"Job 999999 does not exist."):
        client.jobs.get(999_999)
    alice.jobs.delete(job)
    with pytest.raises(ResourceDoesNotExist, match=f"Job {job} does not exist"):
        alice.jobs.get(job)  # it was hers
    refused(lambda: bob.jobs.get(job))


def test_what_each_level_on_a_job_allows(
    alice: WorkspaceClient, bob: WorkspaceClient, job: int
) -> None:
    assert job not in [found.job_id for found in bob.jobs.list()]
    allow(alice, "jobs", job, "CAN_VIEW")
    assert job in [found.job_id for found in bob.jobs.list()]
    assert bob.jobs.get(job).run_as_user_name == ALICE
    refused(lambda: bob.jobs.run_now(job))
    run_id = trigger(alice, job)
    assert bob.jobs.get_run(run_id).creator_user_name == ALICE
    assert run_id in [run.run_id for run in bob.jobs.list_runs(job_id=job)]
    refused(lambda: bob.jobs.cancel_run(run_id))
    finish(alice, run_id)
    allow(alice, "jobs", job, "CAN_MANAGE_RUN")
    again = trigger(bob, job)
    assert bob.jobs.get_run(again).creator_user_name == BOB
    bob.jobs.cancel_run(again)
    finish(bob, again)
    refused(lambda: bob.jobs.update(job, new_settings=JobSettings(name="bob's")))
    refused(lambda: bob.jobs.delete_run(again))
    allow(alice, "jobs", job, "CAN_MANAGE")
    bob.jobs.update(job, new_settings=JobSettings(name="bob's"))
    bob.jobs.delete_run(again)
    assert "change the owner" in refused(lambda: allow(bob, "jobs", job, "IS_OWNER"))
    bob.jobs.delete(job)


def test_a_group_is_everybody(alice: WorkspaceClient, bob: WorkspaceClient, job: int) -> None:
    allow(alice, "jobs", job, "CAN_VIEW", "users")
    assert bob.jobs.get(job).job_id == job


def test_the_runs_of_others_are_not_on_the_list(
    alice: WorkspaceClient, bob: WorkspaceClient, job: int
) -> None:
    run_id = trigger(alice, job)
    assert run_id not in [run.run_id for run in bob.jobs.list_runs()]
    refused(lambda: bob.jobs.get_run(run_id))
    task = (finish(alice, run_id).tasks or [])[0]
    refused(lambda: bob.jobs.get_run_output(task.run_id or 0))
    refused(lambda: bob.jobs.cancel_all_runs(job_id=job))
    refused(lambda: bob.jobs.cancel_all_runs(all_queued_runs=True))


def test_a_run_computes_as_whom_its_job_says(
    endpoint: Endpoint,
    client: WorkspaceClient,
    alice: WorkspaceClient,
    bob: WorkspaceClient,
    tmp_path: Path,
) -> None:
    connect_as(endpoint, ROBOT)
    alice.secrets.create_scope("of-alice")
    alice.secrets.put_secret("of-alice", "key", string_value="the value")
    points = {"a_group": {"run-look": "look_it:look"}}
    wheel = make_wheel(tmp_path, "probe", "1.0", {"look_it.py": IN_A_TASK}, entry_points=points)
    alice.workspace.mkdirs("/Workspace/Shared/looks")
    path = f"/Workspace/Shared/looks/{wheel.name}"
    alice.workspace.upload(path, wheel.read_bytes(), format=ImportFormat.AUTO)
    cluster = start_cluster(client)
    allow(client, "clusters", cluster, "CAN_MANAGE", "users")
    job = make_job(alice, [probe_task(cluster, path, "look", "of-alice")])
    allow(alice, "jobs", job, "CAN_MANAGE_RUN")

    def seen(who: WorkspaceClient) -> dict[str, str]:
        run = finish(who, trigger(who, job))
        assert result_of(run) == "SUCCESS", run.state
        found: dict[str, str] = json.loads(logs(output(who, run)))
        return found

    # Bob triggers it, and it still uses Alice's permissions.
    assert seen(bob) == {"me": ALICE, "secret": "the value"}
    as_robot = JobSettings(run_as=JobRunAs(service_principal_name=ROBOT))
    alice.jobs.update(job, new_settings=as_robot)
    assert alice.jobs.get(job).run_as_user_name == ROBOT
    says = f"{ROBOT} does not have READ permission on scope of-alice to perform this action."
    assert seen(bob) == {"me": ROBOT, "secret": says}
    alice.secrets.put_acl("of-alice", ROBOT, AclPermission.READ)
    assert seen(alice) == {"me": ROBOT, "secret": "the value"}


@pytest.mark.usefixtures("bob")
def test_who_may_run_a_job_as_whom(
    alice: WorkspaceClient, client: WorkspaceClient, job: int
) -> None:
    as_bob = JobSettings(run_as=JobRunAs(user_name=BOB))
    assert "Only workspace admins" in refused(lambda: alice.jobs.update(job, new_settings=as_bob))
    client.jobs.update(job, new_settings=as_bob)
    assert client.jobs.get(job).run_as_user_name == BOB
    nobody = JobSettings(run_as=JobRunAs(user_name="nobody@example.com"))
    with pytest.raises(InvalidParameterValue, match=r"lakeflow local token nobody@example.com"):
        client.jobs.update(job, new_settings=nobody)
    # A reset that names nobody leaves it.
    kept = client.jobs.get(job).settings
    assert kept is not None
    kept.run_as = None
    client.jobs.reset(job, new_settings=kept)
    assert client.jobs.get(job).run_as_user_name == BOB


def test_who_may_change_a_job_need_not_be_whom_it_runs_as(
    client: WorkspaceClient, bob: WorkspaceClient, job: int
) -> None:
    as_alice = JobSettings(run_as=JobRunAs(user_name=ALICE))
    client.jobs.update(job, new_settings=as_alice)
    allow(client, "jobs", job, "CAN_MANAGE")
    bob.jobs.update(job, new_settings=JobSettings(name="renamed"))
    kept = bob.jobs.get(job).settings
    assert kept is not None
    bob.jobs.reset(job, new_settings=kept)
    assert bob.jobs.get(job).run_as_user_name == ALICE
    other = JobSettings(run_as=JobRunAs(user_name=client.current_user.me().user_name))
    refused(lambda: bob.jobs.update(job, new_settings=other))
    bob.jobs.update(job, fields_to_remove=["run_as"])
    assert (settings := bob.jobs.get(job).settings) is not None
    assert settings.run_as is None


def test_a_cluster_reads_secrets_as_its_creator(
    alice: WorkspaceClient, bob: WorkspaceClient
) -> None:
    alice.secrets.create_scope("for-clusters")
    alice.secrets.put_secret("for-clusters", "key", string_value="hers")

    def state_of_new_cluster(client: WorkspaceClient) -> str:
        cluster = client.clusters.create(
            spark_version=client.clusters.select_spark_version(long_term_support=True),
            node_type_id="local.small",
            num_workers=0,
            spark_env_vars={"HERS": "{{secrets/for-clusters/key}}"},
        ).cluster_id
        assert cluster
        state = until(lambda: settled(client.clusters.get(cluster)))
        return state.state.value if state.state else ""

    def settled(cluster: ClusterDetails) -> ClusterDetails | None:
        return None if cluster.state in (State.PENDING, State.RESTARTING) else cluster

    assert state_of_new_cluster(alice) == "RUNNING"
    assert state_of_new_cluster(bob) == "TERMINATED"
    alice.secrets.put_acl("for-clusters", BOB, AclPermission.READ)
    assert state_of_new_cluster(bob) == "RUNNING"


def test_libraries_of_others_can_not_be_installed(
    alice: WorkspaceClient, bob: WorkspaceClient, tmp_path: Path
) -> None:
    hers = upload(alice, probe_wheel(tmp_path, "1.0"), "libraries")
    cluster = start_cluster(bob)
    library = [Library(whl=hers)]
    assert "View" in refused(lambda: bob.libraries.install(cluster, library))
    alice.volumes.create("main", "default", "wheels", VolumeType.MANAGED)
    for path in ("/Volumes/main/default/wheels/x.whl", "dbfs:/Volumes/main/default/wheels/x.whl"):
        install = partial(bob.libraries.install, cluster, [Library(whl=path)])
        assert "READ VOLUME" in refused(install)


def test_what_each_level_on_a_cluster_allows(
    client: WorkspaceClient, alice: WorkspaceClient, bob: WorkspaceClient
) -> None:
    cluster = start_cluster(alice)
    assert alice.clusters.get(cluster).creator_user_name == ALICE
    assert cluster not in [found.cluster_id for found in bob.clusters.list()]
    says = refused(lambda: bob.clusters.get(cluster))
    assert says.startswith(f"{BOB} does not have Attach permissions on {cluster}.")
    with pytest.raises(ResourceDoesNotExist, match="Cluster none does not exist"):
        bob.clusters.get("none")
    allow(alice, "clusters", cluster, "CAN_ATTACH_TO")
    assert cluster in [found.cluster_id for found in bob.clusters.list()]
    refused(lambda: bob.clusters.delete(cluster))
    allow(alice, "clusters", cluster, "CAN_RESTART")
    bob.clusters.delete(cluster)
    bob.clusters.start(cluster)
    refused(lambda: bob.clusters.permanent_delete(cluster))
    allow(alice, "clusters", cluster, "CAN_MANAGE")
    bob.clusters.permanent_delete(cluster)


def test_a_task_needs_permissions_on_its_cluster(
    alice: WorkspaceClient, bob: WorkspaceClient, tmp_path: Path
) -> None:
    cluster = start_cluster(alice)
    wheel = probe_wheel(tmp_path, "1.0")
    task = probe_task(cluster, upload(bob, wheel), "version")
    run, _ = run_once(bob, task)
    assert run.state
    assert f"{BOB} does not have Attach permissions on {cluster}" in (run.state.state_message or "")
    allow(alice, "clusters", cluster, "CAN_RESTART")
    run, _ = run_once(bob, task)
    assert run.state
    assert "'Manage' permissions are required to install libraries on a cluster" in (
        run.state.state_message or ""
    )
    allow(alice, "clusters", cluster, "CAN_MANAGE")
    run, _ = run_once(bob, task)
    assert result_of(run) == "SUCCESS"
    hers = probe_task(cluster, upload(alice, wheel, "hers"), "version")
    run, _ = run_once(bob, hers)
    assert run.state
    assert f"{BOB} does not have View permissions on /Workspace/Users/{ALICE}/hers" in (
        run.state.state_message or ""
    )


def test_a_dedicated_cluster_is_for_one(alice: WorkspaceClient, bob: WorkspaceClient) -> None:
    cluster = start_cluster(alice, data_security_mode=DataSecurityMode.SINGLE_USER)
    allow(alice, "clusters", cluster, "CAN_MANAGE")
    run, _ = run_once(bob, probe_task(cluster, None, "version"))
    assert run.state
    assert (
        f"Single-user check failed: user '{BOB}' attempted to run a command on single-user cluster"
        f" {cluster}, but the single user of this cluster is user '{ALICE}'"
    ) in (run.state.state_message or "")


def test_secrets(alice: WorkspaceClient, bob: WorkspaceClient) -> None:
    alice.secrets.create_scope("shared")
    alice.secrets.put_secret("shared", "key", string_value="x")
    assert "shared" in [scope.name for scope in bob.secrets.list_scopes()]
    says = "does not have {} permission on scope shared to perform this action"
    assert (
        refused(lambda: bob.secrets.get_secret("shared", "key")) == f"{BOB} {says.format('READ')}"
    )
    refused(lambda: list(bob.secrets.list_secrets("shared")))
    with pytest.raises(ResourceDoesNotExist):
        bob.secrets.get_secret("none", "key")
    alice.secrets.put_acl("shared", BOB, AclPermission.READ)
    assert bob.secrets.get_secret("shared", "key").value == "eA=="
    assert says.format("WRITE") in refused(
        lambda: bob.secrets.put_secret("shared", "key", string_value="y")
    )
    alice.secrets.put_acl("shared", "users", AclPermission.WRITE)
    bob.secrets.put_secret("shared", "other", string_value="y")
    refused(lambda: bob.secrets.put_acl("shared", BOB, AclPermission.MANAGE))
    refused(lambda: list(bob.secrets.list_acls("shared")))
    assert says.format("MANAGE") in refused(lambda: bob.secrets.delete_scope("shared"))
    alice.secrets.put_acl("shared", BOB, AclPermission.MANAGE)
    bob.secrets.delete_scope("shared")


def test_workspace_files(
    client: WorkspaceClient, alice: WorkspaceClient, bob: WorkspaceClient
) -> None:
    home = f"/Workspace/Users/{ALICE}"
    alice.workspace.mkdirs(f"{home}/folder")
    alice.workspace.upload(f"{home}/folder/a.txt", b"hers", format=ImportFormat.AUTO)
    says = refused(lambda: bob.workspace.get_status(f"{home}/folder/a.txt"))
    assert says.startswith(f"{BOB} does not have View permissions on {home}/folder/a.txt.")
    refused(lambda: bob.workspace.get_status(f"{home}/none"))
    refused(lambda: bob.workspace.export(f"{home}/folder/a.txt"))
    refused(lambda: list(bob.workspace.list(home)))
    refused(lambda: bob.workspace.mkdirs(f"{home}/bobs"))
    refused(lambda: bob.workspace.mkdirs("/Workspace/at-the-root"))
    refused(lambda: bob.workspace.delete(f"{home}/folder", recursive=True))
    listed = [found.path for found in bob.workspace.list("/Users")]
    assert f"/Users/{BOB}" in listed
    assert f"/Users/{ALICE}" not in listed
    refused(lambda: bob.workspace.upload(f"{home}/folder/b", b"", format=ImportFormat.AUTO))
    bob.workspace.upload("/Workspace/Shared/of-bob", b"x", format=ImportFormat.AUTO)
    alice.workspace.delete("/Workspace/Shared/of-bob")
    folder = alice.workspace.get_status(f"{home}/folder").object_id
    allow(alice, "directories", folder, "CAN_READ")
    assert bob.workspace.download(f"{home}/folder/a.txt").read() == b"hers"
    refused(
        lambda: bob.workspace.upload(
            f"{home}/folder/a.txt", b"", format=ImportFormat.AUTO, overwrite=True
        )
    )
    allow(alice, "directories", folder, "CAN_EDIT")
    bob.workspace.upload(f"{home}/folder/a.txt", b"ours", format=ImportFormat.AUTO, overwrite=True)
    refused(lambda: bob.workspace.upload(f"{home}/folder/b", b"", format=ImportFormat.AUTO))
    shown = client.permissions.get("directories", str(folder)).access_control_list
    assert BOB in [item.user_name for item in shown or ()]


def test_volumes(alice: WorkspaceClient, bob: WorkspaceClient) -> None:
    bob.files.upload("/Volumes/main/default/lakeflow/of-bob", io.BytesIO(b"x"), overwrite=True)
    alice.volumes.create("main", "default", "hers", VolumeType.MANAGED)
    path = "/Volumes/main/default/hers/a.txt"
    alice.files.upload(path, io.BytesIO(b"hers"))
    says = refused(lambda: bob.files.download(path))
    assert says == "User does not have READ VOLUME on Volume 'main.default.hers'"
    assert "hers" not in [volume.name for volume in bob.volumes.list("main", "default")]
    with pytest.raises(NotFound, match=r"Volume 'main.default.none' does not exist"):
        bob.files.download("/Volumes/main/default/none/x")
    change = PermissionsChange(principal=BOB, add=[Privilege.READ_VOLUME])
    alice.grants.update("volume", "main.default.hers", changes=[change])
    contents = bob.files.download(path).contents
    assert contents is not None
    assert contents.read() == b"hers"
    assert "WRITE VOLUME" in refused(
        lambda: bob.files.upload(path, io.BytesIO(b""), overwrite=True)
    )
    refused(lambda: bob.files.delete(path))
    refused(lambda: bob.volumes.delete("main.default.hers"))
    refused(lambda: bob.grants.update("volume", "main.default.hers", changes=[change]))
    change = PermissionsChange(
        principal="account users", add=[Privilege.WRITE_VOLUME], remove=[Privilege.READ_VOLUME]
    )
    alice.grants.update("volume", "main.default.hers", changes=[change])
    bob.files.upload(path, io.BytesIO(b"ours"), overwrite=True)
    wrong = PermissionsChange(principal=BOB, add=[Privilege.SELECT])
    with pytest.raises(BadRequest, match="can have READ_VOLUME"):
        alice.grants.update("volume", "main.default.hers", changes=[wrong])


def test_the_page_shows_what_its_visitor_may_see(
    endpoint: Endpoint, alice: WorkspaceClient, job: int
) -> None:
    run_id = trigger(alice, job)
    finish(alice, run_id)
    hers, bobs = daemon.token(endpoint, ALICE), daemon.token(endpoint, BOB)
    home = f"/files/Workspace/Users/{ALICE}"
    for path in (f"/jobs/{job}", f"/jobs/{job}/runs/{run_id}", home):
        assert ask(endpoint, "GET", path, token=hers).status_code == 200, path
        assert ask(endpoint, "GET", path, token=bobs).status_code == 403, path
    assert f"runs/{run_id}" in ask(endpoint, "GET", "/", token=hers).text
    assert f"runs/{run_id}" not in ask(endpoint, "GET", "/", token=bobs).text
    assert ALICE not in ask(endpoint, "GET", "/files/Workspace/Users", token=bobs).text
    assert "only user" not in ask(endpoint, "GET", "/", token=bobs).text
