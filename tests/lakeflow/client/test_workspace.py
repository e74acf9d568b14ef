from __future__ import annotations

import http.server
import logging
import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.client.configuration import choose
from lakeflow.client.connect import connect
from lakeflow.client.discovery import check_reachable
from lakeflow.client.http_errors import ApiError, ReplyLost
from lakeflow.errors import Refused, UsageError, WorkspaceError
from lakeflow_local.daemon import Endpoint

HOST = "https://example.cloud.databricks.com"
PROFILES = """
[DEFAULT]
host = https://default.example
token = secret

[work]
host = https://work.example
token = secret
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "databrickscfg"
    path.write_text(PROFILES)
    return path


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is configured."""
    return {"DATABRICKS_CONFIG_FILE": str(tmp_path / "no such file")}


def test_the_environment_names_a_workspace(nowhere: dict[str, str]) -> None:
    choice = choose(
        {**nowhere, "DATABRICKS_HOST": HOST, "DATABRICKS_TOKEN": "t", "CI": "true"},
        local=False,
        profile=None,
    )
    assert choice.host == HOST
    assert choice.origin == "DATABRICKS_HOST, DATABRICKS_TOKEN in the environment"


def test_a_profile_goes_before_the_environment(config: Path) -> None:
    environ = {"DATABRICKS_CONFIG_FILE": str(config), "DATABRICKS_CONFIG_PROFILE": "DEFAULT"}
    assert choose(environ, local=False, profile=None).host == "https://default.example"
    work = choose(environ, local=False, profile="work")
    assert work.host == "https://work.example"
    assert work.origin == f"profile 'work' of {config}"


def test_the_default_profile_is_something_configured(config: Path) -> None:
    choice = choose({"DATABRICKS_CONFIG_FILE": str(config)}, local=False, profile=None)
    assert choice.host == "https://default.example"


def test_the_default_profile_may_have_another_name(config: Path) -> None:
    config.write_text("[__settings__]\ndefault_profile = work\n[work]\nhost = https://w.example\n")
    choice = choose({"DATABRICKS_CONFIG_FILE": str(config)}, local=False, profile=None)
    assert (choice.host, choice.settings) == ("https://w.example", {"profile": "work"})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[work]\nhost = x\n", "work.*DEFAULT"),
        ("host = x\n", "cannot read"),
        ("[DEFAULT\n", "cannot read"),
    ],
)
def test_a_broken_configuration_is_no_reason_to_fall_back(
    config: Path, content: str, complaint: str
) -> None:
    config.write_text(content)
    with pytest.raises(WorkspaceError, match=complaint):
        choose({"DATABRICKS_CONFIG_FILE": str(config)}, local=False, profile=None)


def test_an_unknown_profile_is_named(config: Path) -> None:
    with pytest.raises(WorkspaceError, match="--profile names 'nope'"):
        choose({"DATABRICKS_CONFIG_FILE": str(config)}, local=False, profile="nope")


def test_never_local_by_accident_in_a_pipeline(nowhere: dict[str, str]) -> None:
    with pytest.raises(WorkspaceError, match="CI is set"):
        choose({**nowhere, "CI": "1"}, local=False, profile=None)
    with pytest.raises(WorkspaceError, match="none is configured"):
        choose({**nowhere, "LAKEFLOW_WORKSPACE": "databricks"}, local=False, profile=None)


def test_a_token_without_a_host_is_an_error(nowhere: dict[str, str]) -> None:
    with pytest.raises(WorkspaceError, match="DATABRICKS_HOST is not"):
        choose({**nowhere, "DATABRICKS_TOKEN": "t"}, local=False, profile=None)


def test_settings_that_make_no_sense(nowhere: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'lokal'"):
        choose({**nowhere, "LAKEFLOW_WORKSPACE": "lokal"}, local=False, profile=None)
    with pytest.raises(UsageError, match="contradict"):
        choose(nowhere, local=True, profile="work")


def test_local_is_local_whatever_is_configured(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://elsewhere.example")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "id")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "secret")
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "nope")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    workspace = connect(local=True)
    assert workspace.host == endpoint.host
    assert "@" in workspace.me


def test_a_wrong_token_names_its_source(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "wrong")
    with pytest.raises(ApiError) as refused:
        _ = connect().me
    assert endpoint.host in str(refused.value)
    assert "Invalid access token" in str(refused.value)
    assert "DATABRICKS_TOKEN in the environment" in str(refused.value)
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        "http://127.0.0.1:9",
        "https://no-such-host.invalid",
        "ftp://example.com",
        "https://[x",
        "https://example.com:port",
        "",
    ],
)
def test_a_wrong_host_is_named(host: str) -> None:
    with pytest.raises(WorkspaceError, match=r"\bthere\b"):
        check_reachable(host, "there")


