"""The pytest plugin, as tests of users load it: in a separate pytest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lakeflow_local.helpers import is_gone, until

TWO_TESTS = """
import os
import urllib.request
from pathlib import Path

import pytest

def use(workspace, name):
    workspace.client.secrets.create_scope("mine")
    assert [scope.name for scope in workspace.client.secrets.list_scopes()] == ["mine"]
    Path(name).write_text(workspace.host)

def test_one(databricks_workspace):
    use(databricks_workspace, "one")

def test_two(databricks_workspace):
    use(databricks_workspace, "two")
"""
SHARING = """
def test_one(databricks_workspace):
    databricks_workspace.client.secrets.create_scope("mine")

def test_two(databricks_workspace):
    assert [s.name for s in databricks_workspace.client.secrets.list_scopes()] == ["mine"]
"""
HANGING = """
import json
import time
from pathlib import Path

def test_it(databricks_workspace, tmp_path_factory):
    found = tmp_path_factory.getbasetemp() / "databricks_workspace0" / "server.json"
    Path("pid.draft").write_text(str(json.loads(found.read_text())["pid"]))
    Path("pid.draft").rename("pid")
    time.sleep(600)
"""


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "lakeflow_local.pytest", *options]


def environment() -> dict[str, str]:
    """Return the environment of a user with another workspace configured, which must not matter."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join(sys.path)
    return {**kept, "PYTHONPATH": path, "DATABRICKS_HOST": "http://127.0.0.1:1"}


def run_tests(folder: Path, text: str, *options: str) -> str:
    """Run a file of tests in its own folder and return the output. The tests must pass."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").touch()
    done = subprocess.run(
        command("--basetemp", str(folder / "temporary"), *options),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_each_test_has_its_own_workspace_that_is_deleted_afterwards(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert "2 passed" in run_tests(tmp_path, TWO_TESTS, *options)
    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()
    assert list((tmp_path / "temporary").rglob("workspace.sqlite")) == []


def test_tests_can_share_a_workspace(tmp_path: Path) -> None:
    output = run_tests(tmp_path, SHARING, "-o", "databricks_workspace_scope=module")
    assert "2 passed" in output


def test_it_is_documented_among_the_fixtures(tmp_path: Path) -> None:
    output = run_tests(tmp_path, TWO_TESTS, "--fixtures")
    assert "An empty, temporary Databricks workspace that really runs jobs" in output


def test_it_stops_when_pytest_is_killed(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(HANGING)
    (tmp_path / "pytest.ini").touch()
    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen(
            command("--basetemp", str(tmp_path / "temporary")),
            cwd=tmp_path,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: (tmp_path / "pid").exists() or None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    server = int((tmp_path / "pid").read_text())
    until(lambda: is_gone(server) or None)
