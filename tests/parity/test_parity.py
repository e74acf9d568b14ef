"""Unmodified clients against the local workspace: docs/parity.md is what they found.

Two of them in every run; all of them where LAKEFLOW_SOAK is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity.catalog import ROWS
from tests.parity.clients import CLIENTS, Client, ClientMissing
from tests.parity.conducting import open_workspace, tour
from tests.parity.drivers.tour import Facts
from tests.parity.table import PAGE, read, render

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
    assert render(columns) == text, STALE  # the versions too, which the locks pin


@pytest.mark.parametrize("client", CHOSEN, ids=lambda client: client.title)
def test_the_page_says_what_a_client_finds(client: Client, facts: Facts, tmp_path: Path) -> None:
    try:
        found = tour(client, facts, tmp_path)
    except ClientMissing as reason:
        pytest.skip(f"{client.title}: {reason}")
    assert found == read(PAGE.read_text(encoding="utf-8"))[client.title], STALE