def test_a_host_that_accepts_and_never_replies_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for scheme in ("http", "https"):
            host = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(WorkspaceError, match="no reply within 4 s"):
                check_reachable(host, "here")


def test_an_untrusted_certificate_is_named(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(certificate)]
    subprocess.run(
        [*key, "-out", str(tmp_path / "public.pem"), "-subj", "/CN=localhost", "-days", "1"],
        check=True,
        capture_output=True,
    )
    with certificate.open("a") as both:
        both.write((tmp_path / "public.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"https://localhost:{server.server_address[1]}"
        with pytest.raises(WorkspaceError, match=r"(?s)is not trusted.*REQUESTS_CA_BUNDLE"):
            check_reachable(host, "here")
        server.shutdown()


def test_a_proxy_is_used_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(WorkspaceError, match="proxy"):
        check_reachable(HOST, "here")


def test_a_host_that_speaks_no_tls_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"https://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        with pytest.raises(WorkspaceError, match="cannot connect to https://127"):
            check_reachable(host, "here")


class Moody(http.server.BaseHTTPRequestHandler):
    """A server that misbehaves in the way its path says; `seen` are the paths that were asked.

    `/lost` takes effect and drops the connection, once. `/busy/N/...` answers with the HTTP status
    N as often as `times` says; `/page` answers with a web page, others that end so with pages that
    say that nothing was found.
    """

    seen: list[str]
    times: int

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        self.seen.append(path)
        status = int(path.split("/")[2]) if path.startswith("/busy/") else 200
        if status != 200 and self.seen.count(path) <= self.times:
            self._answer(status, b'{"error_code": "X", "message": "out of order"}')
        elif path == "/page":
            self._answer(200, b"<html><body>Welcome</body></html>")
        elif path == "/no-page":
            self._answer(404, b"<html><body>Not here</body></html>")
        elif path == "/error-page":
            self.send_error(404)
        elif path == "/titled-page":
            self._answer(404, b"<html><head><title>404 Not Found</title></head></html>")
        else:
            self._answer(200, b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.path)
        if self.seen.count(self.path) == 1:
            self.close_connection = True
        else:
            self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Moody]]:
    handler = type("Handler", (Moody,), {"seen": [], "times": 1})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("DATABRICKS_TOKEN", "t")
        monkeypatch.delenv("LAKEFLOW_WORKSPACE", raising=False)
        yield handler
        server.shutdown()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_be_repeated_is_repeated(moody: type[Moody], status: int) -> None:
    workspace = connect()
    assert workspace.get(f"/busy/{status}") == {}
    assert moody.seen.count(f"/busy/{status}") == 2


def test_a_lost_reply_is_requested_again(moody: type[Moody]) -> None:
    assert connect().post("/lost", {}, repeatable=True) == {}
    assert moody.seen.count("/lost") == 2


def test_what_is_read_only_sends_nothing_that_changes(moody: type[Moody]) -> None:
    workspace = connect(read_only=True)
    with pytest.raises(Refused, match="read-only"):
        workspace.post("/api/2.2/jobs/run-now", {}, repeatable=True)
    with pytest.raises(Refused, match="read-only"):
        workspace.delete("/api/2.0/fs/files/Volumes/a")
    assert moody.seen.count("/api/2.2/jobs/run-now") == 0


def test_what_must_not_be_repeated_is_sent_once(moody: type[Moody]) -> None:
    with pytest.raises(ReplyLost):
        connect().post("/lost", {}, repeatable=False)
    assert moody.seen.count("/lost") == 1


def test_waiting_for_long_is_said_once(
    moody: type[Moody], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lakeflow")
    moody.times = 4
    workspace = connect()
    assert workspace.get("/busy/503") == {}
    (line,) = caplog.messages
    assert line == f"waiting for {workspace.host}, for 10 minutes at most: out of order"


def test_an_error_that_stays_is_given_up_with_the_server_s_words(
    moody: type[Moody], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lakeflow")
    moody.times = 1000
    with pytest.raises(WorkspaceError, match=r"still replies with an error.*out of order"):
        connect(patience=4.0).get("/busy/500")
    (line,) = caplog.messages
    assert "for 4 s at most: out of order" in line


@pytest.mark.parametrize("path", ["/page", "/no-page", "/error-page", "/titled-page"])
def test_another_web_server_is_no_workspace(moody: type[Moody], path: str) -> None:
    with pytest.raises(WorkspaceError, match="is not a Databricks workspace"):
        connect().get(path)
