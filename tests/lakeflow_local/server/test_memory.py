"""The memory limit of tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lakeflow_local import daemon
from tests.lakeflow_local.helpers import (
    connect,
    logs,
    python_task,
    result_of,
    run_once,
    start_cluster,
)

KILLED = "The Python process exited with exit code 137 (SIGKILL: Killed)."


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit the heap alone")
def test_the_memory_limit_of_a_task(state: Path) -> None:
    client = connect(daemon.ensure_up(task_memory=128))
    cluster = start_cluster(client)
    within = python_task(client, cluster, "print(len(bytearray(80 * 2**20)))")
    run, result = run_once(client, within)
    assert (result_of(run), logs(result)) == ("SUCCESS", f"{80 * 2**20}\n")

    beyond = python_task(client, cluster, "x = 1\ny = bytearray(200 * 2**20)\n")
    run, result = run_once(client, beyond)
    assert result_of(run) == "FAILED"
    assert (result.error or "").startswith(KILLED)
    assert ", line 2, in <module>" in (result.error_trace or "")

    child = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
    task = python_task(client, cluster, child, "bytearray(200 * 2**20)")
    _, result = run_once(client, task)
    assert "MemoryError" in logs(result)

    killed = python_task(client, cluster, "import os\nos.kill(os.getpid(), 9)\n")
    run, result = run_once(client, killed)
    assert result_of(run) == "FAILED"
    assert (result.error or "").startswith(KILLED)
