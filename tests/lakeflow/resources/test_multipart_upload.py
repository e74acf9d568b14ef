"""Large files: uploaded to volumes in parts, resumed, and read a piece at a time."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import LakeflowError, WorkspaceError
from lakeflow.resources import files, multipart_upload
from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.proxy import ForwardingProxy, Request

SIZE = multipart_upload.MIN_BYTES + 12_345
PARTS = -(-SIZE // multipart_upload.PART_BYTES)


@pytest.fixture
def volume(endpoint: Endpoint) -> str:
    name = secrets.token_hex(4)
    body = {"catalog_name": "main", "schema_name": "default", "name": name}
    body["volume_type"] = "MANAGED"
    connect().post("/api/2.1/unity-catalog/volumes", body, repeatable=False)
    return f"/Volumes/main/default/{name}"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardingProxy]:
    """What the launcher asks of the workspace passes here; the parts themselves go to storage."""
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        yield proxy


def is_address(request: Request) -> bool:
    return request.path.endswith("/create-upload-part-urls")


def is_begin(request: Request) -> bool:
    return request.method == "POST" and request.path.startswith("/api/2.0/fs/files/")


def cp(large: Path, volume: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lakeflow", "fs", "cp", str(large), f"{volume}/large"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_a_killed_copy_typed_again_sends_only_what_is_missing(
    volume: str, large: Path, tmp_path: Path, proxy: ForwardingProxy, after_effect: bool
) -> None:
    first = cp(large, volume)
    proxy.stop_client(first.kill, at=is_address, nth=PARTS, after_effect=after_effect)
    _, said = first.communicate()
    assert first.returncode == -signal.SIGKILL, said
    requested = sum(map(is_address, proxy.requests))
    proxy.let_through()
    assert files.stat(connect(), f"{volume}/large") is None
    proxy.requests.clear()
    again = cp(large, volume)
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert 1 <= sum(map(is_address, proxy.requests)) < requested
    assert sum(map(is_begin, proxy.requests)) == 1  # to complete it: it was started before
    back = tmp_path / "back"
    CapturedLauncher().launcher.files.copy(f"{volume}/large", str(back))
    assert digest_of(back) == digest_of(large)


def test_a_copy_to_dbfs_that_was_killed_leaves_nothing_behind(
    large: Path, proxy: ForwardingProxy
) -> None:
    folder = f"dbfs:/{secrets.token_hex(4)}"
    os.truncate(large, 3_000_000)
    first = cp(large, folder)
    proxy.stop_client(first.kill, at=lambda it: it.path.endswith("/add-block"), nth=2)
    first.wait()
    proxy.let_through()
    _, said = (again := cp(large, folder)).communicate()
    assert again.returncode == 0, said
    assert [entry.name for entry in files.list_folder(connect(), folder)] == ["large"]


def test_a_lost_reply_to_the_last_request_is_no_failure(
    volume: str, large: Path, proxy: ForwardingProxy
) -> None:
    copy = cp(large, volume)
    proxy.stop_client(proxy.let_through, at=is_begin, nth=2, after_effect=True)
    _, said = copy.communicate()
    assert copy.returncode == 0, said
    found = files.stat(connect(), f"{volume}/large")
    assert found is not None
    assert found.size == SIZE


def test_a_session_that_is_gone_is_started_again(
    volume: str, large: Path, captured: CapturedLauncher
) -> None:
    seen: list[int] = []

    def break_off(done: int) -> None:
        seen.append(done)
        if done > 2 * multipart_upload.PART_BYTES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        multipart_upload.send(
            connect(), f"{volume}/large", large, replace=False, on_progress=break_off
        )
    other = f"{volume}/large"
    connect().put(f"/api/2.0/fs/files{other}", large.open("rb"), overwrite=True)
    with pytest.raises(LakeflowError, match="already"):  # somebody else was faster
        multipart_upload.send(
            connect(), other, large, replace=False, on_progress=files.ignore_progress
        )
    multipart_upload.send(connect(), other, large, replace=True, on_progress=seen.append)
    assert seen[-1] == SIZE


def test_a_file_that_changes_meanwhile_is_not_put_together(volume: str, large: Path) -> None:
    def change(done: int) -> None:
        os.utime(large, (1, 1))

    with pytest.raises(LakeflowError, match="changed during the upload"):
        multipart_upload.send(
            connect(), f"{volume}/large", large, replace=False, on_progress=change
        )
    assert files.stat(connect(), f"{volume}/large") is None


def test_storage_that_is_overloaded_is_retried_and_one_that_refuses_is_not(
    endpoint: Endpoint,
) -> None:
    statuses = [503, 200, 403]

    class Storage(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.rfile.read(int(self.headers["Content-Length"])) == b"part"
            assert "Authorization" not in self.headers
            self.send_response(statuses.pop(0))
            self.send_header("ETag", '"tag"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as storage:
        threading.Thread(target=storage.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{storage.server_address[1]}/part"
        workspace = connect(patience=2)
        assert workspace.put_to_storage(url, {}, io.BytesIO(b"part")) == '"tag"'
        assert workspace.put_to_storage(url, {}, io.BytesIO(b"part")) is None
        storage.shutdown()
    with pytest.raises(WorkspaceError):
        workspace.put_to_storage(url, {}, io.BytesIO(b"part"))


def test_storage_without_etags_takes_a_file_in_parts(
    monkeypatch: pytest.MonkeyPatch, large: Path, tmp_path: Path
) -> None:
    """As Azure's Put Block, whose success is its status."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    faults = tmp_path / "faults.toml"
    faults.write_text('behaviors = ["no-part-etags"]\n')
    endpoint = daemon.ensure_up(faults=faults)
    try:
        monkeypatch.setenv("DATABRICKS_TOKEN", endpoint.token)
        with ForwardingProxy(endpoint.host) as proxy:
            monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
            path = "/Volumes/main/default/lakeflow/large"
            files.put(connect(), path, large, replace=False)
            assert sum(map(is_address, proxy.requests)) == PARTS
            back = tmp_path / "back"
            with back.open("w+b") as target:
                files.download(connect(), path, target)
        assert digest_of(back) == digest_of(large)
    finally:
        daemon.down()


MEMORY = """
import resource, subprocess, sys
command = [sys.executable, "-m", "lakeflow", *sys.argv[1:]]
subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("root", ["volume", "dbfs"])
def test_cat_and_cp_hold_a_piece_of_a_file_at_a_time(
    volume: str, large: Path, tmp_path: Path, root: str
) -> None:
    place = volume if root == "volume" else f"dbfs:/{secrets.token_hex(4)}"

    def peak(*words: str) -> int:
        command = [sys.executable, "-c", MEMORY, "fs", *words]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)

    CapturedLauncher().launcher.files.create_folder(place)
    small = tmp_path / "small"
    small.write_bytes(b"1")
    least = peak("cp", str(small), f"{place}/small")
    for words in (
        ["cp", str(large), f"{place}/large"],
        ["cat", f"{place}/large"],
        ["cp", f"{place}/large", str(tmp_path / "back")],
    ):
        assert peak(*words) < least + SIZE // 2 // 1024, words  # KiB
    assert digest_of(tmp_path / "back") == digest_of(large)
