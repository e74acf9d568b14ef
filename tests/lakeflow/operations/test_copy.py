"""Files of the three stores, there and back again."""

from __future__ import annotations

import itertools
import os
import pty
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.operations.download import download, path_within
from lakeflow.resources import files
from tests.support.captured import CapturedLauncher


@pytest.fixture(params=["dbfs", "volume", "workspace"])
def store(request: pytest.FixtureRequest, captured: CapturedLauncher) -> Iterator[str]:
    """An empty folder of each store."""
    name = secrets.token_hex(4)
    if request.param == "volume":
        volume = {"catalog_name": "main", "schema_name": "default", "name": name}
        connect().post(
            "/api/2.1/unity-catalog/volumes",
            {**volume, "volume_type": "MANAGED"},
            repeatable=False,
        )
    folder = {
        "dbfs": f"dbfs:/{name}",
        "volume": f"/Volumes/main/default/{name}/folder",
        "workspace": f"/Workspace/Users/{connect().me}/{name}",
    }[request.param]
    assert captured.launcher.files.create_folder(f"{folder}/") == folder
    yield folder
    captured.launcher.files.remove(folder, recursive=True)
    assert files.stat(connect(), folder) is None


def make_tree(folder: Path) -> dict[str, bytes]:
    """Files of all sorts of names, in folders, one of them empty."""
    contents = {
        "a.txt": b"one\n",
        "empty": b"",
        "b/c d/ünï+cöde%20.bin": bytes(range(256)),
        "b/large": os.urandom(3 * 1024 * 1024 + 7),
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "hollow").mkdir()
    return contents


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_folder_there_and_back(captured: CapturedLauncher, store: str, tmp_path: Path) -> None:
    contents = make_tree(tmp_path / "source")
    sent = captured.launcher.files.copy(str(tmp_path / "source"), store, recursive=True)
    assert sorted(copied.target for copied in sent) == sorted(f"{store}/{n}" for n in contents)
    listed = captured.launcher.files.list(store, recursive=True)
    tells_sizes = not store.startswith("/Workspace/")
    assert {e.path: e.size for e in listed if e.kind == "file"} == {
        f"{store}/{name}": len(content) if tells_sizes else None
        for name, content in contents.items()
    }
    assert {e.path for e in listed if e.kind == "folder"} == {
        f"{store}/{name}" for name in ("b", "b/c d", "hollow")
    }
    assert [e.name for e in captured.launcher.files.list(store)] == [
        "a.txt",
        "b",
        "empty",
        "hollow",
    ]
    captured.launcher.files.copy(store, str(tmp_path / "back"), recursive=True)
    assert tree(tmp_path / "back") == contents
    assert (tmp_path / "back" / "hollow").is_dir()
    assert captured.launcher.files.read(f"{store}/b/large") == contents["b/large"]


def test_what_is_there_is_refused_replaced_or_skipped(
    captured: CapturedLauncher, store: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_tree(source)

    def copy(**options: bool) -> set[str]:
        done = captured.launcher.files.copy(str(source), store, recursive=True, **options)
        return {copied.source for copied in done if not copied.skipped}

    whole = copy()
    with pytest.raises(Refused, match="--resume"):
        copy()
    assert copy(resume=True) == set()
    (source / "a.txt").write_bytes(b"two\n")
    later = files.stat(connect(), f"{store}/a.txt")
    assert later is not None
    os.utime(source / "a.txt", (later.modified / 1000 + 60,) * 2)
    captured.launcher.files.remove(f"{store}/b/large")
    assert copy(resume=True) == {str(source / "a.txt"), str(source / "b/large")}
    assert captured.launcher.files.read(f"{store}/a.txt") == b"two\n"
    assert copy(overwrite=True) == whole


def test_single_files_go_into_folders_and_between_stores(
    captured: CapturedLauncher, store: str, tmp_path: Path
) -> None:
    file = tmp_path / "one"
    file.write_bytes(b"1")
    captured.launcher.files.copy(str(file), store)
    captured.launcher.files.copy(str(file), f"{store}/new/")
    captured.launcher.files.copy(str(file), f"{store}/two")
    captured.launcher.files.copy(f"{store}/two", f"{store}/new/three")
    found = captured.launcher.files.list(store, recursive=True)
    names = [e.path[len(store) + 1 :] for e in found if e.kind == "file"]
    assert names == ["new/one", "new/three", "one", "two"]
    assert captured.launcher.files.read(f"{store}/new/three") == b"1"


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        ("nowhere", "{store}", "nowhere not found"),
        ("{store}/nowhere", "x", "nowhere not found"),
        ("a", "b", "both on this machine"),
        ("{folder}", "{store}", "--recursive"),
        ("{store}", "{store}/in", "in it"),
        ("{store}/../x", "a", r"without '\.'"),
        ("a", "/Volumes/main/default", "names no volume"),
    ],
)
def test_paths_that_make_no_sense(
    captured: CapturedLauncher, store: str, tmp_path: Path, source: str, target: str, complaint: str
) -> None:
    names = {"store": store, "folder": str(tmp_path)}
    recursive = source == "{store}"
    with pytest.raises(UsageError, match=complaint):
        captured.launcher.files.copy(
            source.format(**names), target.format(**names), recursive=recursive
        )


