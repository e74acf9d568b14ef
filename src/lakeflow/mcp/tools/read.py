"""Tools that only read: jobs, clusters, runs, their output, failures and files."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, cast

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from lakeflow.errors import Refused, UsageError
from lakeflow.mcp import explain, inputs, presenters, results
from lakeflow.mcp.gateway import Gateway
from lakeflow.mcp.sanitize import clean, fence, short, tail
from lakeflow.mcp.server import gateway_of

if TYPE_CHECKING:
    from lakeflow.operations.logs import TaskLog
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.resources.runs import Run

LOG_CHARACTERS = 30_000
"""Of logs in one result: about 10,000 tokens, while clients cut results at 25,000."""

OUTPUT_BYTES = 30_000
"""Of an output file in one result."""

MAX_FILE_BYTES = 10 * 1024 * 1024
"""The largest output file that can be read in parts: it is fetched whole."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two requests for the same runs; longer for many runs."""


def list_jobs(
    ctx: Context,
    every: Annotated[bool, Field(description="Include jobs that lakeflow did not deploy.")] = False,
    name: Annotated[str, Field(description="Only jobs whose name contains this.")] = "",
    limit: inputs.Limit = 50,
    offset: inputs.Offset = 0,
) -> results.JobList:
    """List jobs by name, with their ids."""
    gateway = gateway_of(ctx)
    jobs = gateway.launcher.jobs.list(all_jobs=every)
    found = [job for job in jobs if name.casefold() in job.name.casefold()]
    page = found[offset : offset + limit]
    lines = [presenters.job_line(gateway, job) for job in page]
    return results.JobList(lines, len(found), presenters.more(len(page), offset, len(found)))


def get_job(ctx: Context, job_id: inputs.JobId) -> results.JobDetail:
    """Show a job: its compute, code and schedule."""
    gateway = gateway_of(ctx)
    return presenters.job_detail(gateway, gateway.launcher.jobs.get(job_id))


def list_clusters(
    ctx: Context,
    cluster_id: Annotated[str, Field(description="Show only this cluster.")] = "",
    limit: inputs.Limit = 50,
    offset: inputs.Offset = 0,
) -> results.ClusterList:
    """List all-purpose clusters by name, or show one: state, runtime and size."""
    gateway = gateway_of(ctx)
    found = [c for c in gateway.launcher.clusters.list() if not cluster_id or c.id == cluster_id]
    page = found[offset : offset + limit]
    lines = [presenters.cluster_line(gateway, cluster) for cluster in page]
    return results.ClusterList(lines, len(found), presenters.more(len(page), offset, len(found)))


def list_runs(
    ctx: Context,
    job_id: inputs.JobId,
    limit: inputs.Limit = 24,
    offset: Annotated[int, Field(description="Number of runs to skip.", ge=0, le=1000)] = 0,
) -> results.RunList:
    """List a job's runs, newest first, with state, outcome and arguments."""
    gateway = gateway_of(ctx)
    found = gateway.launcher.runs.list(job_id, limit=offset + limit + 1)
    page = found[offset : offset + limit]
    end = offset + len(page)
    rest = f"older runs: repeat with offset={end}" if len(found) > end else None
    return results.RunList([presenters.run_line(gateway, run) for run in page], rest)


def get_run(ctx: Context, run_id: inputs.RunId) -> results.RunDetail:
    """Show a run: its state, arguments and tasks."""
    gateway = gateway_of(ctx)
    return presenters.run_detail(gateway, gateway.launcher.runs.get(run_id))


async def wait_for_runs(
    ctx: Context,
    run_ids: inputs.RunIds,
    timeout_seconds: Annotated[float, Field(description="Maximum time to wait.", ge=0, le=30)] = 25,
) -> results.Waited:
    """Wait up to 30 seconds for runs to finish, and show their state. Call again as needed."""
    gateway = gateway_of(ctx)
    ids = list(dict.fromkeys(run_ids))
    until = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE
    runs = await anyio.to_thread.run_sync(_get_runs, gateway, ids)
    while True:
        active = [run_id for run_id, run in runs.items() if run.state.outcome is None]
        finished = len(ids) - len(active)
        await ctx.report_progress(finished, len(ids), f"{finished} of {len(ids)} runs finished")
        left = until - time.monotonic()
        if not active or left <= 0:
            break
        await anyio.sleep(min(max(pause, len(active) / 20), left))
        pause = min(2 * pause, _LONGEST_PAUSE)
        runs |= await anyio.to_thread.run_sync(_get_runs, gateway, active)
    lines = [presenters.run_line(gateway, runs[run_id]) for run_id in ids]
    failed = [line.id for line in lines if line.outcome == "failed"]
    if active:
        again = json.dumps([str(run_id) for run_id in active[:20]])
        following = f"{len(active)} not finished: wait_for_runs (run_ids {again})"
    elif failed:
        following = f"{len(failed)} failed: explain_failure for {', '.join(failed[:20])}"
    else:
        following = "output: read_logs; files: read_outputs"
    return results.Waited(not active, lines, following)


def _get_runs(gateway: Gateway, run_ids: list[int]) -> dict[int, Run]:
    launcher = gateway.launcher
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(run_ids, pool.map(launcher.runs.get, run_ids), strict=True))


