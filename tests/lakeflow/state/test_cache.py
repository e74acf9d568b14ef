"""What was learned of a host and a credential is not asked for again, and not trusted too far."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.client.http_errors import ApiError
from lakeflow.errors import WorkspaceError
from lakeflow_local.daemon import Endpoint
from tests.support.proxy import ForwardingProxy

DISCOVERY = "/.well-known/databricks-config"
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ForwardingProxy:
    """Stands before the local workspace; nothing is known of it yet."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    proxy = ForwardingProxy(endpoint.host)
    monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
    return proxy


def kept(folder: Path) -> list[Path]:
    """The files that hold what is known."""
    return sorted((folder / "state" / "cache").glob("*.json"))


def test_it_is_requested_once(proxy: ForwardingProxy) -> None:
    with proxy:
        names = {connect().me for _ in range(3)}
    assert len(names) == 1
    assert [request.path for request in proxy.requests] == [DISCOVERY, ME]


def test_another_credential_is_somebody_else(
    proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy:
        _ = connect().me
        monkeypatch.setenv("DATABRICKS_TOKEN", "another")
        with pytest.raises(ApiError, match="Invalid access token"):
            _ = connect().me
    assert [request.path for request in proxy.requests] == [DISCOVERY, ME] * 2


def test_the_token_is_not_kept(proxy: ForwardingProxy, endpoint: Endpoint, tmp_path: Path) -> None:
    with proxy:
        _ = connect().me
    texts = [path.read_text() for path in kept(tmp_path)]
    assert len(texts) == 2
    assert not any(endpoint.token in text for text in texts)


@pytest.mark.parametrize(
    "spoiled", ["", "[]", "{}", '{"stored_at": 1, "value": {"userName": "x"}}']
)
def test_what_is_old_or_damaged_is_requested_again(
    proxy: ForwardingProxy, tmp_path: Path, spoiled: str
) -> None:
    with proxy:
        me = connect().me
        for path in kept(tmp_path):
            path.write_text(spoiled)
        assert connect().me == me
    assert [request.path for request in proxy.requests] == [DISCOVERY, ME] * 2
    assert all(json.loads(path.read_text())["stored_at"] > 1 for path in kept(tmp_path))


def test_a_state_folder_that_cannot_be_written_is_no_error(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cache").write_text("in the way")
    with proxy:
        assert connect().me == connect().me
    assert [request.path for request in proxy.requests] == [DISCOVERY, ME] * 2


def test_a_refused_identity_is_requested_again(proxy: ForwardingProxy) -> None:
    with proxy:
        workspace = connect()
        _ = workspace.me
        proxy.answer(403, {"error_code": "PERMISSION_DENIED", "message": "not yours"}, times=1)
        with pytest.raises(ApiError, match="not yours"):
            workspace.get("/api/2.2/jobs/list")
        _ = connect().me
    assert [request.path for request in proxy.requests].count(ME) == 2


def test_a_known_host_that_is_gone_is_named(proxy: ForwardingProxy) -> None:
    with proxy:
        _ = connect().me
    with pytest.raises(WorkspaceError, match="does not reply"):
        connect().get("/api/2.2/jobs/list")


def test_a_known_host_that_has_fallen_silent_is_given_up(proxy: ForwardingProxy) -> None:
    with proxy:
        _ = connect().me
    port = int(proxy.host.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(WorkspaceError, match="no reply within 4 s"),
    ):
        connect().get("/api/2.2/jobs/list")


def test_a_known_host_that_is_slow_is_waited_for(proxy: ForwardingProxy) -> None:
    with proxy:
        _ = connect().me
        proxy.delay = 1.0
        connect().get("/api/2.2/jobs/list", limit=1)
    assert [request.path for request in proxy.requests[2:]] == ["/api/2.2/jobs/list", DISCOVERY]
