"""What Databricks' short words about a run's end mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from databricks.sdk.service.jobs import RunResultState, TerminationCodeCode

from lakeflow import JobOptions
from lakeflow.resources.termination_codes import meaning_of, outcome_of
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project

FINE = ("SUCCESS", "SUCCESS_WITH_FAILURES")


@pytest.mark.parametrize("code", [it.value for it in (*TerminationCodeCode, *RunResultState)])
def test_every_code_that_the_sdk_knows_has_a_meaning(code: str) -> None:
    assert (outcome_of(code) == "succeeded") is (code in FINE)
    assert (meaning_of(code) is None) is (code in FINE)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (
            "Task main failed with message: Workload failed, see run output for details.",
            "your code failed",
        ),
        (
            (
                "Library installation failed for library due to user error. Error messages:\n"
                "'Manage' permissions are required to install libraries on a cluster"
            ),
            "CAN_MANAGE",
        ),
        (
            (
                "Library installation attempted on the driver node of cluster 1-2-x and failed. "
                "The library file does not exist"
            ),
            "removed from the artifact store",
        ),
        (
            "Run executed on existing cluster ID 1-2-x failed since the cluster does not exist.",
            "was deleted",
        ),
        (
            "Cannot access cluster 1-2-x that was terminated or unpinned more than 30 days ago.",
            "deploy the job again",
        ),
        (
            "Skipping this run because the limit of 1 maximum concurrent runs has been reached.",
            "queues",
        ),
        (
            "Too many execution contexts are open right now. (Limit set to 150)",
            "--runs-per-driver",
        ),
        ("Run timed out.", "--timeout"),
    ],
)
def test_known_messages_have_a_meaning(message: str, meaning: str) -> None:
    assert meaning in str(meaning_of("RUN_EXECUTION_ERROR_OF_LATER", message))
    assert meaning in str(meaning_of("INTERNAL_ERROR", message))


def test_words_of_a_later_databricks_are_a_failure_without_a_meaning() -> None:
    assert outcome_of("QUITE_NEW") == "failed"
    assert meaning_of("QUITE_NEW", "Something new.") is None


def test_a_run_that_lasted_too_long_has_failed_and_says_why(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    report = captured.launcher.deploy(
        make_project(tmp_path), name="brief", job=JobOptions(timeout=1)
    )
    result = captured.launcher.trigger_run(
        report.targets[0].job_id or 0, ["wait-for", str(tmp_path / "never")], wait=True
    )
    assert result.status == "failed"
    assert captured.launcher.runs.get(result.run_id).state.outcome == "failed"
    assert any("exceeded the job's --timeout" in line for line in captured.lines)
