"""No credential is printed, whatever is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stub_workspace import Request, Response, StubWorkspace, stub_workspace

TOKEN = "dapi0123456789abcdef0123456789"


@pytest.fixture
def stub() -> Iterator[StubWorkspace]:
    def replies(request: Request) -> Response:
        return Response.of({"error_code": "A", "message": f"bad token {request.token}"}, 400)

    with stub_workspace(replies) as stub:
        yield stub


def _lakeflow(
    folder: Path, *words: str, program: str = "from lakeflow.cli import main; main()", **env: str
) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if "DATABRICKS" not in name}
    environ |= {
        "LAKEFLOW_STATE_DIR": str(folder / "state"),
        "DATABRICKS_CONFIG_FILE": str(folder / "databrickscfg"),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        text=True,
        capture_output=True,
        check=False,
        env=environ,
    )
    assert TOKEN not in done.stdout + done.stderr
    assert "hunter22" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", " "])
def test_white_space_around_a_token_is_ignored(
    stub: StubWorkspace, tmp_path: Path, end: str
) -> None:
    env = {"DATABRICKS_HOST": stub.host + end, "DATABRICKS_TOKEN": TOKEN + end}
    done = _lakeflow(tmp_path, "get-run", "5", "--verbose", **env)
    assert "Traceback" not in done.stderr
    assert "ignoring white space" in done.stderr
    assert "DATABRICKS_TOKEN" in done.stderr
    assert "bad token Bearer <redacted>" in done.stderr
    assert {request.token for request in stub.received} <= {"", f"Bearer {TOKEN}"}


@pytest.mark.parametrize("token", [f"{TOKEN[:9]}\r{TOKEN}", f"{TOKEN}\x7fa", f"{TOKEN}é"])
@pytest.mark.parametrize("command", [["get-run", "5"], ["doctor"]], ids=" ".join)
def test_a_token_that_cannot_be_sent_is_refused_by_name(
    stub: StubWorkspace, tmp_path: Path, token: str, command: list[str]
) -> None:
    env = {"DATABRICKS_HOST": stub.host, "DATABRICKS_TOKEN": token}
    done = _lakeflow(tmp_path, *command, **env)
    assert done.returncode == 4
    assert "DATABRICKS_TOKEN has" in done.stdout + done.stderr
    assert not stub.received


@pytest.mark.parametrize("command", [["get-run", "5"], ["doctor"]], ids=" ".join)
def test_a_password_in_the_host_is_refused_unseen(tmp_path: Path, command: list[str]) -> None:
    env = {"DATABRICKS_HOST": "https://me:hunter22@127.0.0.1:1", "DATABRICKS_TOKEN": TOKEN}
    done = _lakeflow(tmp_path, *command, **env)
    assert done.returncode == 4
    assert "DATABRICKS_HOST has a user name or password" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "content",
    [
        f"[DEFAULT]\nhost = https://a.example\n{TOKEN}\n",
        f"token {TOKEN}\n",
        f"[DEFAULT]\nhost = https://a.example\ntoken = {TOKEN}\ntoken = {TOKEN}\n",
        f"[DEFAULT]\nhost = https://a.example\ntoken = {TOKEN}\n  {TOKEN}\n",
        f"[DEFAULT]\nhost = https://me:hunter22@a.example\ntoken = {TOKEN}\n",
    ],
)
@pytest.mark.parametrize("env", [{}, {"DATABRICKS_HOST": "host of the stub"}], ids=["", "host"])
def test_a_broken_configuration_is_not_echoed(
    stub: StubWorkspace, tmp_path: Path, content: str, env: dict[str, str]
) -> None:
    (tmp_path / "databrickscfg").write_text(content)
    done = _lakeflow(tmp_path, "get-run", "5", **dict.fromkeys(env, stub.host))
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "fault",
    [
        "raise KeyError(token)",
        "threading.Thread(target=lambda: 1 / int(token)).start()",
        "warnings.warn(token)",
        "logging.getLogger('other').error('%s', token)",
        "logging.raiseExceptions and logging.getLogger('other').error('%d', token)",
        "print(token)",
        "typer.echo(token)",
        "raise lakeflow.errors.WorkspaceError(token)",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_all_output_is_redacted(tmp_path: Path, fault: str, encoding: str) -> None:
    program = (
        "import logging, os, threading, typer, warnings\n"
        "import lakeflow.cli.gc, lakeflow.cli\n"
        "def fail(*a, **k):\n"
        "    import lakeflow.errors\n"
        "    token = os.environ['DATABRICKS_TOKEN']\n"
        f"    {fault}\n"
        "lakeflow.cli.common_options.Common.launcher = fail\n"
        "lakeflow.cli.main()\n"
    )
    env = {"DATABRICKS_TOKEN": TOKEN, "PYTHONIOENCODING": encoding}
    done = _lakeflow(tmp_path, "gc", program=program, **env)
    assert "<redacted>" in done.stdout + done.stderr