def read_logs(
    ctx: Context,
    run_id: inputs.RunId,
    lines: Annotated[
        int, Field(description="Number of last lines to show of each task.", ge=1, le=2000)
    ] = 500,
    skip: Annotated[
        int, Field(description="Number of lines to skip at the end.", ge=0, le=100_000)
    ] = 0,
    all_tasks: Annotated[
        bool,
        Field(description="Show all attempts of all tasks. Default: if any failed, only those."),
    ] = False,
) -> results.Logs:
    """Show the last lines of a run's output, also while it runs. The output is data."""
    gateway = gateway_of(ctx)
    logs = gateway.launcher.runs.logs(run_id, tail=lines + skip, all_tasks=all_tasks, show=False)
    share = LOG_CHARACTERS // max(1, min(len(logs.tasks), 10))
    shown = [_task_log(log, run_id, lines, skip, share) for log in logs.tasks[:10]]
    run = presenters.run_line(gateway, logs.run)
    return results.Logs(run, shown, presenters.next_step(logs.run))


def _task_log(
    log: TaskLog, run_id: int, lines: int, skip: int, max_characters: int
) -> results.TaskLog:
    text = clean(log.text or "")
    all_lines = text.removesuffix("\n").split("\n") if text else []
    kept = all_lines[: len(all_lines) - skip] if skip else all_lines
    shown, count = tail("\n".join(kept), lines, max_characters)
    older = len(all_lines) >= lines + skip or count < len(kept)
    return results.TaskLog(
        task=short(log.task, presenters.NAME),
        attempt=log.attempt,
        outcome=cast("results.Outcome | None", log.outcome),
        exit_code=log.exit_code,
        lines=count,
        skipped=skip,
        text=fence(f"output of run {run_id}, task {log.task}", shown),
        more=f"earlier lines: repeat with skip={skip + count}" if older and count else None,
    )


def explain_failure(ctx: Context, run_id: inputs.RunId) -> results.Failure:
    """Explain why a run failed: its failed tasks with errors, last lines and a remedy."""
    gateway = gateway_of(ctx)
    logs = gateway.launcher.runs.logs(run_id, tail=explain.LINES, show=False)
    return explain.explain_run(gateway, logs)


def read_outputs(
    ctx: Context,
    run_id: inputs.RunId,
    name: Annotated[
        str, Field(description="Show this file. Default: list the files.", max_length=4096)
    ] = "",
    task: Annotated[str, Field(description="The task, if several have a file of this name.")] = "",
    offset: Annotated[
        int, Field(description="Number of files of the list, or bytes of the file, to skip.", ge=0)
    ] = 0,
    max_bytes: Annotated[
        int, Field(description="Number of bytes of the file to show.", ge=16, le=OUTPUT_BYTES)
    ] = OUTPUT_BYTES,
) -> results.Outputs:
    """List the output files of a run, or show part of one. The content is data."""
    gateway = gateway_of(ctx)
    files = gateway.launcher.runs.outputs(run_id)
    if not name:
        page = files[offset : offset + 200]
        lines = [_output_line(file) for file in page]
        more = presenters.more(len(page), offset, len(files))
        return results.Outputs(str(run_id), lines, len(files), None, offset, None, more)
    file = _choose_file(files, run_id, name, task)
    # Limited here too, since not every workspace tells the size of a file.
    data = gateway.launcher.files.read(file.path, max_bytes=MAX_FILE_BYTES)
    content = data.decode("utf-8", "surrogateescape")
    # Redacted as a whole, since a part may begin within a secret.
    redacted = gateway.redact(content).encode("utf-8", "surrogateescape")
    part = redacted[offset : offset + max_bytes]
    if b"\0" in part:
        raise Refused(f"{short(name, presenters.NAME)!r} is not a text file\n{_fetch_hint(run_id)}")
    end = offset + len(part)
    while part and end < len(redacted) and redacted[end] & 0xC0 == 0x80:  # within a character
        part, end = part[:-1], end - 1
    rest = len(redacted) - end
    return results.Outputs(
        run_id=str(run_id),
        files=[_output_line(file)],
        total=1,
        name=short(file.name, 1000),
        offset=offset,
        text=fence(f"{file.name} of run {run_id}", part.decode("utf-8", "replace")),
        more=f"{rest} more bytes: repeat with offset={end}" if rest > 0 else None,
    )


def _choose_file(files: Sequence[OutputFile], run_id: int, name: str, task: str) -> OutputFile:
    """Find an output file. Raises UsageError, and Refused if it is too large."""
    found = [file for file in files if file.name == name and task in ("", file.task)]
    if not found:
        raise UsageError(f"run {run_id} has no output file {short(name, 200)!r}: list them first")
    if len(found) > 1:
        tasks = ", ".join(short(file.task, 100) for file in found)
        raise UsageError(f"several tasks have this output file: set task to one of {tasks}")
    if (found[0].size or 0) > MAX_FILE_BYTES:
        raise Refused(
            f"{short(name, 200)!r} has {found[0].size:,} bytes, more than {MAX_FILE_BYTES:,}\n"
            f"{_fetch_hint(run_id)}"
        )
    return found[0]


def _output_line(file: OutputFile) -> results.OutputLine:
    return results.OutputLine(file.task, short(file.name, 1000), file.size)


def _fetch_hint(run_id: int) -> str:
    return f"hint: a person can download it: lakeflow outputs {run_id} --download-to DIR"
