"""The table of endpoints in the documentation is the server's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow_local.daemon import Endpoint
from lakeflow_local.server.app import ROUTES
from tests.lakeflow_local.helpers import ask

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "local-workspace.md"
ROW = re.compile(r"\| `(\w+) (\S+)` \| ([\d., ]+) \| (done|partly|refused) \| (.*)\|")


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """Method, path, version, how it is served, and what is missing, one for each version."""
    for method, path, versions, served, missing in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for version in versions.split(", "):
            yield method, path, version, served, missing.strip()


def test_every_route_is_in_the_table() -> None:
    documented = {
        (method, f"/api/{version}/{path}")
        for method, path, version, served, _ in rows()
        if served != "refused"
    }
    assert documented == {
        (route.method, route.path) for route in ROUTES if route.path.startswith("/api/")
    }


def test_partly_says_what_is_missing() -> None:
    assert all(bool(missing) == (served == "partly") for _, _, _, served, missing in rows())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, f"/api/{version}/{path}")
        for method, path, version, served, _ in rows()
        if served == "refused"
    ],
)
def test_what_is_refused_is_refused_by_name(endpoint: Endpoint, method: str, path: str) -> None:
    path = path.replace("{path}", "main.default.lakeflow")
    answer = ask(endpoint, method, path, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "NOT_IMPLEMENTED")
    assert f"{method} {path}" in answer.json()["message"]
