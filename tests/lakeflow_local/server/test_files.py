"""Files on volumes, in the workspace and on DBFS, and that no path leads out of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    NotFound,
    ResourceAlreadyExists,
    ResourceConflict,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.catalog import VolumeType
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, ObjectType

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask, probe_task, run_once, start_cluster

VOLUME = "/Volumes/main/default/lakeflow"


@pytest.fixture(scope="module")
def home(client: WorkspaceClient) -> str:
    return f"/Workspace/Users/{client.current_user.me().user_name}"


def test_volume_files(client: WorkspaceClient) -> None:
    path = f"{VOLUME}/a folder/x-1.0+lf.ab é.whl"
    client.files.upload(path, io.BytesIO(b"one"))
    with pytest.raises((AlreadyExists, ResourceConflict)):
        client.files.upload(path, io.BytesIO(b"two"), overwrite=False)
    client.files.upload(path, io.BytesIO(b"two!"), overwrite=True)
    contents = client.files.download(path).contents
    assert contents
    assert contents.read() == b"two!"
    assert client.files.get_metadata(path).content_length == 4
    listed = list(client.files.list_directory_contents(f"{VOLUME}/a folder"))
    assert [(entry.path, entry.file_size) for entry in listed] == [(path, 4)]
    with pytest.raises(BadRequest, match="not empty"):
        client.files.delete_directory(f"{VOLUME}/a folder")
    client.files.delete(path)
    with pytest.raises(NotFound):
        client.files.get_metadata(path)
    client.files.delete_directory(f"{VOLUME}/a folder")
    with pytest.raises(NotFound):
        client.files.get_directory_metadata(f"{VOLUME}/a folder")


def test_a_plus_in_a_url_is_a_space(client: WorkspaceClient, endpoint: Endpoint) -> None:
    assert ask(endpoint, "PUT", f"/api/2.0/fs/files{VOLUME}/a+b", data=b"x").status_code == 204
    assert client.files.get_metadata(f"{VOLUME}/a b").content_length == 1


def test_volumes(client: WorkspaceClient) -> None:
    with pytest.raises(NotFound, match=r"Volume 'a\.b\.c' does not exist"):
        client.volumes.read("a.b.c")
    with pytest.raises(NotFound, match=r"Volume 'a\.b\.c' does not exist"):
        client.files.upload("/Volumes/a/b/c/x", io.BytesIO(b""))
    client.volumes.create("a", "b", "c", VolumeType.MANAGED)
    client.files.upload("/Volumes/a/b/c/x", io.BytesIO(b""))
    assert [volume.full_name for volume in client.volumes.list("a", "b")] == ["a.b.c"]
    with pytest.raises(ResourceConflict):
        client.volumes.create("a", "b", "c", VolumeType.MANAGED)
    client.volumes.delete("a.b.c")
    with pytest.raises(NotFound):
        client.files.get_metadata("/Volumes/a/b/c/x")


def test_directories_page(client: WorkspaceClient) -> None:
    for number in range(5):
        client.files.upload(f"{VOLUME}/paged/{number}", io.BytesIO(b""))
    listed = client.files.list_directory_contents(f"{VOLUME}/paged", page_size=2)
    assert [entry.name for entry in listed] == ["0", "1", "2", "3", "4"]


def test_workspace_files(client: WorkspaceClient, home: str) -> None:
    path = f"{home}/in/x-1.0+lf.ab.whl"
    with pytest.raises(NotFound, match="The parent folder"):
        client.workspace.upload(path, b"one", format=ImportFormat.AUTO)
    client.workspace.mkdirs(f"{home}/in")
    client.workspace.upload(path, b"one", format=ImportFormat.AUTO)
    with pytest.raises((AlreadyExists, ResourceConflict, ResourceAlreadyExists)):
        client.workspace.upload(path, b"two", format=ImportFormat.AUTO)
    client.workspace.import_(
        path,
        content=base64.b64encode(b"three").decode(),
        format=ImportFormat.RAW,
        overwrite=True,
    )
    assert client.workspace.download(path, format=ExportFormat.AUTO).read() == b"three"
    assert client.workspace.export(path).content == base64.b64encode(b"three").decode()
    status = client.workspace.get_status(path)
    assert (status.object_type, status.path) == (ObjectType.FILE, path)
    members = {"created_at", "modified_at", "object_id", "object_type", "path", "resource_id"}
    assert set(status.as_dict()) == members
    assert [set(item.as_dict()) for item in client.workspace.list(f"{home}/in")] == [members]
    assert [item.path for item in client.workspace.list(f"{home}/in")] == [path]
    assert client.workspace.get_status(path.removeprefix("/Workspace")).object_id
    with pytest.raises(BadRequest, match="is not empty"):
        client.workspace.delete(f"{home}/in")
    client.workspace.delete(f"{home}/in", recursive=True)
    with pytest.raises(NotFound, match="doesn't exist"):
        client.workspace.get_status(path)


def test_notebooks_and_large_imports_are_refused(client: WorkspaceClient, home: str) -> None:
    with pytest.raises(BadRequest, match="notebooks"):
        client.workspace.upload(
            f"{home}/n.py", b"# Databricks notebook source\n", format=ImportFormat.AUTO
        )
    with pytest.raises(BadRequest, match="exceeded max size"):
        client.workspace.upload(f"{home}/big", b"x" * (10 * 2**20 + 1), format=ImportFormat.AUTO)


def test_raw_import(client: WorkspaceClient, endpoint: Endpoint, home: str) -> None:
    escaped = home.removeprefix("/").replace("/", "%2F")
    url = "/api/2.0/workspace-files/import-file/"
    answer = ask(endpoint, "POST", f"{url}{escaped}%2Fr%2B1?overwrite=true", data=b"raw")
    assert answer.status_code == 200
    assert client.workspace.download(f"{home}/r+1").read() == b"raw"
    assert ask(endpoint, "POST", f"{url}{escaped}%2Fr%2B1", data=b"").status_code == 409
    assert ask(endpoint, "POST", f"{url}{escaped}%2Fno%2Fr", data=b"").status_code == 404


def test_dbfs(client: WorkspaceClient) -> None:
    content = bytes(range(256)) * 10_000  # more than two blocks
    client.dbfs.upload("/d/x", io.BytesIO(content))
    with client.dbfs.download("/d/x") as file:
        assert file.read() == content
    assert client.dbfs.get_status("dbfs:/d/x").file_size == len(content)
    with pytest.raises(ResourceAlreadyExists, match="already exists"):
        client.api_client.do("POST", "/api/2.0/dbfs/create", body={"path": "/d/x"})
    client.dbfs.put("/d/y", contents=base64.b64encode(b"put").decode())
    assert {info.path for info in client.dbfs.list("/d")} == {"/d/x", "/d/y"}
    assert client.dbfs.read("/d/y", offset=10).data == ""
    client.dbfs.move("/d/y", "/d/z")
    with pytest.raises(BadRequest, match="not empty"):
        client.api_client.do("POST", "/api/2.0/dbfs/delete", body={"path": "/d"})
    handle = client.api_client.do("POST", "/api/2.0/dbfs/create", body={"path": "/d/x/below"})
    assert isinstance(handle, dict)
    with pytest.raises(ResourceConflict, match="in the way"):
        client.api_client.do("POST", "/api/2.0/dbfs/close", body=handle)
    client.dbfs.delete("/d", recursive=True)
    with pytest.raises(NotFound):
        client.dbfs.get_status("/d/x")


@pytest.mark.parametrize("name", ["contents", "file"])
def test_dbfs_takes_files_as_forms(client: WorkspaceClient, endpoint: Endpoint, name: str) -> None:
    content = bytes(range(256)) * 60_000  # 15 MB
    fields = {"path": f"/forms/{name}", "overwrite": "true"}
    for text in (b"first", content):
        answer = ask(endpoint, "POST", "/api/2.0/dbfs/put", data=fields, files={name: text})
        assert (answer.status_code, answer.json()) == (200, {})
    with client.dbfs.download(f"/forms/{name}") as file:
        assert file.read() == content
    none = ask(endpoint, "POST", "/api/2.0/dbfs/put", files={"path": (None, "/forms/none")})
    assert (none.status_code, none.json()["error_code"]) == (400, "MALFORMED_REQUEST")
    assert not client.dbfs.exists("/forms/none")


OUTSIDE = ("../../../outside", "%2e%2e/%2e%2e/%2e%2e/outside", "..%2F..%2F..%2Foutside", "link/x")


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("kind", ["files", "directories"])
def test_no_url_leads_out_of_a_volume(
    endpoint: Endpoint, mount: Path, tmp_path: Path, method: str, kind: str, outside: str
) -> None:
    (tmp_path / "x").write_text("not to be seen")
    link = mount / "Volumes" / "main" / "default" / "lakeflow" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    url = f"/api/2.0/fs/{kind}{VOLUME}/{outside}"
    answer = ask(endpoint, method, url, data=b"evil" if method == "PUT" else None)
    assert answer.status_code == 400
    assert "not to be seen" not in answer.text
    assert (tmp_path / "x").read_text() == "not to be seen"
    assert not list(mount.parent.rglob("outside"))


@pytest.mark.parametrize(
    "path", ["/../../outside", "/Users/../../../outside", "/a\0b", "x", "/" + "a" * 300]
)
def test_no_path_leads_out_of_the_workspace_or_dbfs(
    client: WorkspaceClient, mount: Path, path: str
) -> None:
    with pytest.raises(DatabricksError):
        client.workspace.mkdirs(path)
    with pytest.raises(DatabricksError):
        client.workspace.upload(path, b"", format=ImportFormat.AUTO)
    with pytest.raises(DatabricksError):
        client.workspace.get_status(path)
    with pytest.raises(DatabricksError):
        client.dbfs.mkdirs(path)
    with pytest.raises(DatabricksError):
        client.dbfs.put(path, contents="")
    assert not list(mount.parent.rglob("outside"))


def test_a_library_does_not_lead_out(client: WorkspaceClient) -> None:
    cluster = start_cluster(client)
    task = probe_task(cluster, "/Workspace/../../probe-1.0-py3-none-any.whl", "echo")
    run, _ = run_once(client, task)
    assert run.state
    assert run.state.state_message
    assert "The library file does not exist" in run.state.state_message
