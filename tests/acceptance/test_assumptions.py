"""Rows of docs/assumptions.md, each checked on a real workspace; skipped where none is named."""

from __future__ import annotations

import io
import json
import os
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, OperationFailed, PermissionDenied
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service import compute, iam, jobs, workspace

from lakeflow.client.connect import connect
from lakeflow.resources import files, multipart_upload
from tests.support.wheels import make_wheel

HOST = os.environ.get("LAKEFLOW_ACCEPTANCE_HOST")
TOKEN = os.environ.get("LAKEFLOW_ACCEPTANCE_TOKEN")
OTHER_TOKEN = os.environ.get("LAKEFLOW_ACCEPTANCE_OTHER_TOKEN")
CLUSTER = os.environ.get("LAKEFLOW_ACCEPTANCE_CLUSTER_ID")
PATIENCE = timedelta(minutes=30)

pytestmark = pytest.mark.skipif(
    not (HOST and TOKEN), reason="LAKEFLOW_ACCEPTANCE_HOST and LAKEFLOW_ACCEPTANCE_TOKEN not set"
)

PROBE = """
import json, os, sys
def main():
    if sys.argv[1:] == ["fail"]:
        raise RuntimeError("intentional failure")
    if sys.argv[1:2] == ["write"]:
        with open(os.environ.get("LAKEFLOW_MOUNT", "") + sys.argv[2], "w") as file:
            file.write("written by the run")
    print("PROBE " + json.dumps({"version": VERSION, "argv": sys.argv}))
"""


@dataclass(frozen=True)
class Site:
    """A cluster and a folder to try things in."""

    client: WorkspaceClient
    cluster_id: str
    folder: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    client = WorkspaceClient(host=HOST, token=TOKEN, auth_type="pat")
    me = client.current_user.me().user_name
    folder = f"/Workspace/Users/{me}/.lakeflow-acceptance-{uuid.uuid4().hex[:8]}"
    client.workspace.mkdirs(folder)
    created = None
    try:
        cluster_id = CLUSTER
        if not cluster_id:
            created = client.clusters.create(
                cluster_name=f"lakeflow-acceptance-{uuid.uuid4().hex[:8]}",
                spark_version=client.clusters.select_spark_version(long_term_support=True),
                node_type_id=client.clusters.select_node_type(local_disk=True),
                num_workers=1,
                autotermination_minutes=20,
                data_security_mode=compute.DataSecurityMode.SINGLE_USER,
                single_user_name=me,
                custom_tags={"lakeflow": "acceptance"},
            ).result(timeout=PATIENCE)
            cluster_id = created.cluster_id
        assert cluster_id
        yield Site(client, cluster_id, folder)
    finally:
        if created is not None and created.cluster_id:
            client.clusters.permanent_delete(created.cluster_id)
        client.workspace.delete(folder, recursive=True)


@pytest.fixture
def job(site: Site) -> Iterator[Job]:
    created = Job(site, f"lakeflow_probe_{uuid.uuid4().hex[:8]}")
    yield created
    created.delete()


