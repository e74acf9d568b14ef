"""The checks of .ci/run, as processes in temporary repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[2] / "build-support" / "ci.py"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "build-support").mkdir()
    shutil.copy(CI, tmp_path / "build-support")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def run(repo: Path, *args: str) -> tuple[int, str, str]:
    command = [sys.executable, "build-support/ci.py", *args]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def committed(repo: Path, name: str, text: str) -> tuple[int, str, str]:
    (repo / name).write_text(text)
    subprocess.run(["git", "add", "."], cwd=repo, check=True)
    return run(repo, "committed")


@pytest.mark.parametrize(
    "text",
    [
        "uv==0.7.0 \\\n    --hash=sha256:00ff\n    # via -r launcher.txt\n",
        "zope-interface==1.0 ; sys_platform == 'win32' and python_full_version < '3.11.*'\n",
    ],
)
def test_a_lockfile_of_names_and_hashes_is_fine(repo: Path, text: str) -> None:
    assert committed(repo, "launcher.lock.txt", text) == (0, "", "")


@pytest.mark.parametrize(
    "line",
    ["--index-url x", "uv @ https" + "://x/uv.whl", "# from packages.example.com"],
)
def test_a_lockfile_that_holds_an_address_is_named(repo: Path, line: str) -> None:
    code, _, stderr = committed(repo, "launcher.lock.txt", f"uv==0.7.0\n{line}\n")
    assert code == 1
    assert stderr == f"launcher.lock.txt:2: a lockfile holds an address: {line}\n"


def test_paths_of_a_machine_are_named_and_those_of_databricks_are_not(repo: Path) -> None:
    fine = "a/root/b\n/Workspace/Users/me@example.com/x\n/Users/me@example.com/x\n~/.cache\n"
    assert committed(repo, "a.txt", fine) == (0, "", "")
    for path in (f"{repo}/x", "/home" + "/somebody/x", "/Users" + "/somebody/x", "/tmp" + "/x1"):
        code, _, stderr = committed(repo, "a.txt", f"{fine}see '{path}'\n")
        assert code == 1, path
        assert "a.txt:5: a path of a machine" in stderr


def report_of(repo: Path, outputs: list[str], run_ids: list[int]) -> tuple[int, str, str]:
    options = " ".join(f"--run '{n}'" for n in range(len(run_ids)))
    (repo / "command").write_text(f"./pants lakeflow-deploy a:dist -- {options}\n")
    lines = [f"[{n}/{len(run_ids)} {n}] {text}\n" for n, text in enumerate(outputs, 1)]
    (repo / "output").write_text("".join(lines))
    runs = [{"run_id": run_id, "status": "succeeded"} for run_id in run_ids]
    target = {"job_id": 1, "wheels": [{"sha256": "0" * 64}], "runs": runs}
    (repo / "report").write_text(json.dumps({"status": "succeeded", "targets": [target]}))
    return run(repo, "deployed", "command", "output", "report")


def test_a_different_output_for_each_requested_run_is_fine(repo: Path) -> None:
    assert report_of(repo, ["score 1", "score 2"], [5, 6]) == (0, "", "")


@pytest.mark.parametrize(
    ("outputs", "run_ids"), [(["same", "same"], [5, 6]), (["a"], [5, 6]), (["a", "b"], [5, 5])]
)
def test_equal_or_missing_outputs_and_runs_are_not(
    repo: Path, outputs: list[str], run_ids: list[int]
) -> None:
    code, _, stderr = report_of(repo, outputs, run_ids)
    assert code == 1
    assert stderr


def test_the_closing_line_counts_what_the_reports_say(repo: Path) -> None:
    reports = repo / "reports"
    reports.mkdir()
    suite = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="0" /></testsuites>'
    (reports / "a.xml").write_text(suite.format(3, 0))
    (repo / "output").write_text("✓ tests/a.py succeeded in 1s.\n")

    def total(failed_steps: int, folder: str = "reports") -> tuple[int, str]:
        return run(repo, "total", folder, "output", str(failed_steps))[:2]

    assert total(0) == (0, "total: 3 passed, 0 failed, 0 skipped\n")
    assert total(1)[0] == 1
    assert total(0, "nowhere")[0] == 1
    (reports / "b.xml").write_text(suite.format(2, 1))
    (repo / "output").write_text("✓ a succeeded.\n✕ b failed.\n✕ c failed.\n")
    assert total(1) == (1, "total: 4 passed, 2 failed, 0 skipped\n")
