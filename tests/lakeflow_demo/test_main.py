from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LAKEFLOW_OUTPUT_DIR": str(folder),
        "DATABRICKS_RUN_ID": "42",
    }
    return subprocess.run(
        [sys.executable, "-m", "lakeflow_demo.main", *arguments],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
    )


def test_it_prints_its_arguments_run_and_score_and_leaves_a_file(tmp_path: Path) -> None:
    done = run(tmp_path, "knn", "--neighbors", "1")

    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["run_id"] == "42"
    assert result["parameters"] == {"neighbors": 1}
    assert result["score"] > 0.95
    lines = done.stdout.splitlines()
    assert lines[0].endswith("'knn', '--neighbors', '1']")
    assert lines[1] == "DATABRICKS_RUN_ID: 42"
    assert lines[-1] == f"score: {result['score']:.4f}"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["knn", "--neighbors", "0"], "'0' is not a whole number from 1 on"),
        (["logistic", "--c", "nan"], "'nan' is not a number above 0"),
        ([], "model"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path: Path, arguments: list[str], text: str) -> None:
    done = run(tmp_path, *arguments)

    assert done.returncode == 2
    assert text in done.stderr
    assert list(tmp_path.iterdir()) == []
