"""Paths, stores and sizes of files, without a server."""

from __future__ import annotations

import io
from typing import cast

import pytest

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.resources import files
from lakeflow.resources.files.dbfs import DbfsStore
from lakeflow.resources.files.store import size_from
from lakeflow.resources.files.volumes import VolumeStore, file_url, folder_url
from lakeflow.resources.files.workspace_files import WorkspaceFileStore

UNCONNECTED = cast("Workspace", None)


@pytest.mark.parametrize(
    ("path", "normalized"),
    [
        ("dbfs:/a//b/", "dbfs:/a/b"),
        ("dbfs:/", "dbfs:/"),
        ("dbfs:/Volumes/a/b/c/d", "/Volumes/a/b/c/d"),
        ("dbfs:/Workspace/x", "/Workspace/x"),
        ("/Volumes/a/b/c/", "/Volumes/a/b/c"),
        ("/Workspace//Users/a@b/x y", "/Workspace/Users/a@b/x y"),
        ("/Workspace", "/Workspace"),
    ],
)
def test_normalized_paths(path: str, normalized: str) -> None:
    assert files.normalize(path) == normalized
    assert files.normalize(normalized) == normalized
    assert files.is_remote(path)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/opt/x", "not a workspace path"),
        ("x", "not a workspace path"),
        ("/Volumesx/a/b/c", "not a workspace path"),
        ("/Volumes/a/b", "names no volume"),
        ("dbfs:/a/../b", r"without '\.'"),
        ("/Workspace/./a", r"without '\.'"),
        ("/Workspace/a\0b", r"without '\.'"),
    ],
)
def test_paths_that_are_refused(path: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        files.normalize(path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Volumes/a/b/c/x", VolumeStore),
        ("/Workspace/Users/a@b/x", WorkspaceFileStore),
        ("dbfs:/x", DbfsStore),
    ],
)
def test_the_path_names_the_store(path: str, kind: type) -> None:
    assert isinstance(files.store_for(UNCONNECTED, path), kind)


@pytest.mark.parametrize(
    "root",
    ["", "/", "/Workspace", "/Volumes/a/b", "/Volumes/a/b/../c/d", "dbfs:/x", "relative", "/tmp"],
)
def test_roots_that_are_refused(root: str) -> None:
    with pytest.raises(UsageError, match="LAKEFLOW_ROOT"):
        files.check_root(root)


def test_a_root_has_no_trailing_slash() -> None:
    assert files.check_root("/Volumes/a/b/c/") == "/Volumes/a/b/c"
    assert files.check_root("/Workspace/x/") == "/Workspace/x"


def test_a_size_is_known_zero_or_unknown() -> None:
    assert size_from(None) is None
    assert size_from(0) == 0
    assert size_from("12") == 12


def test_the_three_kinds_of_size_differ() -> None:
    sizes: list[files.FileSize] = [files.KnownSize(0), files.UnknownSize(), files.NoFile()]
    assert len(set(sizes)) == 3
    assert files.KnownSize(0) != files.KnownSize(1)


def test_addresses_are_quoted() -> None:
    assert file_url("/Volumes/a/b/c/ü %?#") == "/api/2.0/fs/files/Volumes/a/b/c/%C3%BC%20%25%3F%23"
    assert folder_url("/Volumes/a b/c/d") == "/api/2.0/fs/directories/Volumes/a%20b/c/d"


def test_dbfs_takes_files_of_any_size() -> None:
    files.check_size("dbfs:/x", 10**15)
    with pytest.raises(Refused):
        files.check_size("/Workspace/x", 10**15)


class _Breaking:
    """A store whose connection breaks once and that cannot resume."""

    def download(self, path: str, target: io.BytesIO, on_progress: files.OnProgress) -> None:
        target.write(b"ab")
        target.seek(0)


def test_a_stream_that_cannot_seek_does_not_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "store_for", lambda workspace, path: _Breaking())
    with pytest.raises(LakeflowError, match="broke after 2 bytes"):
        files.stream_to(UNCONNECTED, "dbfs:/x", io.BytesIO())
