"""The server as a process, as clients start it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from uv import find_uv_bin

import lakeflow
import lakeflow_local
import lakeflow_task
from lakeflow.client.connect import connect
from lakeflow_local.daemon import Endpoint
from tests.lakeflow.mcp.agent import Failed, connected
from tests.lakeflow.mcp.conftest import command
from tests.lakeflow.mcp.raw import HELLO, READY, calling, started

pytestmark = pytest.mark.anyio


async def test_it_is_served_over_stdio(endpoint: Endpoint, tmp_path: Path, era: str) -> None:
    async with connected(command(endpoint, tmp_path), era) as agent:
        assert "trigger_runs" in await agent.tools()
        assert isinstance((await agent.call("list_jobs"))["jobs"], list)
        with pytest.raises(Failed, match="run 99999999 not found"):
            await agent.call("get_run", run_id=99999999)


async def test_row_0_13_four_copies_with_the_seeds_configuration(
    endpoint: Endpoint, job_id: int, tmp_path: Path
) -> None:
    """`uv run --quiet --directory ...`, without Pants, in a copy of the source folders."""
    for package in (lakeflow, lakeflow_local, lakeflow_task):
        folder = Path(str(package.__file__)).parent
        unneeded = shutil.ignore_patterns(".venv", "uv.lock", "__pycache__", "build", "*.egg-info")
        shutil.copytree(folder, tmp_path / "src" / folder.name, ignore=unneeded)
    parameters = command(endpoint, tmp_path / "state")
    launched = StdioServerParameters(
        command=find_uv_bin(),
        args=["run", "--quiet", "--directory", str(tmp_path / "src/lakeflow"), "lakeflow", "mcp"],
        env={
            **{k: v for k, v in os.environ.items() if k.startswith(("UV_", "XDG_", "SSL_"))},
            "DATABRICKS_HOST": endpoint.host,
            "DATABRICKS_TOKEN": endpoint.token,
            "LAKEFLOW_STATE_DIR": (parameters.env or {})["LAKEFLOW_STATE_DIR"],
            "UV_PYTHON": sys.executable,
        },
    )
    call_args = [["fi"], ["fie"], ["fo"], ["fum"]]
    before = {run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs")}
    async with connected(launched, "legacy") as agent:
        result = await agent.call(
            "trigger_runs", job_id=job_id, arguments=call_args, request_id="giant"
        )
        ids = [run["id"] for run in result["runs"]]
        while not (waited := await agent.call("wait_for_runs", run_ids=ids))["all_finished"]:
            pass
        assert [(run["arguments"], run["outcome"]) for run in waited["runs"]] == [
            (argv, "succeeded") for argv in call_args
        ]
        for (word,), run_id in zip(call_args, ids, strict=True):
            (log,) = (await agent.call("read_logs", run_id=run_id))["tasks"]
            assert f'"argv": ["{word}"]' in log["text"]
    after = {run["run_id"] for run in connect().pages("/api/2.2/jobs/runs/list", "runs")}
    assert after - before == {int(run_id) for run_id in ids}


def test_stdout_is_pure_whatever_is_printed(endpoint: Endpoint, tmp_path: Path) -> None:
    """Prints, flushed or not, and those of children go to stderr, also when the process ends."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, subprocess, sys, threading, time\n"
        "def chatter():\n"
        "    while 'mcp' not in sys.modules: time.sleep(0.001)\n"
        "    print('stray line', flush=True)\n"
        "    os.write(1, b'stray bytes\\n')\n"
        "    print('stray not flushed', end='')\n"
        "    code = 'import sys; print(f\"stray child has read {sys.stdin.read()!r}\")'\n"
        "    subprocess.run([sys.executable, '-S', '-c', code])\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
        "atexit.register(lambda: print('stray at the end'))\n"
    )
    parameters = command(endpoint, tmp_path / "state")
    assert parameters.env is not None
    parameters.env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{parameters.env['PYTHONPATH']}"
    process = started(parameters)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    responses = []
    for message in (HELLO, READY, calling(2, "list_jobs")):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        if "id" in message:
            responses.append(json.loads(process.stdout.readline()))
    said = ""
    while "stray child" not in said:
        said += process.stderr.readline()
    out, errors = process.communicate(timeout=60)
    assert [answer["id"] for answer in responses] == [1, 2]
    assert out == ""
    assert process.returncode == 0
    for what in ("line", "bytes", "not flushed", "child has read ''", "at the end"):
        assert f"stray {what}" in said + errors


