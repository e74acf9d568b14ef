"""Access to the server: addresses, tokens, host names, sizes.

Paths are in test_fuzz.py, cookies and forms in test_ui.py, permissions in test_principals.py."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.server.api.route import Route
from lakeflow_local.server.app import ROUTES
from tests.lakeflow_local.helpers import ask

PAGES = (
    "/",
    "/jobs",
    "/jobs/1",
    "/jobs/1/runs/1",
    "/jobs/1/runs/1/log/2",
    "/clusters",
    "/clusters/x",
    "/files",
    "/files/Workspace",
    "/secrets",
    "/nowhere",
)
OURS = (
    ("GET", "/lakeflow/health"),
    ("POST", "/lakeflow/principals"),
    ("POST", "/lakeflow/login-links"),
)
EVERY = [(route.method, route.path.replace("{path}", "/x")) for route in ROUTES]
EVERY += [("GET", path) for path in PAGES] + list(OURS)


def is_listening(address: str, port: int) -> bool:
    """Return whether anything listens at an address."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def own_addresses() -> set[str]:
    """Addresses of this machine beside 127.0.0.1; all of 127.0.0.0/8 are, on Linux."""
    found = {"127.0.0.2"}
    with suppress(OSError):
        found |= {str(item[4][0]) for item in socket.getaddrinfo(socket.gethostname(), None)}
    return {address for address in found if ":" not in address} - {"127.0.0.1"}


def test_it_listens_on_one_address_only(endpoint: Endpoint) -> None:
    port = urlsplit(endpoint.host).port or 0
    assert is_listening("127.0.0.1", port)
    assert [address for address in own_addresses() if is_listening(address, port)] == []
    assert not is_listening("::1", port)


def test_it_listens_on_another_address_on_request(state: Path) -> None:
    endpoint = daemon.ensure_up(listen="0.0.0.0")
    assert urlsplit(endpoint.host).hostname == "127.0.0.1"
    port = urlsplit(endpoint.host).port or 0
    path, headers = "lakeflow/health", {"Authorization": f"Bearer {endpoint.token}"}
    for address in own_addresses():
        url = f"http://{address}:{port}/{path}"
        assert requests.get(url, headers=headers, timeout=10).status_code == 200
        assert requests.get(url, timeout=10).status_code == 401
    foreign = {**headers, "Host": f"evil.example:{port}"}
    assert requests.get(f"{endpoint.host}/{path}", headers=foreign, timeout=10).status_code == 403
    with pytest.raises(WorkspaceError, match=r"not listening on 127\.0\.0\.1\nhint: stop"):
        daemon.ensure_up(listen="127.0.0.1")
    daemon.down()
    daemon.ensure_up()  # it has to be asked each time
    assert not is_listening("127.0.0.2", port)
    daemon.down()
    secured = daemon.ensure_up(listen="127.0.0.3", tls=True)
    assert urlsplit(secured.host).hostname == "127.0.0.3"
    assert daemon.page_link(secured).startswith("https://127.0.0.3:")


def test_an_address_that_is_not_ours(state: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"of 203\.0\.113\.7 can't be used"):
        daemon.ensure_up(listen="203.0.113.7")


def test_requests_without_a_token_are_refused(endpoint: Endpoint) -> None:
    with requests.Session() as session:
        for method, path in EVERY:
            missing = session.request(method, endpoint.host + path, timeout=10)
            if path.startswith("/storage/"):  # the address is the permission
                assert missing.status_code == 403, path
                continue
            assert missing.status_code == 401, f"{method} {path}"
            for given in ("Bearer", "Bearer ", "Bearer wrong", f"Basic {endpoint.token}"):
                headers = {"Authorization": given}
                answer = session.request(method, endpoint.host + path, headers=headers, timeout=10)
                assert answer.status_code in (401, 403), f"{method} {path} {given}"
            query = session.request(
                method, endpoint.host + path, params={"token": endpoint.token}, timeout=10
            )
            assert query.status_code == 401, f"{method} {path}"


def test_requests_with_a_foreign_host_name_are_refused(endpoint: Endpoint) -> None:
    with requests.Session() as session:
        for method, path in EVERY:
            for host in ("evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"):
                headers = {"Host": host, "Authorization": f"Bearer {endpoint.token}"}
                answer = session.request(method, endpoint.host + path, headers=headers, timeout=10)
                assert answer.status_code in (400, 403), f"{method} {path} {host}"


def test_a_request_with_two_lengths_is_refused_and_closed(endpoint: Endpoint) -> None:
    address = urlsplit(endpoint.host)
    lines = ["POST /api/2.2/jobs/create HTTP/1.1", f"Host: {address.netloc}", "Content-Length: 5"]
    lines += [f"Authorization: Bearer {endpoint.token}", "Transfer-Encoding: chunked", "", ""]
    hidden = f"GET /lakeflow/health HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    with socket.create_connection(
        (str(address.hostname), address.port or 0), timeout=30
    ) as sending:
        sending.sendall(("\r\n".join(lines) + "0\r\n\r\n" + hidden).encode())
        received = sending.makefile("rb").read()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_bodies_over_the_limit_are_refused(endpoint: Endpoint) -> None:
    """Declared or not, a body that is too large is refused before it is read to the end."""

    def too_much(limit: int) -> Iterator[bytes]:
        sent = 0
        while sent <= limit + (4 << 20):  # there is more than enough before it ends
            yield b" " * (1 << 20)
            sent += 1 << 20

    def check(route: Route) -> None:
        path = route.path.replace("{path}", "/Volumes/main/default/lakeflow/x")
        answer = ask(endpoint, route.method, path, data=too_much(route.limit))
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")

    by_path = {route.path: route for route in ROUTES}
    for path in ("/api/2.2/jobs/create", "/api/2.0/workspace/import", "/api/2.0/dbfs/put"):
        check(by_path[path])
    answer = ask(endpoint, "POST", "/lakeflow/principals", data=b" " * 10_000)
    assert answer.status_code == 413


def test_only_its_user_can_read_the_state(endpoint: Endpoint) -> None:
    folder = daemon.state_dir() / "local"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
