"""A pytest plugin: a temporary workspace for tests of code that talks to Databricks.

Installed with `lakeflow-local`, as the entry point `lakeflow_local` of the group `pytest11`. Slow
imports wait until the fixture is used.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from lakeflow_local.config import ServerConfig

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

START_SECONDS = 60.0
STOP_SECONDS = 10.0
Scope = Literal["session", "package", "module", "class", "function"]


@dataclass(frozen=True)
class TemporaryWorkspace:
    """A workspace of one test, or of the tests that share it. `host` is its URL."""

    host: str
    token: str

    @functools.cached_property
    def client(self) -> WorkspaceClient:
        """A client of the workspace, whatever else the environment configures."""
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient(host=self.host, token=self.token, auth_type="pat")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "databricks_workspace_scope",
        "which tests share a databricks_workspace: function (each has its own), class, module,"
        " package or session",
        default="function",
    )


def _scope(fixture_name: str, config: pytest.Config) -> Scope:
    scope: Scope = config.getini("databricks_workspace_scope")
    return scope


@pytest.fixture(scope=_scope)
def databricks_workspace(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TemporaryWorkspace]:
    """An empty, temporary Databricks workspace that really runs jobs.

    It has its own folder and port, so tests can run in parallel. It stops when the test is
    finished, and when pytest is killed.
    """
    folder = tmp_path_factory.mktemp("databricks_workspace")
    process = start(folder)
    try:
        yield wait(folder, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a server on any free port. It stops when the pipe to its standard input is closed."""
    config = ServerConfig(folder, port=0, until_stdin_closes=True)
    paths = [entry for entry in sys.path if entry and os.path.exists(entry)]
    with open(folder / "server.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lakeflow_local", *config.arguments()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait(folder: Path, process: subprocess.Popen[bytes]) -> TemporaryWorkspace:
    """Wait until a server that was started in `folder` is ready.

    Raises:
        RuntimeError: It did not start; the text has its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            port = json.loads((folder / "server.json").read_text())["port"]
        except FileNotFoundError:
            time.sleep(0.01)
            continue
        token = (folder / "token").read_text().strip()
        return TemporaryWorkspace(f"http://127.0.0.1:{port}", token)
    output = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"the temporary workspace did not start:\n{output}")
