"""Explain why a run failed and suggest a remedy, from its tasks' outcomes and output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakeflow.mcp import presenters, results
from lakeflow.mcp.sanitize import clean, fence, short, tail

if TYPE_CHECKING:
    from lakeflow.mcp.gateway import Gateway
    from lakeflow.operations.logs import RunLogs, TaskLog

LINES = 60
"""Last lines shown of each task."""

_CHARACTERS = 6000
_TASKS = 5
"""Failed tasks that are explained."""

# Patterns in the error or the last lines of a task, with remedies. A group may match only a name:
# jobs print anything, and the remedy is not fenced.
_REMEDIES = (
    (
        r"(?:ModuleNotFound|Import)Error: No module named '?([A-Za-z_][A-Za-z0-9_]{0,29})[.'\n]",
        (
            "the module {0} is not installed where the task runs: add its distribution to the "
            "dependencies in pyproject.toml, then build and deploy again"
        ),
    ),
    (
        r"MemoryError|Cannot allocate memory|OutOfMemory|exit code -?(?:9|137)\b",
        (
            "not enough memory: reduce the work of each run, or give each run its own cluster "
            "(compute per-run)"
        ),
    ),
    (
        r"No space left on device",
        "the disk is full: write less, or write to a volume",
    ),
    (
        r"FileNotFoundError|No such file or directory",
        (
            "a file was not found: the task does not see your local files; use /Volumes or "
            "/Workspace, or include the file in the package"
        ),
    ),
    (
        r"PERMISSION_DENIED|PermissionError|AccessDenied|403 Forbidden",
        "the job's run-as principal lacks a permission: get_job shows who it is",
    ),
    (
        r"KeyError: '([A-Z][A-Z0-9_]{0,39})'",
        "the variable {0} is not set: pass it with env, or as a secret with secret_env_vars",
    ),
    (
        r"unrecognized arguments|the following arguments are required|No such option|SystemExit: 2",
        "the program does not accept these arguments: see its usage in the last lines",
    ),
    (
        r"ConnectionError|ConnectTimeout|Name or service not known|Connection refused",
        ("the task could not reach a host: check the address and the network rules"),
    ),
    (
        r"lakeflow_task.*installed version|is not the one that is required",
        "the installed code is not the code the job was deployed with: deploy again",
    ),
)


def explain_run(gateway: Gateway, logs: RunLogs) -> results.Failure:
    """Explain the outcome of a run; its `failed` is false if it did not fail."""
    from lakeflow.resources import termination_codes

    run = logs.run
    failed = [log for log in logs.tasks if log.outcome not in (None, "succeeded")]
    has_failed = run.state.outcome not in (None, "succeeded")
    return results.Failure(
        run=presenters.run_line(gateway, run),
        failed=has_failed,
        code=run.state.code,
        message=presenters.message(run),
        meaning=termination_codes.meaning_of(run.state.code) if has_failed else None,
        tasks=[_task(log) for log in failed[:_TASKS]],
        next=_next(run.id, has_failed, run.state.outcome is None),
    )


def _task(log: TaskLog) -> results.TaskFailure:
    shown, _ = tail(clean(log.text or ""), LINES, _CHARACTERS)
    error = None if log.error is None else fence("error of the task", log.error[:2000])
    return results.TaskFailure(
        task=short(log.task, presenters.NAME),
        attempt=log.attempt,
        exit_code=log.exit_code,
        error=error,
        last_lines=fence(f"last lines of the task {log.task}", shown),
        remedy=remedy(f"{shown}\n{log.error or ''}\nexit code {log.exit_code}"),
    )


def remedy(output: str) -> str:
    """Suggest a remedy from the last output of a task."""
    for pattern, text in _REMEDIES:
        found = re.search(pattern, output)
        if found is not None:
            return text.format(*(short(group, 100) for group in found.groups()))
    return "see the error and the last lines, fix the code or its arguments, and run it again"


def _next(run_id: int, failed: bool, active: bool) -> str:
    if active:
        return f'not finished: wait_for_runs (run_ids ["{run_id}"])'
    if not failed:
        return f'run "{run_id}" did not fail'
    return (
        f'more output: read_logs (run_id "{run_id}"). Retry the failed tasks: repair_run. '
        "New code or arguments: trigger_runs"
    )
