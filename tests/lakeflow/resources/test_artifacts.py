"""Wheels on their way into the store."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from lakeflow.client.connect import connect
from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, Refused
from lakeflow.resources import artifacts, files
from lakeflow.wheels.stamping import stamp
from lakeflow.wheels.wheel import read_wheel
from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.proxy import ForwardingProxy
from tests.support.wheels import make_wheel


@pytest.fixture(params=["workspace files", "volume"])
def root(
    request: pytest.FixtureRequest, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> str:
    name = secrets.token_hex(4)
    root = f"/Workspace/Users/{connect().me}/{name}"
    if request.param == "volume":
        volume = {"catalog_name": "main", "schema_name": "default", "name": name}
        connect().post(
            "/api/2.1/unity-catalog/volumes", {**volume, "volume_type": "MANAGED"}, repeatable=False
        )
        root = f"/Volumes/main/default/{name}"
    monkeypatch.setenv("LAKEFLOW_ROOT", root)
    return root


@pytest.fixture
def proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardingProxy]:
    with ForwardingProxy(endpoint.host, side_by_side=True) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        yield proxy


def test_what_did_not_arrive_as_it_was_sent_is_removed(
    root: str, endpoint: Endpoint, proxy: ForwardingProxy, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "spoiled", "1.0", {"spoiled.py": secrets.token_hex()})
    direct = files_of(endpoint)

    def spoil() -> None:
        (entry,) = [e for e in files.walk(direct, root) if e.path.endswith(".whl")]
        other = tmp_path / "other"
        other.write_bytes(os.urandom(len(files.read(direct, entry.path) or b"")))
        files.put(direct, entry.path, other, replace=True)

    proxy.when(lambda r: r.method == "GET" and is_content(r.path), 1, spoil)
    with pytest.raises(LakeflowError, match="was damaged in transfer"):
        CapturedLauncher().launcher.wheels.upload([wheel])
    assert [e.path for e in files.walk(direct, root) if e.path.endswith(".whl")] == []
    (path,) = CapturedLauncher().launcher.wheels.upload([wheel])
    content = files.read(direct, path)
    assert content is not None
    assert content.startswith(b"PK")


def test_a_wheel_that_was_compressed_differently_is_there(root: str, tmp_path: Path) -> None:
    stored = make_wheel(tmp_path / "1", "packed", "1.0", {"packed.py": "A = 1\n" * 1000})
    small = deflated(stored, tmp_path / "2")
    (path,) = CapturedLauncher().launcher.wheels.upload([stored])
    content = files.read(connect(), path)
    assert content is not None

    assert CapturedLauncher().launcher.wheels.upload([small]) == (path,)
    assert files.read(connect(), path) == content

    broken = tmp_path / "broken"
    broken.write_bytes(content[:-7])
    files.put(connect(), path, broken, replace=True)
    assert CapturedLauncher().launcher.wheels.upload([small]) == (path,)
    arrived = files.read(connect(), path)
    assert arrived is not None
    with ZipFile(io.BytesIO(arrived)) as whole:
        assert whole.getinfo("packed.py").compress_type == ZIP_DEFLATED


def test_whoever_compressed_a_wheel_differently_at_the_same_time_finds_it_there(
    root: str, endpoint: Endpoint, proxy: ForwardingProxy, tmp_path: Path
) -> None:
    mine = make_wheel(tmp_path / "1", "raced", "1.0", {"raced.py": "A = 1\n" * 1000})
    theirs = deflated(mine, tmp_path / "2")
    direct = files_of(endpoint)
    (stamped,) = stamp([read_wheel(theirs)], tmp_path / "stamped")

    def overtake() -> None:
        path = artifacts.path_of(root, stamped)
        files.upload(direct, path, stamped.wheel.path, replace=False)

    proxy.when(lambda r: r.method in ("PUT", "POST") and is_upload(r.path), 1, overtake)
    if root.startswith("/Volumes/"):  # the size differs
        with pytest.raises(LakeflowError, match=r"[Rr]un the command again"):
            CapturedLauncher().launcher.wheels.upload([mine])
    (path,) = CapturedLauncher().launcher.wheels.upload([mine])
    assert files.read(direct, path) == stamped.wheel.path.read_bytes()


def is_upload(path: str) -> bool:
    """Whether a PUT or POST of this path stores a wheel (a signature has another)."""
    return path.endswith((".whl", "/workspace/import"))


def deflated(wheel: Path, folder: Path) -> Path:
    """The same files as in a wheel that compresses nothing."""
    folder.mkdir()
    with (
        ZipFile(wheel) as source,
        ZipFile(folder / wheel.name, "w", ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return folder / wheel.name


def is_content(path: str) -> bool:
    """Whether a GET of this path fetches a wheel."""
    return path.endswith(("/workspace/export", ".whl"))


def files_of(endpoint: Endpoint) -> Workspace:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", endpoint.host)
        return connect()


def test_several_wheels_travel_side_by_side(
    root: str, proxy: ForwardingProxy, tmp_path: Path
) -> None:
    wheels = [
        make_wheel(tmp_path, f"w{n}", "1.0", {f"w{n}.py": secrets.token_hex()}) for n in range(6)
    ]
    _ = connect().me
    proxy.clear()
    proxy.delay = 0.05
    paths = CapturedLauncher().launcher.wheels.upload(wheels)
    assert len(proxy.requests) >= 4 * len(wheels)
    assert 2 * proxy.depth < len(proxy.requests)
    proxy.clear()
    assert CapturedLauncher().launcher.wheels.upload(wheels) == paths
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert proxy.depth < len(wheels)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("size", "has_bar"), [(3_000_000, True), (100_000, False)])
def test_a_bar_shows_how_far_a_large_upload_is(
    endpoint: Endpoint, tmp_path: Path, size: int, has_bar: bool
) -> None:
    wheel = make_wheel(tmp_path, "large", "1.0", {"large.py": os.urandom(size // 2).hex()})
    screen = Terminal()
    CapturedLauncher(progress=screen).launcher.wheels.upload([wheel])
    assert ("100%" in screen.getvalue() or "MB" in screen.getvalue()) is has_bar


@pytest.mark.parametrize(
    ("path", "size", "complaint"),
    [
        ("/Workspace/Users/a@b/x.whl", 500 * 1024**2 + 1, "(?s)limited to 500 MB.*LAKEFLOW_ROOT"),
        ("/Volumes/a/b/c/x.whl", 5 * 1024**3 + 1, "at most 5 GiB"),
    ],
)
def test_what_is_too_large_for_its_place(path: str, size: int, complaint: str) -> None:
    files.check_size(path, size - 1)
    with pytest.raises(Refused, match=complaint):
        files.check_size(path, size)


def test_two_versions_are_two_artifacts(
    root: str, captured: CapturedLauncher, tmp_path: Path
) -> None:
    one = make_wheel(tmp_path / "1", "twice", "1.0", {"twice.py": "A = 1"})
    two = make_wheel(tmp_path / "2", "twice", "1.0", {"twice.py": "A = 2"})
    paths = [*captured.launcher.wheels.upload([one]), *captured.launcher.wheels.upload([two])]
    assert len(set(paths)) == 2
    sizes = [files.size_of(connect(), path) for path in paths]
    assert files.NoFile() not in sizes
    assert artifacts.is_mine(connect(), os.path.dirname(paths[0]))


def test_a_wheel_of_unknown_size_is_read_once_and_again_when_it_changed(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAKEFLOW_ROOT", f"/Workspace/Users/{connect().me}/{secrets.token_hex(4)}")
    wheel = make_wheel(tmp_path, "sizeless", "1.0", {"sizeless.py": secrets.token_hex()})
    (path,) = CapturedLauncher().launcher.wheels.upload([wheel])
    content = files.read(connect(), path)
    assert isinstance(files.size_of(connect(), path), files.UnknownSize)
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        for reads in (1, 0):  # the proxy is another host
            proxy.clear()
            assert CapturedLauncher().launcher.wheels.upload([wheel]) == (path,)
            assert [is_content(r.path.partition("?")[0]) for r in proxy.requests].count(
                True
            ) == reads
        cut = tmp_path / "cut"
        cut.write_bytes((content or b"")[:-7])
        files.put(connect(), path, cut, replace=True)
        assert CapturedLauncher().launcher.wheels.upload([wheel]) == (path,)
    assert files.read(files_of(endpoint), path) == content


@pytest.mark.parametrize("imports", ["", ', "large-imports"'])
def test_a_wheel_that_cannot_be_read_back_for_its_size_is_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, imports: str
) -> None:
    """By the import of files of any size, or where imports are small by another request."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    faults = tmp_path / "faults.toml"
    faults.write_text(f'behaviors = ["small-exports"{imports}]\n')
    endpoint = daemon.ensure_up(faults=faults)
    try:
        monkeypatch.setenv("DATABRICKS_HOST", endpoint.host)
        monkeypatch.setenv("DATABRICKS_TOKEN", endpoint.token)
        text = os.urandom(6 * 1024**2).hex()
        wheel = make_wheel(tmp_path, "huge", "1.0", {"huge.py": f"A = '{text}'"})
        (path,) = CapturedLauncher().launcher.wheels.upload([wheel])
        with pytest.raises(files.TooLargeToRead, match="hint: keep large files on a volume"):
            files.read(connect(), path)
        captured = CapturedLauncher()
        assert captured.launcher.wheels.upload([wheel]) == (path,)
        assert "uploaded 0 bytes" in captured.lines
    finally:
        daemon.down()
