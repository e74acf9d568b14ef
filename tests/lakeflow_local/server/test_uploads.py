"""Multipart uploads and downloads of files on volumes, as the SDK sends them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import AlreadyExists, ResourceConflict

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask

VOLUME = "/Volumes/main/default/lakeflow"
FILES = "/api/2.0/fs/files"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def parts(endpoint: Endpoint) -> WorkspaceClient:
    """A client that uploads files from 3 MiB in parts of 1 MiB."""
    return WorkspaceClient(
        config=Config(
            host=endpoint.host,
            token=endpoint.token,
            retry_timeout_seconds=5,
            files_ext_multipart_upload_min_stream_size=3 * MEBIBYTE,
            files_ext_multipart_upload_default_part_size=MEBIBYTE,
            files_ext_parallel_download_min_file_size=3 * MEBIBYTE,
            files_ext_parallel_download_default_part_size=MEBIBYTE,
        )
    )


def content(size: int) -> bytes:
    """Return bytes without repetition."""
    block = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(4096))
    return b"".join(bytes([number]) + block for number in range(size // len(block) + 1))[:size]


def begin(endpoint: Endpoint, path: str, query: str = "") -> str:
    answer = ask(endpoint, "POST", f"{FILES}{path}?action=initiate-upload{query}")
    token: str = answer.json()["multipart_upload"]["session_token"]
    return token


def complete(
    endpoint: Endpoint, path: str, token: str, *tags: tuple[int, str]
) -> requests.Response:
    return ask(
        endpoint,
        "POST",
        f"{FILES}{path}?action=complete-upload&upload_type=multipart&session_token={token}",
        json={"parts": [{"part_number": number, "etag": tag} for number, tag in tags]},
    )


def part_url(endpoint: Endpoint, path: str, token: str, **options: object) -> str:
    body = {"path": path, "session_token": token, "start_part_number": 1, "count": 1, **options}
    answer = ask(endpoint, "POST", "/api/2.0/fs/create-upload-part-urls", json=body)
    url: str = answer.json()["upload_part_urls"][0]["url"]
    return url


def send(method: str, url: str, **options: Any) -> requests.Response:
    """Send a request without a token, as clients use presigned URLs."""
    session = requests.Session()
    session.trust_env = False
    return session.request(method, url, timeout=30, **options)


def put(url: str, data: bytes) -> requests.Response:
    return send("PUT", url, data=data)


@pytest.mark.parametrize("use_parallel", [True, False])
def test_streams_and_files_come_in_parts(
    parts: WorkspaceClient, mount: Path, tmp_path: Path, use_parallel: bool
) -> None:
    data = content(7 * MEBIBYTE + 5)
    (tmp_path / "source").write_bytes(data)
    path = f"{VOLUME}/sent {use_parallel}/x+\u00e9.whl"
    with open(tmp_path / "source", "rb") as stream:
        parts.files.upload(path, stream, use_parallel=use_parallel)
    assert (mount / path[1:]).read_bytes() == data
    with pytest.raises((AlreadyExists, ResourceConflict)):
        parts.files.upload(path, io.BytesIO(data), overwrite=False, use_parallel=use_parallel)
    parts.files.upload_from(
        path, str(tmp_path / "source"), overwrite=True, use_parallel=use_parallel
    )
    assert (mount / path[1:]).read_bytes() == data
    parts.files.download_to(path, str(tmp_path / "back"), use_parallel=use_parallel)
    assert (tmp_path / "back").read_bytes() == data
    downloaded = parts.files.download(path).contents
    assert downloaded
    assert downloaded.read() == data
    uploads = mount.parent / "uploads"
    assert [file.name for file in uploads.glob("*/*") if file.name != "upload.json"] == []


def test_a_file_appears_when_complete_and_completing_is_repeatable(endpoint: Endpoint) -> None:
    path = f"{VOLUME}/whole"
    token = begin(endpoint, path)
    tags = []
    for number, data in ((2, b"two"), (1, b"first try"), (1, b"one ")):
        url = part_url(endpoint, path, token, start_part_number=number)
        tags.append((number, put(url, data).headers["ETag"]))
    assert ask(endpoint, "GET", FILES + path).status_code == 404
    assert complete(endpoint, path, token, tags[2], tags[0]).status_code == 200
    assert complete(endpoint, path, token, tags[2], tags[0]).status_code == 200
    assert ask(endpoint, "GET", FILES + path).content == b"one two"


def test_wrong_completions_are_refused(endpoint: Endpoint) -> None:
    path = f"{VOLUME}/refused"
    token = begin(endpoint, path)
    tag = put(part_url(endpoint, path, token), b"x").headers["ETag"]
    for tags in ([], [(1, '"none"')], [(2, tag)], [(1, tag), (1, tag)], [(1, "0" * 32)]):
        answer = complete(endpoint, path, token, *tags)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert complete(endpoint, path + "2", token, (1, tag)).status_code == 400
    assert complete(endpoint, path, "../../mount", (1, tag)).status_code == 404
    assert ask(endpoint, "PUT", FILES + path, data=b"there").status_code == 204
    assert complete(endpoint, path, token, (1, tag)).status_code == 409
    assert ask(endpoint, "GET", FILES + path).content == b"there"


def test_an_aborted_upload_is_gone(endpoint: Endpoint, mount: Path) -> None:
    path = f"{VOLUME}/aborted"
    token = begin(endpoint, path)
    url = part_url(endpoint, path, token)
    tag = put(url, b"x").headers["ETag"]
    body = {"path": path, "session_token": token, "expire_time": "2099-01-01T00:00:00Z"}
    answer = ask(endpoint, "POST", "/api/2.0/fs/create-abort-upload-url", json=body).json()
    assert send("DELETE", answer["abort_upload_url"]["url"]).status_code == 200
    assert send("DELETE", answer["abort_upload_url"]["url"]).status_code == 200
    assert not (mount.parent / "uploads" / token).exists()
    assert put(url, b"x").status_code == 404
    assert complete(endpoint, path, token, (1, tag)).status_code == 404


def test_a_presigned_url_is_for_one_request_until_it_expires(endpoint: Endpoint) -> None:
    path = f"{VOLUME}/address"
    token = begin(endpoint, path)
    url = part_url(endpoint, path, token)
    late = part_url(endpoint, path, token, expire_time="2020-01-01T00:00:00Z")
    assert late != url
    for refused in (
        put(late, b"x"),
        put(url.replace(f"{token}/1", f"{token}/2"), b"x"),
        put(url.partition("?")[0], b"x"),
        put(url.replace("expires=", "expires=9"), b"x"),
        send("DELETE", url),
        send("GET", url.replace(f"uploads/{token}/1", f"files{VOLUME}/address")),
    ):
        assert refused.status_code == 403
        assert b"<Message>Request has expired</Message>" in refused.content
    foreign = send("PUT", url, headers={"Host": "example.com"})
    assert foreign.status_code == 403
    assert send("POST", url).status_code == 401


def test_a_partial_download(endpoint: Endpoint) -> None:
    path = f"{VOLUME}/part of it"
    ask(endpoint, "PUT", FILES + path.replace(" ", "%20"), data=b"0123456789")
    answer = ask(endpoint, "POST", "/api/2.0/fs/create-download-url", params={"path": path})
    url = answer.json()["url"]
    got = send("GET", url, headers={"Range": "bytes=3-5"})
    assert (got.status_code, got.content) == (206, b"345")
    past = {"If-Unmodified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}
    assert send("GET", url, headers=past).status_code == 412
    now = {"If-Unmodified-Since": got.headers["Last-Modified"]}
    assert send("GET", url, headers=now).content == b"0123456789"
    odd = {"If-Unmodified-Since": "yesterday"}
    assert send("GET", url, headers=odd).content == b"0123456789"
    missing = {"path": f"{VOLUME}/none"}
    answer = ask(endpoint, "POST", "/api/2.0/fs/create-download-url", params=missing)
    assert answer.status_code == 404
    assert answer.json()["details"][0]["reason"] == "FILES_API_FILE_NOT_FOUND"


def test_an_upload_survives_the_server(state: Path) -> None:
    """Parts that arrived before the server was stopped still count; URLs are requested again."""
    endpoint = daemon.ensure_up()
    path = f"{VOLUME}/kept"
    token = begin(endpoint, path)
    url = part_url(endpoint, path, token)
    first = put(url, b"before ").headers["ETag"]
    daemon.down()
    endpoint = daemon.ensure_up()
    assert put(url, b"x").status_code == 403
    second = put(part_url(endpoint, path, token, start_part_number=2), b"after").headers["ETag"]
    assert complete(endpoint, path, token, (1, first), (2, second)).status_code == 200
    assert ask(endpoint, "GET", FILES + path).content == b"before after"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_files(state: Path, tmp_path: Path) -> None:
    """Upload and download 256 MiB within 40 MiB of memory."""
    endpoint = daemon.ensure_up()
    client = WorkspaceClient(host=endpoint.host, token=endpoint.token)
    pid = (state / "local" / "server.lock").read_text()
    client.files.upload(f"{VOLUME}/small", io.BytesIO(b"x"))
    before = peak(pid)
    with open(tmp_path / "source", "wb") as file:
        file.truncate(256 * MEBIBYTE)
    client.files.upload_from(f"{VOLUME}/large", str(tmp_path / "source"))
    client.files.download_to(f"{VOLUME}/large", str(tmp_path / "back"))
    assert (tmp_path / "back").stat().st_size == 256 * MEBIBYTE
    assert peak(pid) - before < 40 * MEBIBYTE


def peak(pid: str) -> int:
    """Return the peak memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
