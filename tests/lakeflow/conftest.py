from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.ending import ending_servers_below


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C reaches what the tests start, also where a shell in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_server_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Also where the tests are killed."""
    with ending_servers_below(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(autouse=True)
def log_is_reset() -> Iterator[None]:
    """No test captures the log of the next one."""
    logger = logging.getLogger("lakeflow")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(scope="session")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder with a local workspace that all tests of this process share."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAKEFLOW_STATE_DIR", str(folder))
        yield folder
        daemon.down()


@pytest.fixture
def endpoint(workspace_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The shared local workspace, up, and named by the environment as any Databricks would be."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(workspace_folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    found = daemon.ensure_up()
    monkeypatch.setenv("DATABRICKS_HOST", found.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", found.token)
    return found


@pytest.fixture
def captured(endpoint: Endpoint) -> CapturedLauncher:
    """A launcher on the shared local workspace, whose output is captured."""
    return CapturedLauncher()
