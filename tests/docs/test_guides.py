"""The first guide and the examples, run word for word as a user would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.wheels import compatibility
from lakeflow_local import daemon
from lakeflow_local.compute.interpreters import RUNTIMES

REPO = Path(__file__).parents[2]


@pytest.fixture
def place(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with the examples, `lakeflow` and `python` on the path, and no Databricks."""
    shutil.copytree(REPO / "examples", tmp_path / "examples")
    for demo in ("lakeflow_demo", "lakeflow_demo_native"):
        shutil.copytree(REPO / "src" / demo, tmp_path / "src" / demo)
    programs = tmp_path_factory.mktemp("bin")
    for name, words in (("lakeflow", [sys.executable, "-m", "lakeflow"]), ("python", None)):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words or [sys.executable])} "$@"\n')
        program.chmod(0o755)
    for name in [name for name in os.environ if name.startswith(("DATABRICKS_", "LAKEFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    yield tmp_path
    daemon.down()


def run(script: str, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        text=True,
        capture_output=True,
        check=False,
    )


def blocks(page: str) -> list[str]:
    """Return the code of a guide, Python as a program for the shell."""
    text = (REPO / "docs" / "guides" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code if kind == "bash" else f"python - <<'EOF'\n{code}EOF\n" for kind, code in found]


def test_the_first_job_word_for_word(place: Path) -> None:
    tour = blocks("first-job.md")
    assert len(tour) == 6
    done = run("echo =\n".join(tour), place)
    assert done.returncode == 0, done.stderr
    _, three, listed, cancelled, secret, python = done.stdout.split("=\n")
    labels, greetings = zip(*(line.split("] hello ") for line in three.splitlines()), strict=True)
    said = sorted(greeting.partition(",")[0] for greeting in greetings)
    assert said == ["arg11 arg12", "arg21 arg22", "arg31 arg 32"]
    one = min(int(label[1:]) for label in labels)
    *rows, printed, downloaded = listed.splitlines()
    assert [row.split()[1] for row in rows] == ["succeeded"] * 3
    assert {int(row.split()[0]) for row in rows} == {int(label[1:]) for label in labels}
    assert printed == f"hello arg11 arg12, this is run {one}"
    assert (place / downloaded).read_text() == "hello ['arg11', 'arg12']\n"
    assert cancelled == ""
    assert "has finished (cancelled)" in done.stderr
    assert re.fullmatch(
        r"hello quietly --lakeflow-secret-scope lakeflow-\S+, this is run \d+\n"
        r"API_KEY has 10 characters\n",
        secret,
    )
    assert "0123456789" not in done.stdout + done.stderr
    results = [line for line in python.splitlines() if not line.startswith("[")]
    assert [line.split(" ", 1)[1] for line in results] == [
        f"succeeded ('{word}',)" for word in ("fi", "fie", "fo", "fum")
    ]


def test_the_runtimes_of_the_pythons() -> None:
    text = " ".join((REPO / "docs/guides/pants.md").read_text(encoding="utf-8").split())
    documented = re.findall(r"(3\.\d+) gets (?:Databricks Runtime )?(\d+\.\d+) LTS", text)
    offered = [{"key": runtime.key, "name": runtime.name} for runtime in RUNTIMES]
    for python in compatibility.PYTHONS:
        newest = compatibility.choose_runtime(offered, [python]).partition(".x")[0]
        assert ("{}.{}".format(*python), newest) in documented


def test_row_0_12_the_python_interface(place: Path) -> None:
    done = run("python examples/run_lakeflow_demo.py", place)
    assert done.returncode == 0, done.stderr
    scores = [line.split(None, 1) for line in done.stdout.splitlines() if line[0].isdecimal()]
    assert sorted(words for _, words in scores) == [
        *("knn --neighbors 1", "knn --neighbors 9", "logistic --c 0.01", "logistic --c 1.0")
    ]
    assert [score for score, _ in scores] == sorted((score for score, _ in scores), reverse=True)
