"""A run whose id could not be printed is not started again by the same command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stub_workspace import Request, Response, StubWorkspace, stub_workspace


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StubWorkspace]:
    tokens: list[str] = []

    def replies(request: Request) -> Response:
        if request.path.endswith("/jobs/get"):
            parameters = [{"name": "lakeflow_call", "default": ""}]
            return Response.of({"job_id": 5, "settings": {"parameters": parameters}})
        if request.path.endswith("/run-now"):
            token = request.body.decode()
            tokens.extend([] if token in tokens else [token])
            return Response.of({"run_id": 700 + tokens.index(token)})
        return Response.of({})

    with stub_workspace(replies) as stub:
        monkeypatch.setenv("DATABRICKS_HOST", stub.host)
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-the-test")
        monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
        yield stub


def _trigger(redirection: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = f'"$0" -m lakeflow trigger-run 5 a "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *more],
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("more", [(), ("--output", "json")], ids=["text", "json"])
def test_the_same_command_prints_the_same_run(
    stub: StubWorkspace, redirection: str, more: tuple[str, ...]
) -> None:
    failed = _trigger(redirection, *more)
    assert failed.returncode == 1, failed.stderr
    assert "700" in failed.stderr
    assert "Traceback" not in failed.stderr
    again = _trigger("", *more)
    assert (again.returncode, "700" in again.stdout) == (0, True), again.stderr
    third = _trigger("", *more)
    assert "701" in third.stdout, "a command that has printed its run is done"
