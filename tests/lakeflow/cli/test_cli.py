"""The command itself, as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakeflow import __version__
from lakeflow_local.daemon import Endpoint
from tests.support.packages import make_project


def lakeflow(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lakeflow", *words],
        env={**os.environ, **environ},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["--help"], ["trigger-run", "--help"], ["local", "--help"]])
def test_help_loads_no_sdk(endpoint: Endpoint, words: list[str]) -> None:
    program = (
        "import sys\nfrom lakeflow.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "slow = {'databricks', 'mcp', 'pydantic', 'requests', 'rich', 'starlette'}\n"
        "slow &= set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_version(endpoint: Endpoint) -> None:
    assert lakeflow("--version").stdout == f"lakeflow {__version__}\n"


def test_results_on_stdout_and_progress_on_stderr(endpoint: Endpoint, tmp_path: Path) -> None:
    manifest = str(make_project(tmp_path))
    deployed = lakeflow("deploy", "--manifest", manifest, "--name", "by-cli")
    assert deployed.returncode == 0, deployed.stderr
    job_id = deployed.stdout.strip()
    assert job_id.isdecimal()
    assert f"lakeflow trigger-run {job_id}" in deployed.stderr

    words = ["trigger-run", job_id, "a", "--env", "COLOUR=green", "b", "--", "--wait", "-x"]
    triggered = lakeflow(*words)
    assert triggered.returncode == 0, triggered.stderr
    run_id = triggered.stdout.strip()
    assert run_id.isdecimal()
    assert f"/{run_id}\n" in triggered.stderr

    waited = lakeflow("wait", run_id)
    said = json.loads(waited.stdout)
    assert (said["argv"], said["env"]) == (["a", "b", "--wait", "-x"], "green")
    assert json.loads(lakeflow("get-run-logs", run_id).stdout) == said

    failed = lakeflow("trigger-run", job_id, "--wait", "--output", "json", "exit", "7")
    assert failed.returncode == 1
    result = json.loads(failed.stdout)
    assert (result["status"], result["exit_code"]) == ("failed", 7)

    followed = lakeflow("trigger-run", job_id, "b", "--follow")
    assert json.loads(followed.stdout)["argv"] == ["b"]
    (followed_id,) = re.findall(r"run (\d+) succeeded", followed.stderr)

    listed = json.loads(lakeflow("list-job-runs", job_id, "--output", "json").stdout)
    assert {run["run_id"] for run in listed} == {int(run_id), result["run_id"], int(followed_id)}
    assert run_id in lakeflow("list-job-runs", job_id).stdout


def test_the_manifest_says_how_to_start_it_again(endpoint: Endpoint, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**raw, "command": "./pants lakeflow-deploy src/x:dist --"}))
    words = ["deploy", "--manifest", str(manifest), "--name", "by-pants"]
    again = './pants lakeflow-deploy src/x:dist -- --run "ARGUMENTS"'
    assert again in lakeflow(*words).stderr
    started = lakeflow(*words, "--run", "a", "--no-wait")
    run_id = started.stdout.strip()
    assert f"./pants lakeflow-deploy src/x:dist -- --attach {run_id}" in started.stderr
    attached = lakeflow(*words, "--attach", run_id)
    assert json.loads(attached.stdout)["argv"] == ["a"]


@pytest.mark.parametrize(
    ("words", "environ", "code", "complaint"),
    [
        (["trigger-run", "1", "-x"], {}, 2, "No such option: -x"),
        (["trigger-run", "one"], {}, 2, "Invalid value for 'JOB'"),
        (["trigger-run", "999999"], {}, 2, "job 999999 not found"),
        (["get-run-logs", "999999"], {}, 2, "run 999999 not found"),
        (["wait", "999999"], {}, 2, "run 999999 not found"),
        (["trigger-run", "1", "--env", "X"], {}, 2, "NAME=VALUE"),
        (["deploy", "--manifest", "m", "--run", "a 'b"], {}, 2, "No closing quotation"),
        (["deploy", "--manifest", "nowhere.json"], {}, 2, "nowhere.json"),
        (["deploy"], {}, 2, "--manifest"),
        (["list-job-runs", "1"], {"DATABRICKS_TOKEN": "wrong"}, 4, "Invalid access token"),
        (["list-job-runs", "1"], {"DATABRICKS_HOST": "http://127.0.0.1:9"}, 4, "127.0.0.1:9"),
        (["list-job-runs", "1", "--profile", "p", "--local"], {}, 2, "contradict"),
    ],
)
def test_errors_are_readable(
    endpoint: Endpoint, words: list[str], environ: dict[str, str], code: int, complaint: str
) -> None:
    done = lakeflow(*words, **environ)
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_what_a_stream_cannot_take_is_escaped_or_said(endpoint: Endpoint, tmp_path: Path) -> None:
    manifest = str(make_project(tmp_path))
    words = ["deploy", "--manifest", manifest, "--name", "streams", "--run", "ünï"]
    done = lakeflow(*words, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\xfcn\\xef" in done.stdout
    with open("/dev/full", "w") as full:
        full_disk = subprocess.run(
            [sys.executable, "-m", "lakeflow", "list-jobs"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert full_disk.returncode == 1
    assert "No space left on device" in full_disk.stderr
    assert "Traceback" not in full_disk.stderr


def test_local_env_points_any_client_at_it(endpoint: Endpoint) -> None:
    script = (
        f'eval "$({sys.executable} -m lakeflow local env)" && {sys.executable} -c '
        '"from databricks.sdk import WorkspaceClient as W; print(W().current_user.me().user_name)"'
    )
    bare = {name: value for name, value in os.environ.items() if "DATABRICKS" not in name}
    done = subprocess.run(
        ["sh", "-c", script], env=bare, text=True, capture_output=True, check=False
    )
    assert "@" in done.stdout, done.stderr


def test_local_up_status_down_and_reset(endpoint: Endpoint, tmp_path: Path) -> None:
    own = {"LAKEFLOW_STATE_DIR": str(tmp_path)}
    assert lakeflow("local", "status", **own).returncode == 1
    up = lakeflow("local", "up", **own)
    assert up.returncode == 0, up.stderr
    assert up.stdout != f"{endpoint.host}\n"
    assert lakeflow("local", "status", **own).stdout == up.stdout
    assert lakeflow("local", "down", **own).returncode == 0
    assert lakeflow("local", "status", **own).returncode == 1
    assert (tmp_path / "local").is_dir()
    assert lakeflow("local", "reset", "--yes", **own).returncode == 0
    assert not (tmp_path / "local").exists()
