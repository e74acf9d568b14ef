"""Packages with native code, from source to a run. C is in the demo; these are C++ and Rust."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.captured import CapturedLauncher

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(("example", "tool"), [("native_cpp", "c++"), ("native_rust", "cargo")])
def test_row_0_19_native_wheels_run(
    captured: CapturedLauncher, tmp_path: Path, example: str, tool: str
) -> None:
    # rustup leaves a cargo that does nothing where no toolchain is chosen.
    if shutil.which(tool) is None or subprocess.run([tool, "--version"], check=False).returncode:
        pytest.skip(f"{tool}, which builds examples/{example}, is not installed or does not start")
    folder = Path(shutil.copytree(EXAMPLES / example, tmp_path / example))
    name = example.replace("_", "-")
    created = captured.launcher.create_job_from_source(name, name, folder)
    assert created.job_id is not None
    assert "py3-none-any" not in created.wheels[-1].path
    result = captured.launcher.trigger_run(created.job_id, ["10", "1000000"], wait=True)
    assert result.status == "succeeded", captured.progress.getvalue()
    assert captured.out.getvalue() == "10 4\n1000000 78498\n"