class Job:
    """Create a job with a separate name for its probe wheel; delete it afterwards."""

    def __init__(self, site: Site, package: str) -> None:
        self.site = site
        self.package = package
        self.id = 0

    def wheel(self, tmp_path: Path, version: str, *, says: str = "", requires: Any = ()) -> str:
        """Upload a probe of this version, which reports `says`; its path in the workspace."""
        source = f"VERSION = {says or version!r}\n{PROBE}"
        built = make_wheel(
            tmp_path / uuid.uuid4().hex,
            self.package,
            version,
            {f"{self.package}/__init__.py": source},
            entry_points={"console_scripts": {"probe": f"{self.package}:main"}},
            requires=requires,
        )
        return self.upload(built)

    def upload(self, wheel: Path) -> str:
        """Upload a wheel into a separate folder; return its path in the workspace."""
        folder = f"{self.site.folder}/{uuid.uuid4().hex}"
        self.site.client.workspace.mkdirs(folder)
        path = f"{folder}/{wheel.name}"
        content = io.BytesIO(wheel.read_bytes())
        self.site.client.workspace.upload(path, content, format=workspace.ImportFormat.AUTO)
        return path

    def settings(self, wheels: list[str], parameters: list[str]) -> jobs.JobSettings:
        """Settings of a job that runs the probe with these libraries and task parameters."""
        task = jobs.Task(
            task_key="main",
            existing_cluster_id=self.site.cluster_id,
            python_wheel_task=jobs.PythonWheelTask(
                package_name=self.package, entry_point="probe", parameters=parameters
            ),
            libraries=[compute.Library(whl=wheel) for wheel in wheels],
            max_retries=0,
        )
        return jobs.JobSettings(
            name=self.package,
            tasks=[task],
            parameters=[jobs.JobParameterDefinition(name="call", default="none")],
            tags={"lakeflow": "acceptance"},
            max_concurrent_runs=10,
            queue=jobs.QueueSettings(enabled=True),
        )

    def deploy(self, wheels: list[str], *parameters: str) -> None:
        """Create the job, or reset it."""
        settings = self.settings(wheels, list(parameters))
        if self.id:
            self.site.client.jobs.reset(self.id, settings)
            return
        body = settings.as_dict()
        self.id = self.site.client.api_client.do("POST", "/api/2.2/jobs/create", body=body)[
            "job_id"
        ]

    def run(self, **request: Any) -> dict[str, Any]:
        """Run the job to its end; what the probe reported."""
        return self.report(
            self.site.client.jobs.run_now(self.id, **request).result(timeout=PATIENCE)
        )

    def report(self, run: jobs.Run) -> dict[str, Any]:
        """What the probe reported in a finished run."""
        assert run.tasks
        assert run.tasks[-1].run_id
        logs = self.site.client.jobs.get_run_output(run.tasks[-1].run_id).logs or ""
        (line,) = [line for line in logs.splitlines() if line.startswith("PROBE ")]
        report: dict[str, Any] = json.loads(line.removeprefix("PROBE "))
        return report

    def delete(self) -> None:
        """Remove the job, if it was made."""
        if self.id:
            self.site.client.jobs.delete(self.id)


def test_row_1_and_2_a_new_version_is_used_and_the_same_one_is_not(
    job: Job, tmp_path: Path
) -> None:
    job.deploy([job.wheel(tmp_path, "0.1.0+lf.000000000001", says="first")])
    assert job.run()["version"] == "first"
    job.deploy([job.wheel(tmp_path, "0.1.0+lf.000000000001", says="same version, other path")])
    assert job.run()["version"] == "first"
    job.deploy([job.wheel(tmp_path, "0.1.0+lf.000000000002", says="second")])
    assert job.run()["version"] == "second"


def test_row_2_a_plus_travels_through_the_files_api(site: Site, tmp_path: Path) -> None:
    root = os.environ.get("LAKEFLOW_ACCEPTANCE_ROOT")
    if not root:
        pytest.skip("LAKEFLOW_ACCEPTANCE_ROOT names no volume")
    folder = f"{root}/acceptance-{uuid.uuid4().hex[:8]}"
    path = f"{folder}/probe-0.1.0+lf.000000000001-py3-none-any.whl"
    quoted = urllib.parse.quote(path)
    site.client.files.create_directory(folder)
    try:
        site.client.api_client.do("PUT", f"/api/2.0/fs/files{quoted}", data=b"bytes", raw=True)
        listed = [entry.path for entry in site.client.files.list_directory_contents(folder)]
        assert listed == [path]
    finally:
        site.client.files.delete(path)
        site.client.files.delete_directory(folder)


def test_row_3_an_installed_wheel_satisfies_the_next_one(job: Job, tmp_path: Path) -> None:
    leaf = f"{job.package}_leaf"
    built = make_wheel(tmp_path, leaf, "1.0+lf.000000000001", {f"{leaf}/__init__.py": ""})
    needs = [f"{leaf}==1.0+lf.000000000001"]
    job.deploy([job.upload(built), job.wheel(tmp_path, "0.1.0", requires=needs)])
    assert job.run()["version"] == "0.1.0"


