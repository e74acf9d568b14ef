"""Show the report of a deploy in a CI system: a job summary, and an annotation for each failure.

GitHub Actions: workflow commands and the file GITHUB_STEP_SUMMARY. Azure Pipelines: logging
commands. Other systems get nothing; they can keep the report as an artifact.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

_MARKS = {"succeeded": "✅", "failed": "❌", "running": "⏳"}


def publish(report: Path, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Publish the report at `report` if there is one and a CI system shows it.

    Says so on standard error if the summary cannot be written: the deploy itself has succeeded.
    """
    stream = stream or sys.stderr
    github, azure = "GITHUB_ACTIONS" in environ, "TF_BUILD" in environ
    if not (github or azure) or not report.is_file():
        return
    document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    for title, message in failures(document):
        if github:
            print(f"::error title={_escape(title, ':,')}::{_escape(message)}", file=stream)
        else:
            print(f"##vso[task.logissue type=error]{_escape(f'{title}: {message}')}", file=stream)
    summary = environ.get("GITHUB_STEP_SUMMARY") if github else str(report.with_suffix(".md"))
    if not summary:
        return
    try:
        with open(summary, "a" if github else "w", encoding="utf-8") as file:
            file.write(markdown(document))
    except OSError as error:
        print(f"cannot write the job summary {summary}: {error.strerror}", file=stream)
        return
    if azure and not github:
        print(f"##vso[task.uploadsummary]{Path(summary).resolve()}", file=stream)


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown: a table of targets, and what has failed."""
    lines = [
        f"### lakeflow: {report['status']}",
        "",
        "| target | job | status | runs | uploaded |",
        "|---|---|---|---|---|",
    ]
    for target in report["targets"]:
        name = _cell(target["job_name"])
        job = f"[{name}]({target['job_url']})" if target["job_url"] else name
        sent = sum(wheel["uploaded_bytes"] for wheel in target["wheels"])
        status = f"{_MARKS.get(target['status'], '')} {target['status']}".strip()
        cells = [_cell(target["address"]), job, status, str(len(target["runs"])), f"{sent:,} bytes"]
        lines.append(f"| {' | '.join(cells)} |")
    found = [f"- **{_cell(title)}**: {_cell(message)}" for title, message in failures(report)]
    return "\n".join([*lines, *(["", *found] if found else []), "", ""])


def failures(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the address and a sentence for each target and each run that failed."""
    for target in report["targets"]:
        if target["error"]:
            yield target["address"], target["error"]
        for run in target["runs"]:
            if run["status"] == "failed":
                words = shlex.join(run["argv"] or ())
                error = run["error"] or f"exit code {run['exit_code']}"
                yield target["address"], f"run {run['run_id']} ({words}) failed: {error}"


def _cell(text: str) -> str:
    """Return text that is neither markup nor the end of a table's cell."""
    words = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in words)


def _escape(text: str, more: str = "") -> str:
    """Return text as both systems' commands take it: percent-encoded line ends and `more`."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
