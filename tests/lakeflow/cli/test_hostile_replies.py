"""No reply ends in a traceback: every command, with replies that no workspace sends.

LAKEFLOW_SOAK=1 tries more of them.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lakeflow.cli import main
from lakeflow.client import retry
from tests.support.stub_workspace import Request, Response, StubWorkspace, stub_workspace
from tests.support.wheels import make_wheel

SEED = 20261126
ROUNDS = 60 if os.environ.get("LAKEFLOW_SOAK") else 3

RUN: dict[str, Any] = {
    "run_id": 7,
    "job_id": 5,
    "run_name": "a",
    "run_page_url": "https://w.example/7",
    "start_time": 1_700_000_000_000,
    "end_time": 1_700_000_001_000,
    "status": {
        "state": "TERMINATED",
        "termination_details": {"code": "RUN_EXECUTION_ERROR", "message": "failed"},
    },
    "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": "b"},
    "job_parameters": [{"name": "lakeflow_call", "value": '{"argv":[],"env":[],"scope":null}'}],
    "repair_history": [{"type": "REPAIR", "id": 3, "start_time": 4}],
    "tasks": [
        {
            "task_key": "main",
            "run_id": 8,
            "attempt_number": 0,
            "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"},
            "python_wheel_task": {"parameters": ["--lakeflow-protocol=1", "--root=/Volumes/a/b/c"]},
            "libraries": [{"whl": "/Volumes/a.whl"}],
        }
    ],
}
JOB: dict[str, Any] = {
    "job_id": 5,
    "created_time": 4,
    "run_as_user_name": "me@example.com",
    "settings": {
        "name": "a",
        "tags": {"lakeflow_id": "x"},
        "parameters": [{"name": "lakeflow_call", "default": ""}],
        "tasks": [RUN["tasks"][0]],
    },
}
CLUSTER: dict[str, Any] = {
    "cluster_id": "0202-a",
    "cluster_name": "lakeflow-me",
    "state": "RUNNING",
    "spark_version": "17.3.x-scala2.13",
    "node_type_id": "a",
    "autoscale": {"min_workers": 1, "max_workers": 2},
    "custom_tags": {"a": "b"},
}
NODE = {"node_type_id": "a", "num_cores": 4.0, "memory_mb": 16384}
REPLIES: dict[str, Any] = {
    "/scim/v2/Me": {"userName": "me@example.com", "groups": [{"display": "admins"}]},
    "/jobs/get": JOB,
    "/jobs/list": {"jobs": [JOB]},
    "/jobs/create": {"job_id": 5},
    "/jobs/run-now": {"run_id": 7},
    "/runs/get": RUN,
    "/runs/list": {"runs": [RUN]},
    "/runs/get-output": {"logs": "printed", "error": "E", "error_trace": "T", "metadata": RUN},
    "/runs/repair": {"repair_id": 4},
    "/clusters/get": CLUSTER,
    "/clusters/list": {"clusters": [CLUSTER]},
    "/clusters/create": {"cluster_id": "0202-a"},
    "/clusters/list-node-types": {
        "node_types": [{**NODE, "node_instance_type": {"local_disks": 1}}]
    },
    "/clusters/spark-versions": {"versions": [{"key": "17.3.x-scala2.13", "name": "17.3 LTS"}]},
    "/secrets/scopes/list": {"scopes": [{"name": "lakeflow-0000000001-" + "0" * 24}]},
    "/workspace/get-status": {"object_type": "FILE", "path": "/a", "modified_at": 4},
    "/workspace/list": {"objects": [{"object_type": "FILE", "path": "/Workspace/a/b"}]},
    "/dbfs/get-status": {"path": "/a", "file_size": 3, "modification_time": 4},
    "/dbfs/list": {"files": [{"path": "/a/b", "file_size": 3}]},
    "/dbfs/read": {"bytes_read": 0, "data": ""},
    "/fs/directories": {"contents": [{"path": "/Volumes/a/b/c/d", "file_size": 3}]},
}
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    "\u0667",
    "\ud800",
    0,
    -1,
    7.5,
    10**30,
    float("nan"),
    float("inf"),
    True,
    [],
    [None],
    [[]],
    {},
    {"a": None},
)
BODIES = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"7",
    b'"text"',
    b"[1]",
    b"null",
    b"NaN",
    b"[" * 100_000,
    b'{"a":' + b"9" * 5000 + b"}",
    b"<html><title>Sign in</title></html>",
)
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 413, 418, 429, 500, 503)
KINDS = ("application/json", "text/html; charset=utf-8", "text/plain; charset=nonsense", "")

COMMANDS = (
    ["doctor"],
    ["list-jobs", "--all"],
    ["list-job-runs", "5"],
    ["get-run", "7"],
    ["get-run-logs", "7"],
    ["outputs", "7"],
    ["trigger-run", "5", "a"],
    ["trigger-run", "5", "a", "--wait"],
    ["wait", "7"],
    ["cancel-run", "7"],
    ["repair-run", "7"],
    ["delete-job", "5", "--yes"],
    ["open", "7"],
    ["open", "--job", "5"],
    ["create-cluster"],
    ["gc"],
    ["secrets", "prune"],
    ["fs", "ls", "/Volumes/a/b/c"],
    ["fs", "ls", "/Workspace/a"],
    ["fs", "ls", "dbfs:/a"],
    ["fs", "cat", "/Volumes/a/b/c/d"],
    ["fs", "cat", "dbfs:/a"],
    ["fs", "cp", "WHEEL", "/Volumes/a/b/c/d.whl"],
    ["fs", "cp", "WHEEL", "/Workspace/a/d.whl"],
    ["fs", "rm", "/Volumes/a/b/c/d", "--yes"],
    ["fs", "mkdir", "/Workspace/a"],
    ["upload-wheel", "WHEEL"],
    ["deploy", "WHEEL", "--dry-run"],
    ["deploy", "WHEEL", "--run", "a", "--no-wait"],
    ["create-job", "mine", "WHEEL", "--cluster-id", "0202-a"],
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    points = {"console_scripts": {"lakeflow-task": "one:main"}}
    folder = tmp_path_factory.mktemp("wheel")
    return make_wheel(folder, "one", "1.0", {"one.py": "def main(): pass\n"}, entry_points=points)


@pytest.fixture(scope="module")
def stub() -> Iterator[StubWorkspace]:
    with stub_workspace(lambda request: Response()) as stub:
        yield stub


@pytest.fixture
def run(
    stub: StubWorkspace, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str]], tuple[int, str]]:
    """Run a command in this process; returns its exit code and what it printed."""
    monkeypatch.setenv("DATABRICKS_HOST", stub.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-the-test")
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(retry, "_FIRST_CONTACT_SECONDS", 0.0)
    monkeypatch.setattr(retry, "_SERVER_ERROR_SECONDS", 0.0)

    def run(words: list[str]) -> tuple[int, str]:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", out)
        monkeypatch.setattr(
            sys, "argv", ["lakeflow", *(str(wheel) if w == "WHEEL" else w for w in words)]
        )
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        out.flush()
        text = out.buffer.getvalue().decode()
        return (code if isinstance(code, int) else 0), text

    return run


def _proper(request: Request) -> Any:
    matching = [path for path in REPLIES if path in request.path]
    return REPLIES[max(matching, key=len)] if matching else {}


def _mutated(value: Any, chance: random.Random) -> Any:
    """Return a JSON value in which one member is missing or has another value."""
    members: list[tuple[Any, Any]] = []
    copy = json.loads(json.dumps(value))

    def collect(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            members.append((node, key))
            if isinstance(node[key], (dict, list)):
                collect(node[key])

    collect(copy)
    if members:
        node, key = chance.choice(members)
        if isinstance(node, dict) and chance.random() < 0.3:
            del node[key]
        else:
            node[key] = chance.choice(VALUES)
    return copy


def _hostile(request: Request, chance: random.Random) -> Response:
    roll = chance.random()
    if request.path.endswith("databricks-config") or roll < 0.4:
        return Response.of(_proper(request))
    if roll < 0.85:
        return Response.of(_mutated(_proper(request), chance))
    status = chance.choice(STATUSES)
    kind = chance.choice(KINDS)
    headers = (("Content-Type", kind),) if kind else ()
    has_length = chance.random() < 0.7 or status == 204
    return Response(status, b"" if status == 204 else chance.choice(BODIES), headers, has_length)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_reply_ends_in_a_traceback(
    run: Callable[[list[str]], tuple[int, str]], stub: StubWorkspace, command: list[str]
) -> None:
    for number in range(ROUNDS):
        chance = random.Random(f"{SEED} {number} {' '.join(command)}")
        stub.replies = partial(_hostile, chance=chance)
        code, text = run(command)
        assert "Traceback" not in text, (number, text)
        assert "internal error" not in text, (number, text)
        assert code in (0, 1, 2, 3, 4), (number, text)