def test_what_is_no_plain_file_is_refused_before_anything_is_copied(
    captured: CapturedLauncher, store: str, tmp_path: Path
) -> None:
    make_tree(tmp_path / "source")
    (tmp_path / "source" / "z").symlink_to(tmp_path)
    with pytest.raises(Refused, match="link to a folder"):
        captured.launcher.files.copy(str(tmp_path / "source"), store, recursive=True)
    assert captured.launcher.files.list(store) == []


def test_a_download_that_was_broken_off_goes_on(
    captured: CapturedLauncher, store: str, tmp_path: Path
) -> None:
    content = os.urandom(5 * 1024 * 1024)
    (tmp_path / "large").write_bytes(content)
    captured.launcher.files.copy(str(tmp_path / "large"), f"{store}/large")
    entry = files.stat(connect(), f"{store}/large")
    assert entry is not None

    def break_off(done: int) -> None:
        if done >= 2 * 1024 * 1024:
            raise KeyboardInterrupt

    target = tmp_path / "back"
    with pytest.raises(KeyboardInterrupt):
        download(connect(), entry, target, on_progress=break_off)
    assert not target.exists()
    seen: list[int] = []
    download(connect(), entry, target, on_progress=seen.append)
    assert seen[0] > 2 * 1024 * 1024
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_removal_is_planned_and_folders_need_recursive(
    captured: CapturedLauncher, store: str, tmp_path: Path
) -> None:
    make_tree(tmp_path / "source")
    captured.launcher.files.copy(str(tmp_path / "source"), store, recursive=True)
    with pytest.raises(UsageError, match="--recursive"):
        captured.launcher.files.remove(store)
    plan = captured.launcher.files.plan_remove(store, recursive=True)
    assert [(change.kind, change.resource.name) for change in plan.changes] == [("delete", store)]
    assert captured.launcher.files.list(store) != []
    with pytest.raises(UsageError, match="not found"):
        captured.launcher.files.remove(f"{store}/nowhere")


def test_a_removal_that_is_not_confirmed_is_refused(captured: CapturedLauncher) -> None:
    folder = captured.launcher.files.create_folder(f"dbfs:/{secrets.token_hex(4)}/folder")
    terminal, its_end = pty.openpty()
    os.write(terminal, b"n\n")
    done = subprocess.run(
        [sys.executable, "-m", "lakeflow", "fs", "rm", "-r", folder],
        stdin=its_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(terminal)
    os.close(its_end)
    assert done.returncode == Refused.exit_code, done.stderr
    assert f"Remove the folder {folder} and its content?" in done.stderr
    assert "was not removed" in done.stderr
    assert files.stat(connect(), folder) is not None


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "link/x", "."])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(LakeflowError, match="outside"):
        path_within(folder, name)
    assert path_within(folder, "a/b") == folder / "a" / "b"


def test_folders_go_between_all_roots(captured: CapturedLauncher, tmp_path: Path) -> None:
    name = secrets.token_hex(4)
    volume = {"catalog_name": "main", "schema_name": "default", "name": name}
    connect().post(
        "/api/2.1/unity-catalog/volumes", {**volume, "volume_type": "MANAGED"}, repeatable=False
    )
    roots = [f"dbfs:/{name}", f"/Volumes/main/default/{name}", f"/Workspace/Users/{connect().me}"]
    contents = make_tree(tmp_path / "source")
    for source, target in itertools.permutations(roots, 2):
        place = f"{source}/from-{roots.index(target)}"
        captured.launcher.files.copy(str(tmp_path / "source"), place, recursive=True)
        captured.launcher.files.copy(place, f"{target}/to-{roots.index(source)}", recursive=True)
        back = tmp_path / f"{roots.index(source)}-{roots.index(target)}"
        captured.launcher.files.copy(
            f"{target}/to-{roots.index(source)}", str(back), recursive=True
        )
        assert tree(back) == contents


def test_the_root_of_a_store_is_not_removed(captured: CapturedLauncher) -> None:
    for root in ("dbfs:/", "/Workspace", "/Workspace/Users"):
        with pytest.raises(Refused, match="the files of all users"):
            captured.launcher.files.remove(root, recursive=True)