def test_row_4_and_5_references_are_replaced_and_what_they_hold_is_not(
    job: Job, tmp_path: Path
) -> None:
    parameters = ["{{job.run_id}}", "{{task.run_id}}", "{{task.execution_count}}"]
    job.deploy([job.wheel(tmp_path, "0.1.0")], *parameters, "{{job.parameters.call}}", "{{job.no")
    call = json.dumps({"argv": ["-x", "", "two words", "\\u007b\\u007bjob.id\\u007d\\u007d"]})
    run = job.site.client.jobs.run_now(job.id, job_parameters={"call": call})
    finished = run.result(timeout=PATIENCE)
    assert finished.tasks
    argv = job.report(finished)["argv"]
    task_id = finished.tasks[-1].run_id
    assert argv[1:] == [str(finished.run_id), str(task_id), argv[3], call, "{{job.no"]
    assert argv[3].isdigit()


def test_row_6_a_call_may_hold_10_000_bytes(job: Job, tmp_path: Path) -> None:
    job.deploy([job.wheel(tmp_path, "0.1.0")], "{{job.parameters.call}}")
    call = "x" * 10_000
    assert job.run(job_parameters={"call": call})["argv"][1] == call


def test_row_7_argv_begins_with_the_package(job: Job, tmp_path: Path) -> None:
    job.deploy([job.wheel(tmp_path, "0.1.0")], "a", "", "b c", "-d")
    assert job.run()["argv"] == [job.package, "a", "", "b c", "-d"]


def test_row_8_python_params_replace_all_parameters(job: Job, tmp_path: Path) -> None:
    job.deploy([job.wheel(tmp_path, "0.1.0")], "a", "b")
    assert job.run(python_params=["c"])["argv"] == [job.package, "c"]


def test_row_9_and_14_a_token_stays_reserved_by_a_failed_run(job: Job, tmp_path: Path) -> None:
    job.deploy([job.wheel(tmp_path, "0.1.0")], "fail")
    token = uuid.uuid4().hex
    first = job.site.client.jobs.run_now(job.id, idempotency_token=token)
    with pytest.raises(OperationFailed):
        first.result(timeout=PATIENCE)
    again = job.site.client.jobs.run_now(job.id, idempotency_token=token)
    assert again.bind()["run_id"] == first.bind()["run_id"]
    finished = job.site.client.jobs.get_run(first.bind()["run_id"])
    assert finished.tasks
    assert finished.tasks[-1].run_id
    output = job.site.client.jobs.get_run_output(finished.tasks[-1].run_id)
    assert output.error
    assert "intentional failure" in output.error
    assert output.error_trace
    assert "Traceback" in output.error_trace


def test_row_10_and_11_a_job_is_found_by_its_name_and_reset_whole(job: Job, tmp_path: Path) -> None:
    path = job.wheel(tmp_path, "0.1.0")
    job.deploy([path], "a")
    (found,) = job.site.client.jobs.list(name=job.package.upper())
    assert found.job_id == job.id
    assert found.settings
    assert found.settings.tags == {"lakeflow": "acceptance"}
    bare = job.settings([path], ["a"])
    bare.tags = None
    job.site.client.jobs.reset(job.id, bare)
    after = job.site.client.jobs.get(job.id).settings
    assert after
    assert not after.tags


def test_row_12_what_a_run_wrote_is_seen_through_the_api(job: Job, tmp_path: Path) -> None:
    path = f"{job.site.folder}/written-{uuid.uuid4().hex}.txt"
    job.deploy([job.wheel(tmp_path, "0.1.0")], "write", path)
    job.run()
    with job.site.client.workspace.download(path) as file:
        assert file.read() == b"written by the run"


def test_row_13_runtimes_are_named_as_the_table_expects(site: Site) -> None:
    versions = site.client.clusters.spark_versions().versions or []
    names = [version.name or "" for version in versions]
    assert any("LTS" in name for name in names), names


