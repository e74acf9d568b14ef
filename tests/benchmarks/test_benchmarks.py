"""The benchmarks of the local workspace run, with counts too small to say anything of speed."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from benchmarks import history, many_runs, stamping, task_start


@pytest.mark.parametrize(
    ("benchmark", "counts", "results"),
    [
        (task_start, ["2"], 1),
        (many_runs, ["10"], 1),
        (history, ["5", "50"], 5),
        (stamping, ["10"], 1),
    ],
)
def test_benchmark(benchmark: ModuleType, counts: list[str], results: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", benchmark.__name__, *counts],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("result: ")]
    assert len(lines) == results, done.stdout
