"""Names that others chose are escaped wherever a command prints them as text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.cli.escaping import escaped
from tests.support.stub_workspace import Request, Response, stub_workspace

NAME = "a\x1b]0;owned\x07\x1b[2J\rb\n7  forged\u202e"


@pytest.fixture
def host() -> Iterator[str]:
    def replies(request: Request) -> Response:
        if request.path.endswith("/jobs/list"):
            return Response.of({"jobs": [{"job_id": 5, "settings": {"name": NAME}}]})
        if request.path.endswith("/runs/get"):
            status = {"state": "RUNNING", "termination_details": {"message": f"x\n{NAME}"}}
            return Response.of({"run_id": 7, "run_name": NAME, "status": status})
        if "/fs/files" in request.path:
            return Response(404, b"")
        if "/fs/directories" in request.path:
            return Response.of({"contents": [{"path": f"/Volumes/a/b/c/{NAME}"}]})
        if request.path.endswith("/run-now"):
            return Response.of({"error_code": "A", "message": NAME}, 400)
        return Response.of({"job_id": 5})

    with stub_workspace(replies) as stub:
        yield stub.host


@pytest.mark.parametrize(
    "command",
    [
        ["list-jobs", "--all"],
        ["get-run", "7"],
        ["fs", "ls", "/Volumes/a/b/c"],
        ["trigger-run", "5"],
    ],
    ids=" ".join,
)
def test_names_are_escaped(host: str, tmp_path: Path, command: list[str]) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "LAKEFLOW_STATE_DIR": str(tmp_path),
        "DATABRICKS_HOST": host,
        "DATABRICKS_TOKEN": "dapi-of-the-test",
    }
    done = subprocess.run(
        [sys.executable, "-m", "lakeflow", *command], env=environ, capture_output=True, check=False
    )
    text = (done.stdout + done.stderr).decode()
    assert "\\x1b]0;owned\\x07" in text
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}


def test_a_line_end_forges_no_line() -> None:
    assert escaped("a\nb") == "a\\nb"
    assert escaped("a\nb\tc\rd", keep="\n\t") == "a\nb\tc\\rd"
    assert escaped("é 漢 😀") == "é 漢 😀"
