"""Unmodified clients against the local workspace: docs/parity.md is what they found.

Two of them in every run; all of them where LAKEFLOW_SOAK is set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow_local.server.app import ROUTES
from tests.parity.catalog import ROWS, Row
from tests.parity.clients import CLIENTS, Client, ClientMissing
from tests.parity.conducting import open_workspace, tour
from tests.parity.drivers.tour import Facts
from tests.parity.table import PAGE, UNKNOWN, read, render

CHOSEN = [client for client in CLIENTS if client.in_every_run or os.environ.get("LAKEFLOW_SOAK")]
STALE = "make docs/parity.md again: `PYTHONPATH=src:. python -m tests.parity`"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(folder))
        with open_workspace(folder) as facts:
            yield facts


def test_the_page_has_all_calls_and_clients() -> None:
    text = PAGE.read_text(encoding="utf-8")
    columns = read(text)
    assert set(columns) == {client.title for client in CLIENTS}, STALE
    assert all(set(column) == {row.key for row in ROWS} for column in columns.values()), STALE
    assert not any(UNKNOWN in column.values() for column in columns.values()), STALE
    assert render(columns) == text, STALE  # the versions too, which the locks pin


def test_every_endpoint_of_the_server_is_a_row() -> None:
    missing = []
    for route in ROUTES:
        found = re.fullmatch(r"/api/(\d\.\d)/(.+)", route.path)
        if found is None:
            continue
        served = Row("", f"{route.method} {found[2]}")
        endpoints = (row.endpoint.partition(" ") for row in ROWS)
        if not any(
            served.version(method, f"/api/{found[1]}/{path}") for method, _, path in endpoints
        ):
            missing.append(f"{route.method} {route.path}")
    assert missing == [], "add these to tests/parity/catalog.py"


@pytest.mark.parametrize("client", CHOSEN, ids=lambda client: client.title)
def test_the_page_says_what_a_client_finds(client: Client, facts: Facts, tmp_path: Path) -> None:
    try:
        found = tour(client, facts, tmp_path)
    except ClientMissing as reason:
        pytest.skip(f"{client.title}: {reason}")
    assert found == read(PAGE.read_text(encoding="utf-8"))[client.title], STALE
