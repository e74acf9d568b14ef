"""Authentication, discovery, and requests that are not served."""

from __future__ import annotations

import re
from pathlib import Path

import databricks.sdk
import pytest
import requests
from databricks.sdk import WorkspaceClient

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask


def test_discovery_needs_no_token(endpoint: Endpoint) -> None:
    answer = requests.get(f"{endpoint.host}/.well-known/databricks-config", timeout=10)
    assert answer.status_code == 200
    assert set(answer.json()) == {"oidc_endpoint", "workspace_id"}


def test_me(client: WorkspaceClient) -> None:
    assert client.current_user.me().user_name


@pytest.mark.parametrize(
    "path", ["/api/2.2/jobs/list", "/lakeflow/health", "/", "/nowhere", "/api/2.0/fs/files/x"]
)
def test_no_token_and_a_wrong_one(endpoint: Endpoint, path: str) -> None:
    missing = requests.get(endpoint.host + path, timeout=10)
    assert missing.status_code == 401
    assert missing.json()["error_code"] == 401
    assert missing.json()["message"].startswith("Credential was not sent or was of an unsupported")
    wrong = ask(endpoint, "GET", path, token="wrong")
    assert wrong.status_code == 403
    assert wrong.json()["error_code"] == 403
    assert wrong.json()["message"].startswith("Invalid access token.")
    assert wrong.headers["X-Databricks-Reason-Phrase"].startswith("Invalid access token.")


def test_a_foreign_host_name_is_refused(endpoint: Endpoint) -> None:
    headers = {"Host": "evil.example", "Authorization": f"Bearer {endpoint.token}"}
    answer = requests.get(f"{endpoint.host}/api/2.2/jobs/list", headers=headers, timeout=10)
    assert answer.status_code == 403


def test_requests_through_a_proxy(endpoint: Endpoint) -> None:
    """As clients send requests that drop the port of an address and use HTTP_PROXY instead."""
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": endpoint.host}
        me = session.get("http://127.0.0.1/api/2.0/preview/scim/v2/Me", headers=headers, timeout=10)
        assert me.status_code == 200
        foreign = session.get("http://evil.example/api/2.2/jobs/list", headers=headers, timeout=10)
        assert foreign.status_code == 403


def test_every_call_of_the_sdk_is_served_or_refused_by_name(endpoint: Endpoint) -> None:
    """None is a 404, which means to clients that a resource is missing."""
    paths = set()
    for source in (Path(databricks.sdk.__file__).parent / "service").glob("*.py"):
        paths |= set(re.findall(r"/api/\d\.\d/[\w/-]*[\w-]", source.read_text()))
    assert len(paths) > 300
    for path in sorted(path for path in paths if "permissions/" not in path):  # these are served
        answer = ask(endpoint, "PATCH", path)
        assert answer.status_code == 400, path
        assert answer.json()["error_code"] == "NOT_IMPLEMENTED", path
        assert f"PATCH {path}" in answer.json()["message"]


def test_paths_outside_the_api(endpoint: Endpoint) -> None:
    """They are 404, as are network endpoints of files, which means `use the usual ones`."""
    for path in ("/api/nonsense", "/api/2.0/fs/endpoints"):
        answer = ask(endpoint, "GET", path)
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/instance-pools/create"),
        ("GET", "/api/2.0/permissions/notebooks/1"),
        ("POST", "/api/2.0/clusters/change-owner"),
    ],
)
def test_a_known_endpoint_that_is_not_served(endpoint: Endpoint, method: str, path: str) -> None:
    answer = ask(endpoint, method, path)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert f"{method} {path}" in answer.json()["message"]


def test_a_body_that_is_too_large(endpoint: Endpoint) -> None:
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", data=b" " * (10 * 1024 * 1024 + 1))
    assert answer.status_code == 413


def test_a_bare_question_mark(endpoint: Endpoint) -> None:
    assert ask(endpoint, "GET", "/api/2.0/preview/scim/v2/Me?").status_code == 200
