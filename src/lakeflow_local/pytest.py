"""A pytest plugin: a throw-away workspace for the tests of code that talks to Databricks.

Installed with `lakeflow-launcher`, as the entry point `lakeflow` of the group `pytest11`. All that
costs time is imported when the fixture is asked for.
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

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

START_SECONDS = 60.0
STOP_SECONDS = 10.0
Scope = Literal["session", "package", "module", "class", "function"]


@dataclass(frozen=True)
class ThrowAwayWorkspace:
    """A workspace of one test, or of those that share it. `host` is its address."""

    host: str
    token: str

    @functools.cached_property
    def client(self) -> WorkspaceClient:
        """A client of it, whatever the environment says of other workspaces."""
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient(host=self.host, token=self.token, auth_type="pat")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "databricks_workspace_scope",
        "which tests share a databricks_workspace: function (none do), class, module, package or"
        " session",
        default="function",
    )


def _scope(fixture_name: str, config: pytest.Config) -> Scope:
    scope: Scope = config.getini("databricks_workspace_scope")
    return scope


@pytest.fixture(scope=_scope)
def databricks_workspace(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ThrowAwayWorkspace]:
    """An empty workspace of its own that runs jobs for real; it ends with the test.

    It has its own folder and port, so that tests may run side by side, and ends with this process
    even where that is killed.
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
    """Start a server on any free port. It lives as long as the pipe to its standard input."""
    arguments = ["--folder", str(folder), "--port", "0", "--until-stdin-closes"]
    kept = [entry for entry in sys.path if entry and os.path.exists(entry)]
    with open(folder / "server.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lakeflow_local", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(kept)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait(folder: Path, process: subprocess.Popen[bytes]) -> ThrowAwayWorkspace:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            port = json.loads((folder / "server.json").read_text())["port"]
        except FileNotFoundError:
            time.sleep(0.01)
            continue
        return ThrowAwayWorkspace(
            f"http://127.0.0.1:{port}", (folder / "token").read_text().strip()
        )
    said = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"the throw-away workspace did not start:\n{said}")
