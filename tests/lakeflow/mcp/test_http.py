"""The server over HTTP: who is let in, both eras of the protocol, its token, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from lakeflow.errors import Refused
from lakeflow.mcp.http import MAX_SESSIONS
from lakeflow.mcp.token import read_or_create_token
from lakeflow_local import daemon
from tests.lakeflow.mcp.probe import deploy_probe
from tests.lakeflow.mcp.servers import HttpServer, Mode, http_server

MODES: list[Mode] = ["auto", "legacy"]


@pytest.fixture(scope="module")
def job_id(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The probe, in a local workspace of this module's own that the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
        patch.setenv("LAKEFLOW_WORKSPACE", "local")
        yield deploy_probe(tmp_path_factory.mktemp("wheels"))
        daemon.down()


@pytest.fixture(scope="module")
def server(job_id: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with http_server(tmp_path_factory.mktemp("server"), "--ask-above", "2") as running:
        yield running


def ask(
    port: int,
    *headers: str,
    path: str = "/mcp",
    body: bytes = b"",
    host: bool = True,
    more: int = 0,
) -> str:
    """The status of the answer to a request of exactly these headers.

    `more` bytes of the body are announced, and have not come yet.
    """
    lines = [f"POST {path} HTTP/1.1", *([f"Host: 127.0.0.1:{port}"] if host else []), *headers]
    lines += [f"Content-Length: {len(body) + more}", "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sending:
        sending.sendall("\r\n".join(lines).encode("utf-8") + body)
        return sending.makefile("rb").readline().decode().split(" ")[1]


def test_only_who_has_the_token_is_let_in(server: HttpServer) -> None:
    good = f"Authorization: Bearer {server.token}"
    kinds = ("Content-Type: application/json", "Accept: application/json, text/event-stream")
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
    assert ask(server.port, good, *kinds, body=b"no JSON") == "400"  # of the protocol: it is in

    for bad in (
        (),
        ("Authorization: Bearer",),
        (f"Authorization: Basic {server.token}",),
        (f"Authorization: Bearer {server.token[:-1]}",),
        (f"Authorization: Bearer {server.token}x",),
        ("Authorization: Bearer é\u202e",),
        (f"X-Authorization: Bearer {server.token}",),
    ):
        assert ask(server.port, *bad, *kinds, body=ping) == "401"
    assert ask(server.port, *kinds, path=f"/mcp?token={server.token}", body=ping) == "401"


def test_a_request_with_two_lengths_is_refused_and_closed(server: HttpServer) -> None:
    lines = ["POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 5"]
    lines += [f"Authorization: Bearer {server.token}", "Transfer-Encoding: chunked", "", ""]
    hidden = f"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sending:
        sending.sendall(("\r\n".join(lines) + "0\r\n\r\n" + hidden).encode())
        received = sending.makefile("rb").read()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "127.0.0.1:80@evil",
        "",
    ],
)
def test_a_foreign_host_is_refused_with_the_token_too(server: HttpServer, host: str) -> None:
    good = f"Authorization: Bearer {server.token}"
    assert ask(server.port, good, f"Host: {host}", host=False) == "421"
    assert ask(server.port, good, f"Host: {host}") in ("400", "421")  # two of them
    assert ask(server.port, f"Host: {host}", host=False) == "421"


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://localhost.evil.example",
        "http://127.0.0.1:1.evil",
        "",
    ],
)
def test_a_foreign_origin_is_refused_with_the_token_too(server: HttpServer, origin: str) -> None:
    good = f"Authorization: Bearer {server.token}"
    assert ask(server.port, good, f"Origin: {origin}") == "403"
    assert ask(server.port, good, "Origin: http://localhost:1", f"Origin: {origin}") == "403"


def test_names_of_this_machine_are_let_in(server: HttpServer) -> None:
    good = f"Authorization: Bearer {server.token}"
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1"):
        assert ask(server.port, good, f"Host: {name}", host=False) == "400"
        assert ask(server.port, good, f"Origin: http://{name}") == "400"


def test_other_paths_and_what_is_too_large(server: HttpServer) -> None:
    good = f"Authorization: Bearer {server.token}"
    for path in ("/", "/mcp/", "/mcp/x", "//mcp", "/.well-known/oauth-protected-resource"):
        assert ask(server.port, good, path=path) == "404"
    kinds = ("Content-Type: application/json", "Accept: application/json, text/event-stream")
    assert ask(server.port, good, *kinds, more=5 * 1024 * 1024) == "413"


@pytest.mark.parametrize("mode", MODES)
def test_runs_are_started_watched_and_read(server: HttpServer, job_id: int, mode: Mode) -> None:
    progress_values: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        progress_values.append(progress)

    async def use() -> None:
        async with server.client(mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert {"list_jobs", "trigger_runs", "wait_for_runs", "read_logs"} <= tools
            jobs = (await client.call_tool("list_jobs", {})).structured_content
            assert jobs is not None
            assert [job["id"] for job in jobs["jobs"]] == [str(job_id)]
            call_args = {"job_id": str(job_id), "arguments": [["fi"], ["fie"]], "request_id": mode}
            result = (await client.call_tool("trigger_runs", call_args)).structured_content
            assert result is not None
            ids = [run["id"] for run in result["runs"]]
            assert len(set(ids)) == 2
            waited: dict[str, Any] | None = {"all_finished": False}
            while waited is not None and not waited["all_finished"]:
                answer = await client.call_tool(
                    "wait_for_runs", {"run_ids": ids}, progress_callback=on_progress
                )
                waited = answer.structured_content
            assert waited is not None
            assert {run["outcome"] for run in waited["runs"]} == {"succeeded"}
            logs = (await client.call_tool("read_logs", {"run_id": ids[1]})).structured_content
            assert logs is not None
            assert "I was given fie" in logs["tasks"][0]["text"]

    anyio.run(use)
    assert progress_values[-1] == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("said", ["no", "yes"])
def test_a_person_confirms(server: HttpServer, job_id: int, mode: Mode, said: str) -> None:
    questions: list[str] = []

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"yes": said == "yes"})

    async def use() -> None:
        async with server.client(mode, elicitation_callback=answer) as client:
            calls = [["a"], ["b"], ["c"]]
            call_args = {"job_id": job_id, "arguments": calls, "request_id": f"{mode} {said}"}
            # The model's word counts less than the person's.
            result = await client.call_tool("trigger_runs", {**call_args, "confirm": True})
            assert result.is_error is (said == "no")
            if said == "yes":
                assert result.structured_content is not None
                assert len(result.structured_content["runs"]) == 3

    anyio.run(use)
    assert len(questions) == 1
    assert "start 3 runs" in questions[0]


def raw(server: HttpServer) -> httpx2.Client:
    """A client for requests that the SDK would not send."""
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Accept": "application/json, text/event-stream",
    }
    return httpx2.Client(headers=headers, timeout=30)


def hello(revision: str = "2025-06-18") -> dict[str, Any]:
    """The first message before 2026-07-28."""
    about = {"name": "raw", "version": "1"}
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": about}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


@pytest.mark.parametrize("revision", HANDSHAKE_PROTOCOL_VERSIONS)
def test_every_revision_with_a_handshake_is_spoken(server: HttpServer, revision: str) -> None:
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    with raw(server) as client:
        opened = client.post(server.url, json=hello(revision))
        assert f'"protocolVersion":"{revision}"' in opened.text
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        session["mcp-protocol-version"] = revision
        client.post(
            server.url,
            headers=session,
            json={"jsonrpc": "2.0", "method": "notifications/initialized"},
        )
        assert "trigger_runs" in client.post(server.url, headers=session, json=listing).text
        assert client.delete(server.url, headers=session).status_code == 200
        assert client.post(server.url, headers=session, json=listing).status_code == 404


def test_sessions_are_bounded(server: HttpServer) -> None:
    """Before 2026-07-28. Open sessions continue; more are refused for now."""
    with raw(server) as client:
        responses = [client.post(server.url, json=hello()) for _ in range(MAX_SESSIONS + 1)]
        opened = [a.headers["mcp-session-id"] for a in responses if a.status_code == 200]
        assert responses[-1].status_code == 503
        for session in opened:
            client.delete(server.url, headers={"mcp-session-id": session})
        assert client.post(server.url, json=hello()).status_code == 200


def test_it_ends_cleanly_with_streams_open(job_id: int, tmp_path: Path) -> None:
    async def use(server: HttpServer) -> None:
        async with server.client("legacy") as client:
            await client.list_tools()
            server.process.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(server.process.wait, 30) == 0

    with http_server(tmp_path) as server:
        anyio.run(use, server)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
    assert server.token not in server.stderr.read_text() + server.stdout.read_text()


def test_the_token_is_created_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "mcp-token"
    with ThreadPoolExecutor(8) as several:
        result = set(several.map(read_or_create_token, [path] * 8))
    assert result == {read_or_create_token(path)} == {path.read_text()}
    assert len(result.pop()) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["mcp-token"]


def start(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lakeflow", "mcp", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [("x" * 40, 0o640, "chmod 600"), ("short", 0o600, "holds no token"), ("é", 0o600, "cannot")],
)
def test_a_file_that_holds_no_private_token_is_refused(
    tmp_path: Path, text: str, mode: int, message: str
) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(Refused, match=message):
        read_or_create_token(path)
    assert path.read_text() == text


def test_a_port_that_is_taken_is_named(server: HttpServer, tmp_path: Path) -> None:
    refused = start("--http", "--port", str(server.port), "--token-file", str(tmp_path / "token"))
    assert refused.returncode == 3
    assert f"cannot listen on 127.0.0.1:{server.port}" in refused.stderr
    assert start("--port", "1").returncode == 2