def test_what_is_no_message_does_not_end_it(endpoint: Endpoint, tmp_path: Path) -> None:
    process = started(command(endpoint, tmp_path))
    assert process.stdin is not None
    assert process.stdout is not None
    responses: list[dict[str, Any]] = []
    lines = ["no JSON", "[]", '{"jsonrpc": "2.0"}', "\x00", json.dumps(HELLO), json.dumps(READY)]
    process.stdin.write("\n".join([*lines, json.dumps(calling(2, "list_jobs")), ""]))
    process.stdin.flush()
    while not any(answer.get("id") == 2 for answer in responses):
        responses.append(json.loads(process.stdout.readline()))
    out, errors = process.communicate(timeout=60)
    assert [answer["id"] for answer in responses if "result" in answer] == [1, 2]
    assert (process.returncode, out) == (0, "")
    assert endpoint.token not in errors


PING = {"jsonrpc": "2.0", "id": 99, "method": "ping"}


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A server that has been greeted; what is sent to it here reaches no workspace."""
    environ = {"LAKEFLOW_WORKSPACE": "databricks"}
    process = started(command(None, tmp_path_factory.mktemp("state"), **environ))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(HELLO)}\n{json.dumps(READY)}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1
    yield process
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


NOT_REQUESTS: list[tuple[str, str | int | None, int]] = [
    (json.dumps(calling(2, "get_run", run_id="\ud800")), 2, -32700),
    (json.dumps({**calling(3, "get_run"), "id": "\ud800"}), None, -32700),
    (json.dumps(calling(4, "get_run", run_id="X")).replace('"X"', "9" * 5000), 4, -32700),
    (json.dumps(calling(5, "get_run", run_id="X")).replace('"X"', '"\x01"'), 5, -32700),
    ("[" * 100_000, None, -32700),
    ("no JSON", None, -32700),
    (json.dumps({"jsonrpc": "2.0", "id": 6, "method": 5}), 6, -32600),
    (
        json.dumps({"jsonrpc": "2.0", "id": "seven", "method": "ping", "params": []}),
        "seven",
        -32600,
    ),
    (json.dumps({"jsonrpc": "1.0", "id": 8, "method": "ping"}), 8, -32600),
    (json.dumps({"jsonrpc": "2.0", "id": 9.5, "method": "ping"}), None, -32600),
    (json.dumps({"jsonrpc": "2.0", "id": True, "method": "ping"}), None, -32600),
    (json.dumps([calling(10, "get_run")]), None, -32600),
    (json.dumps({"jsonrpc": "2.0"}), None, -32600),
]
"""Lines that hold no valid request, with the id and the error code of the response."""


@pytest.mark.parametrize(("line", "request_id", "code"), NOT_REQUESTS, ids=range(13))
def test_every_line_is_answered(
    server_process: subprocess.Popen[str], line: str, request_id: str | int | None, code: int
) -> None:
    """JSON-RPC 2.0: an unreadable request gets an error, with its id where that is known."""
    assert server_process.stdin is not None
    assert server_process.stdout is not None
    server_process.stdin.write(f"{line}\n{json.dumps(PING)}\n")
    server_process.stdin.flush()
    responses = [json.loads(server_process.stdout.readline())]
    while responses[-1]["id"] != PING["id"]:
        responses.append(json.loads(server_process.stdout.readline()))
    assert [answer["id"] for answer in responses] == [request_id, PING["id"]]
    assert responses[0]["error"]["code"] == code
    assert responses[1]["result"] == {}


def test_ctrl_c_ends_it(endpoint: Endpoint, tmp_path: Path) -> None:
    """Whoever types the command without a client has standard input open."""
    process = started(command(endpoint, tmp_path))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(HELLO) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(60) == -signal.SIGINT
    finally:
        process.kill()
        out, errors = process.communicate()
    assert (out, errors) == ("", "")


def test_the_databricks_sdk_is_loaded_only_when_it_is_needed() -> None:
    code = (
        "import sys\n"
        "from lakeflow.mcp.app import create_server\n"
        "from lakeflow.mcp.policy import Policy\n"
        "create_server(Policy())\n"
        "print(*sorted({'databricks', 'requests', 'lakeflow.launcher'} & {*sys.modules}))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_without_the_package_mcp_it_says_what_to_install(tmp_path: Path) -> None:
    """The extra is not there: as in an installation without it, the import finds nothing."""
    blocker = "import sys\nsys.modules['mcp'] = None\nfrom lakeflow.cli import main\nmain()"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", blocker, "mcp"], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "lakeflow: lakeflow mcp needs the package mcp\nhint: pip install 'lakeflow-launcher[mcp]'\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--allow-build"], "--allow-build requires at least one --root"),
        (["--root", "no/such/folder"], "no/such/folder: no such folder"),
        (["--max-copies", "0"], "Invalid value for '--max-copies'"),
    ],
)
def test_flags_that_make_no_sense(words: list[str], message: str) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = [sys.executable, "-m", "lakeflow", "mcp", *words]
    done = subprocess.run(process, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
