"""What runs leave behind, fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow.errors import UsageError
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.typed import present


def test_outputs_of_a_run_are_listed_and_fetched(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id = present(
        captured.launcher.deploy(make_project(tmp_path), name="keeps").targets[0].job_id
    )
    kept = ["score.txt", "0.9", "a b/deep/x+y.json", "{}"]
    run_id = captured.launcher.trigger_run(job_id, ["keep", *kept], wait=True).run_id

    found = captured.launcher.runs.outputs(run_id)
    assert {(it.name, it.size, it.task, it.local) for it in found} == {
        ("score.txt", None, "main", None),
        ("a b/deep/x+y.json", None, "main", None),
    }
    target = tmp_path / "results"
    for _ in range(2):  # the second replaces the files
        fetched = captured.launcher.runs.outputs(run_id, download_to=target)
        assert {it.local for it in fetched} == {str(target / it.name) for it in found}
        assert (target / "score.txt").read_text() == "0.9"
        assert (target / "a b" / "deep" / "x+y.json").read_text() == "{}"
        (target / "score.txt").write_text("changed")

    nothing = captured.launcher.trigger_run(job_id, ["x"], wait=True).run_id
    assert captured.launcher.runs.outputs(nothing, download_to=target) == ()
    with pytest.raises(UsageError, match="run 999999 not found"):
        captured.launcher.runs.outputs(999999)