def test_row_18_workspace_import_refuses_more_than_10_mb(site: Site) -> None:
    path = f"{site.folder}/large.bin"
    with pytest.raises(DatabricksError):
        site.client.workspace.upload(
            path, io.BytesIO(bytes(11 << 20)), format=workspace.ImportFormat.AUTO
        )


def test_row_59_an_upload_in_parts_is_gone_on_with(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.environ.get("LAKEFLOW_ACCEPTANCE_ROOT")
    if not root:
        pytest.skip("LAKEFLOW_ACCEPTANCE_ROOT names no volume")
    monkeypatch.setenv("DATABRICKS_HOST", str(HOST))
    monkeypatch.setenv("DATABRICKS_TOKEN", str(TOKEN))
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    folder = f"{root}/acceptance-{uuid.uuid4().hex[:8]}"
    large = tmp_path / "large"
    large.write_bytes(os.urandom(multipart_upload.MIN_BYTES + 1))

    def break_off(done: int) -> None:
        if done > 2 * multipart_upload.PART_BYTES:
            raise KeyboardInterrupt

    site.client.files.create_directory(folder)
    try:
        with pytest.raises(KeyboardInterrupt):
            multipart_upload.send(
                connect(), f"{folder}/large", large, replace=False, on_progress=break_off
            )
        seen: list[int] = []
        multipart_upload.send(
            connect(), f"{folder}/large", large, replace=False, on_progress=seen.append
        )
        assert seen[0] > multipart_upload.PART_BYTES
        size = files.size_of(connect(), f"{folder}/large")
        assert size == files.KnownSize(multipart_upload.MIN_BYTES + 1)
        site.client.files.delete(f"{folder}/large")
    finally:
        site.client.files.delete_directory(folder)


@pytest.fixture(scope="module")
def other() -> WorkspaceClient:
    """Another user, who is no admin."""
    if not OTHER_TOKEN:
        pytest.skip("LAKEFLOW_ACCEPTANCE_OTHER_TOKEN not set")
    return WorkspaceClient(host=HOST, token=OTHER_TOKEN, auth_type="pat")


def test_row_62_and_63_permission_comes_before_existence(
    job: Job, other: WorkspaceClient, tmp_path: Path
) -> None:
    job.deploy([job.wheel(tmp_path, "1.0")])
    needed = "does not have View or Admin or Manage Run or Owner permissions on job"
    for job_id in (job.id, 2**52):
        with pytest.raises(PermissionDenied, match=f"{needed} {job_id}"):
            other.jobs.get(job_id)
    assert job.id not in [found.job_id for found in other.jobs.list()]
    grant = iam.AccessControlRequest(
        user_name=other.current_user.me().user_name,
        permission_level=iam.PermissionLevel.CAN_VIEW,
    )
    job.site.client.permissions.update("jobs", str(job.id), access_control_list=[grant])
    assert other.jobs.get(job.id).job_id == job.id
    with pytest.raises(PermissionDenied, match=f"permissions on job {job.id}"):
        other.jobs.run_now(job.id)


def test_row_65_secrets_of_others(site: Site, other: WorkspaceClient) -> None:
    scope = f"lakeflow-acceptance-{uuid.uuid4().hex[:8]}"
    site.client.secrets.create_scope(scope)
    try:
        site.client.secrets.put_secret(scope, "key", string_value="value")
        with pytest.raises(PermissionDenied, match="does not have READ permission on scope"):
            other.secrets.get_secret(scope, "key")
        assert scope in [found.name for found in other.secrets.list_scopes()]
        with pytest.raises(NotFound):
            other.secrets.get_secret(f"{scope}-none", "key")
        me = str(other.current_user.me().user_name)
        site.client.secrets.put_acl(scope, me, workspace.AclPermission.READ)
        assert other.secrets.get_secret(scope, "key").value == "dmFsdWU="
    finally:
        site.client.secrets.delete_scope(scope)


def test_row_68_homes_are_their_owners(site: Site, other: WorkspaceClient) -> None:
    for path in (site.folder, f"{site.folder}/none"):
        with pytest.raises(PermissionDenied):
            other.workspace.get_status(path)
