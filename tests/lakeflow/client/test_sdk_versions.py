"""The commands with the oldest and the newest databricks-sdk that the launcher supports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

import lakeflow
import lakeflow_task
from lakeflow.client.connect import connect
from lakeflow.client.http_errors import ApiError
from lakeflow_local.daemon import Endpoint
from tests.support.packages import make_project

OLDEST = "databricks-sdk==0.120.0"
NEWEST = "databricks-sdk<1"
BESIDE = ("packaging>=23", "platformdirs>=4", "rich>=13", "typer>=0.15,<0.29", "uv>=0.5")

LOAD = """
import sys
from lakeflow.client import sdk
sdk.load()
assert "databricks.sdk.service.jobs" not in sys.modules, "the SDK was loaded whole"
import databricks.sdk
databricks.sdk.WorkspaceClient
print(sys.modules["databricks.sdk.version"].__version__)
"""

Run = Callable[..., str]


@pytest.fixture(params=[OLDEST, NEWEST], ids=["oldest", "newest"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs Python in an environment with this SDK, and the launcher as it is here."""
    requirements = [request.param, *BESIDE]
    if sys.version_info < (3, 11):
        requirements.append("tomli>=2")
    uv = [find_uv_bin(), "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "venv"], check=True)
    program = tmp_path / "venv" / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", program, *requirements], check=True)
    homes = {str(Path(str(it.__file__)).parents[1]) for it in (lakeflow, lakeflow_task)}

    def run(*words: str, code: int = 0) -> str:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(homes), "SECRET": "canary"}
        done = subprocess.run(
            [program, *words], env=environ, text=True, capture_output=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "lakeflow/cli" not in done.stderr  # no trace of ours
        return done.stdout

    return run


def test_a_tour_of_commands(endpoint: Endpoint, python: Run, tmp_path: Path) -> None:
    def command(*words: str, code: int = 0) -> str:
        return python("-m", "lakeflow", *words, code=code).strip()

    version = python("-c", LOAD).strip()
    assert re.fullmatch(r"0\.\d+\.\d+", version)
    assert f"databricks-sdk {version}" in command("doctor")

    manifest = str(make_project(tmp_path / "project"))
    job = command("deploy", "--manifest", manifest, "--name", f"sdk-{version}", "--tag", "a=b")
    words = ["trigger-run", job, "x", "--secret-env-var", "SECRET", "--wait", "--output", "json"]
    done = json.loads(command(*words))
    assert done["status"] == "succeeded"
    run = str(done["run_id"])
    assert json.loads(command("get-run-logs", run))["argv"][0] == "x"
    assert command("list-job-runs", job).startswith(f"{run}  succeeded")
    failed = json.loads(command("trigger-run", job, "exit", "3", *words[-3:], code=1))
    assert failed["exit_code"] == 3
    waits = command("trigger-run", job, "wait-for", str(tmp_path / "never"))
    command("cancel-run", waits, "--wait")
    command("get-run", "999999", code=2)

    volume = make_volume()
    for root in ("dbfs:", volume):
        folder = f"{root}/sdk-{version}"
        command("fs", "mkdir", folder)
        command("fs", "cp", manifest, f"{folder}/one")
        assert command("fs", "cat", f"{folder}/one") == Path(manifest).read_text().strip()
        command("fs", "rm", "-r", folder, "--yes")
    command("delete-job", job, "--yes")


def make_volume() -> str:
    """The path of a volume that may exist already."""
    body = {"catalog_name": "main", "schema_name": "default", "name": "sdk"}
    with contextlib.suppress(ApiError):
        connect().post(
            "/api/2.1/unity-catalog/volumes", {**body, "volume_type": "MANAGED"}, repeatable=False
        )
    return "/Volumes/main/default/sdk"
