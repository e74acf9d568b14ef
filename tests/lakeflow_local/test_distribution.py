"""`lakeflow-local` as users install it, in an environment without the launcher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lakeflow_local
from tests.support.distributions import Environment, build_distribution, create_environment

README = Path(str(lakeflow_local.__file__)).with_name("README.md")
WHO_AM_I = (
    "from databricks.sdk import WorkspaceClient; print(WorkspaceClient().current_user.me().emails)"
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with `lakeflow-local`, the plain SDK and pytest."""
    folder = tmp_path_factory.mktemp("local")
    wheel = build_distribution(lakeflow_local, "lakeflow_local", folder)
    created = create_environment(folder, wheel, "databricks-sdk", "pytest")
    yield created
    created.run("lakeflow-local", "down")


def test_it_needs_no_other_distribution_of_this_project(environment: Environment) -> None:
    ours = {name for name in environment.installed() if name.startswith("lakeflow")}
    assert ours == {"lakeflow-local"}
    assert environment.run("lakeflow-local", "--version").stdout == "lakeflow-local 0.1.0\n"


def test_the_command_starts_a_server_for_any_client(environment: Environment) -> None:
    stopped = environment.run("lakeflow-local", "status", code=1)
    assert "not running" in stopped.stderr
    host = environment.run("lakeflow-local", "up").stdout.strip()
    assert environment.run("lakeflow-local", "status").stdout.strip() == host
    commands = environment.run("lakeflow-local", "env").stdout
    exported = dict(re.findall(r"^export (\w+)=(.*)$", commands, re.MULTILINE))
    assert exported["DATABRICKS_HOST"] == host
    assert "@localhost" in environment.run("python", "-c", WHO_AM_I, **exported).stdout
    assert environment.run("lakeflow-local", "open").stdout.startswith(f"{host}/login?")
    refused = environment.run("lakeflow-local", "up", "--port", "1", code=4)
    assert refused.stderr.startswith("lakeflow-local: the local workspace already runs at")
    assert "hint: stop it first with `lakeflow-local down`" in refused.stderr
    environment.run("lakeflow-local", "down")
    environment.run("lakeflow-local", "status", code=1)


def test_the_fixture_runs_a_job_as_the_readme_says(environment: Environment) -> None:
    (example,) = re.findall(r"```python\n(import io\n.*?)```", README.read_text(), re.DOTALL)
    (environment.folder / "test_example.py").write_text(example)
    assert "1 passed" in environment.run("pytest", "-q", "test_example.py").stdout
