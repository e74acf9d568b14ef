from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lakeflow.cli.ci_summary import publish

REPORT: dict[str, Any] = {
    "schema": 1,
    "workspace": "https://example.test",
    "status": "failed",
    "targets": [
        {
            "address": "src/a:dist",
            "job_id": 1,
            "job_name": "a",
            "job_url": "https://example.test/jobs/1",
            "cluster_id": None,
            "status": "failed",
            "error": None,
            "wheels": [{"uploaded_bytes": 1200}, {"uploaded_bytes": 34}],
            "runs": [
                {"run_id": 5, "argv": ["ok"], "status": "succeeded", "error": None},
                {
                    "run_id": 6,
                    "argv": ["a b"],
                    "status": "failed",
                    "exit_code": 1,
                    "error": "ValueError: 100% wrong\n::warning::| <b>",
                },
            ],
        },
        {
            "address": "src/b:dist",
            "job_id": None,
            "job_name": "b",
            "job_url": None,
            "cluster_id": None,
            "status": "failed",
            "error": "no permission",
            "wheels": [],
            "runs": [],
        },
    ],
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "lakeflow-deploy.json"
    path.write_text(json.dumps(REPORT))
    return path


def published(report: Path, **environ: str) -> list[str]:
    stream = io.StringIO()
    publish(report, environ, stream)
    return stream.getvalue().splitlines()


def test_github_gets_a_summary_and_an_annotation_for_each_failure(report: Path) -> None:
    summary = report.with_name("summary")
    summary.write_text("before\n")
    first, second = published(report, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert first == (
        "::error title=src/a%3Adist::run 6 ('a b') failed: "
        "ValueError: 100%25 wrong%0A::warning::| <b>"
    )
    assert second == "::error title=src/b%3Adist::no permission"
    assert summary.read_text().splitlines() == [
        "before",
        "### lakeflow: failed",
        "",
        "| target | job | status | runs | uploaded |",
        "|---|---|---|---|---|",
        "| src/a:dist | [a](https://example.test/jobs/1) | ❌ failed | 2 | 1,234 bytes |",
        "| src/b:dist | b | ❌ failed | 0 | 0 bytes |",
        "",
        "- **src/a:dist**: run 6 ('a b') failed: ValueError: 100% wrong ::warning::\\| \\<b\\>",
        "- **src/b:dist**: no permission",
        "",
    ]


def test_azure_gets_a_summary_and_an_issue_for_each_failure(report: Path) -> None:
    summary = report.with_suffix(".md")
    lines = published(report, TF_BUILD="True")
    assert lines[1:] == [
        "##vso[task.logissue type=error]src/b:dist: no permission",
        f"##vso[task.uploadsummary]{summary}",
    ]
    assert summary.read_text().startswith("### lakeflow: failed\n")


def test_a_summary_that_cannot_be_written_is_no_failure(report: Path) -> None:
    nowhere = str(report / "summary")
    lines = published(report, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=nowhere)
    assert lines[-1] == f"cannot write the job summary {nowhere}: Not a directory"


def test_elsewhere_and_without_a_report_nothing_is_said(report: Path, tmp_path: Path) -> None:
    assert published(report, CI="true") == []
    assert published(tmp_path / "none", GITHUB_ACTIONS="true") == []
