"""Source distributions from the package index; build-support/sdists.py has the whole list."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "build-support" / "sdists.py"


def test_packages_without_a_project_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "docopt", "mccabe", "tomlkit"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[2] for row in rows] == [
        "docopt-0.6.2-py2.py3-none-any.whl",
        "mccabe-0.7.0-py2.py3-none-any.whl",
        "tomlkit-0.13.3-py3-none-any.whl",
    ], done.stderr
