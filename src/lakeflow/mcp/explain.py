"""Why a run failed, and what would help: from how its tasks ended and what they printed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakeflow.mcp import presenters, results
from lakeflow.mcp.sanitize import clean, fenced, last_part, short

if TYPE_CHECKING:
    from lakeflow.mcp.guard import Guard
    from lakeflow.operations.logs import RunLogs, TaskLog

LINES = 60
"""Last lines that are shown of each task."""

_CHARACTERS = 6000
_TASKS = 5
"""Failed tasks that are told of."""

# What is found in the error or the last lines of a task, and what helps against it. A group may
# hold a name and no more: jobs print what they like, and the remedy is not fenced.
_REMEDIES = (
    (
        r"(?:ModuleNotFound|Import)Error: No module named '?([A-Za-z_][A-Za-z0-9_]{0,29})[.'\n]",
        (
            "the module {0} is not installed where the task runs: where the code imports it, add "
            "its distribution to the dependencies in pyproject.toml, build and deploy again"
        ),
    ),
    (
        r"MemoryError|Cannot allocate memory|OutOfMemory|exit code -?(?:9|137)\b",
        (
            "there was not enough memory: give each run less to do, or more memory of its own "
            "(compute per-run)"
        ),
    ),
    (
        r"No space left on device",
        "the disk is full: write less, or to a volume",
    ),
    (
        r"FileNotFoundError|No such file or directory",
        (
            "a file is not there: paths of the machine that the code was written on are not where "
            "it runs; use /Volumes or /Workspace, or ship the file in the package"
        ),
    ),
    (
        r"PERMISSION_DENIED|PermissionError|AccessDenied|403 Forbidden",
        "the identity that the job runs as lacks a right: get_job shows who that is",
    ),
    (
        r"KeyError: '([A-Z][A-Z0-9_]{0,39})'",
        "the variable {0} is not set: hand it over with env, or as a secret with secret_env_vars",
    ),
    (
        r"unrecognized arguments|the following arguments are required|No such option|SystemExit: 2",
        "the arguments are not what the program takes: look at its usage in the last lines",
    ),
    (
        r"ConnectionError|ConnectTimeout|Name or service not known|Connection refused",
        (
            "something could not be reached from where the task runs: check the address and the "
            "network's rules"
        ),
    ),
    (
        r"lakeflow_task.*installed version|is not the one that is required",
        "other code is installed than the job was deployed with: deploy again",
    ),
)


def failure(guard: Guard, logs: RunLogs) -> results.Failure:
    """What is known about the end of a run; also says where it has not failed."""
    from lakeflow.resources import termination_codes

    run = logs.run
    failed = [log for log in logs.tasks if log.outcome not in (None, "succeeded")]
    ended_badly = run.state.outcome not in (None, "succeeded")
    return results.Failure(
        run=presenters.run_line(guard, run),
        failed=ended_badly,
        code=run.state.code,
        message=presenters.message(run),
        meaning=termination_codes.meaning_of(run.state.code) if ended_badly else None,
        tasks=[_task(log) for log in failed[:_TASKS]],
        next=_next(run.id, ended_badly, run.state.outcome is None),
    )


def _task(log: TaskLog) -> results.TaskFailure:
    shown, _ = last_part(clean(log.text or ""), LINES, _CHARACTERS)
    error = None if log.error is None else fenced("the task's error", log.error[:2000])
    return results.TaskFailure(
        task=short(log.task, presenters.NAME),
        attempt=log.attempt,
        exit_code=log.exit_code,
        error=error,
        last_lines=fenced(f"last lines of the task {log.task}", shown),
        remedy=remedy(f"{shown}\n{log.error or ''}\nexit code {log.exit_code}"),
    )


def remedy(said: str) -> str:
    """What would likely help, by what a task said last."""
    for pattern, helps in _REMEDIES:
        found = re.search(pattern, said)
        if found is not None:
            return helps.format(*(short(group, 100) for group in found.groups()))
    return "look at the error and the last lines, mend the code or its arguments, and run it again"


def _next(run_id: int, failed: bool, going: bool) -> str:
    if going:
        return f'it has not ended: wait_for_runs (run_ids ["{run_id}"])'
    if not failed:
        return "it did not fail"
    return (
        f'more lines: read_logs (run_id "{run_id}"). If nothing has to be mended first: repair_run '
        "runs what failed again; with other code or arguments: trigger_runs"
    )
