"""Redirects to other hosts are not followed, and no reply that is none counts as an effect."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.client.workspace import Workspace
from lakeflow.errors import WorkspaceError
from lakeflow.resources import run_now
from lakeflow.resources.run_now import RunRequest
from lakeflow.state import invocations
from tests.support.stub_workspace import Request, Response, StubWorkspace, stub_workspace

SECRET = "the value of a secret"


def _ok(request: Request) -> Response:
    return Response()


@pytest.fixture
def other() -> Iterator[StubWorkspace]:
    with stub_workspace(_ok) as stub:
        yield stub


@pytest.fixture
def stub() -> Iterator[StubWorkspace]:
    with stub_workspace(_ok) as stub:
        yield stub


@pytest.fixture
def workspace(stub: StubWorkspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    monkeypatch.setenv("DATABRICKS_HOST", stub.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-the-test")
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    return connect(patience=0.1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_redirect_to_another_host_is_not_followed(
    workspace: Workspace, stub: StubWorkspace, other: StubWorkspace, status: int, method: str
) -> None:
    stub.replies = lambda request: Response(
        status, b"", (("Location", f"{other.host}/stolen?code=7"),)
    )
    body = {"string_value": SECRET}
    requests: dict[str, Callable[[], object]] = {
        "GET": lambda: workspace.get("/api/2.0/a"),
        "POST": lambda: workspace.post("/api/2.0/secrets/put", body, repeatable=True),
        "PUT": lambda: workspace.put("/api/2.0/a", io.BytesIO(SECRET.encode())),
        "DELETE": lambda: workspace.delete("/api/2.0/a"),
    }
    with pytest.raises(WorkspaceError, match="redirects to another address") as refused:
        requests[method]()
    assert "code=7" not in str(refused.value)
    assert not other.received


def test_a_post_that_becomes_a_get_is_no_effect(workspace: Workspace, stub: StubWorkspace) -> None:
    def replies(request: Request) -> Response:
        if request.method == "POST":
            return Response(302, b"", (("Location", "/login.html"),))
        return Response.of({"run_id": 7})

    stub.replies = replies
    with pytest.raises(WorkspaceError, match="redirects a POST"):
        workspace.post("/api/2.2/jobs/run-now", {"job_id": 1}, repeatable=True)


def test_a_redirect_within_the_host_is_followed(workspace: Workspace, stub: StubWorkspace) -> None:
    def replies(request: Request) -> Response:
        if request.path == "/api/2.0/old":
            return Response(308, b"", (("Location", "/api/2.0/new"),))
        return Response.of({"path": request.path, "body": request.body.decode()})

    stub.replies = replies
    found = workspace.post("/api/2.0/old", {"a": 1}, repeatable=True)
    assert found == {"path": "/api/2.0/new", "body": '{"a": 1}'}


def test_storage_that_redirects_has_not_stored(
    workspace: Workspace, stub: StubWorkspace, other: StubWorkspace
) -> None:
    stub.replies = lambda request: Response(307, b"", (("Location", other.host), ("ETag", "a")))
    sent = workspace.put_to_storage(f"{stub.host}/part", {}, io.BytesIO(b"part"))
    assert sent is None
    assert not other.received


@pytest.mark.parametrize(
    "body", [b"{}", b"", b'{"run_id": null}', b'{"run_id": "x"}', b'{"run_id": NaN}', b"[]", b"7"]
)
def test_a_reply_without_a_run_is_no_run(
    workspace: Workspace, stub: StubWorkspace, tmp_path: Path, body: bytes
) -> None:
    stub.replies = lambda request: Response(body=body)
    invocation = invocations.begin(tmp_path / "invocations", ["test"])
    with pytest.raises(WorkspaceError):
        run_now.trigger(workspace, RunRequest(1, 0, (), {}), invocation)
    assert not invocation.started
    assert invocation.path.exists()
    invocation.close()


def test_pages_that_never_end(workspace: Workspace, stub: StubWorkspace) -> None:
    stub.replies = lambda request: Response.of({"jobs": [{"job_id": 1}], "next_page_token": "a"})
    with pytest.raises(WorkspaceError, match="never end"):
        list(workspace.pages("/api/2.2/jobs/list", "jobs"))
