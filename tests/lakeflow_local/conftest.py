"""A real server for the tests of the local workspace, and a client that is the unmodified SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient

from lakeflow_local import daemon
from tests.lakeflow_local.helpers import connect, probe_wheel, start_cluster, upload


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own; a server that was started in it is stopped."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    yield tmp_path
    daemon.down()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.Endpoint]:
    """A server that the tests of a module share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield daemon.ensure_up()
        daemon.down()


@pytest.fixture(scope="module")
def client(endpoint: daemon.Endpoint) -> WorkspaceClient:
    return connect(endpoint)


@pytest.fixture(scope="module")
def mount(endpoint: daemon.Endpoint) -> Path:
    """The folder below which the shared server keeps its files."""
    return daemon.state_dir() / "local" / "mount"


@pytest.fixture(scope="module")
def wheel(client: WorkspaceClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the probe, uploaded."""
    return upload(client, probe_wheel(tmp_path_factory.mktemp("wheels"), "1.0"))


@pytest.fixture(scope="module")
def cluster(client: WorkspaceClient) -> str:
    """A running cluster that the tests of a module share."""
    return start_cluster(client)
