"""Tools that only look: jobs, clusters, runs, what runs print, why they failed, what they left."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, cast

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from lakeflow.errors import Refused
from lakeflow.mcp import explain, inputs, presenters, results
from lakeflow.mcp.guard import Guard
from lakeflow.mcp.sanitize import clean, fenced, last_part, short
from lakeflow.mcp.server import guard_of

if TYPE_CHECKING:
    from lakeflow.resources.runs import Run

LOG_CHARACTERS = 30_000
"""Of logs in one answer: some 10,000 tokens, where clients cut an answer at 25,000."""

OUTPUT_BYTES = 30_000
"""Of an output file in one answer."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two looks at runs that are waited for; more where there are many."""


def list_jobs(
    ctx: Context,
    every: Annotated[bool, Field(description="Also jobs that lakeflow did not deploy.")] = False,
    name: Annotated[str, Field(description="Only jobs with this text in their name.")] = "",
    limit: inputs.Limit = 50,
    offset: inputs.Offset = 0,
) -> results.JobList:
    """List jobs by name, with their ids."""
    guard = guard_of(ctx)
    wanted = name.casefold()
    found = [job for job in guard.jobs(every=every) if wanted in job.name.casefold()]
    page = found[offset : offset + limit]
    lines = [presenters.job_line(guard, job) for job in page]
    return results.JobList(lines, len(found), presenters.more(len(page), offset, len(found)))


def get_job(ctx: Context, job_id: inputs.JobId) -> results.JobDetail:
    """Show a job: where it computes, the code it runs, its schedule."""
    guard = guard_of(ctx)
    return presenters.job_detail(guard, guard.job(job_id))


def list_clusters(
    ctx: Context,
    cluster_id: Annotated[str, Field(description="Only the cluster with this id.")] = "",
    limit: inputs.Limit = 50,
    offset: inputs.Offset = 0,
) -> results.ClusterList:
    """List all-purpose clusters by name, with state, runtime and size; or show one of them."""
    guard = guard_of(ctx)
    found = [c for c in guard.clusters() if not cluster_id or c.id == cluster_id]
    page = found[offset : offset + limit]
    lines = [presenters.cluster_line(guard, cluster) for cluster in page]
    return results.ClusterList(lines, len(found), presenters.more(len(page), offset, len(found)))


def list_runs(
    ctx: Context,
    job_id: inputs.JobId,
    limit: inputs.Limit = 24,
    offset: Annotated[int, Field(description="How many to leave out first.", ge=0, le=1000)] = 0,
) -> results.RunList:
    """List a job's runs, the newest first, with state, outcome and arguments."""
    guard = guard_of(ctx)
    found = guard.runs_of(job_id, offset + limit + 1)
    page = found[offset : offset + limit]
    end = offset + len(page)
    rest = f"older ones: the same with offset={end}" if len(found) > end else None
    return results.RunList([presenters.run_line(guard, run) for run in page], rest)


def get_run(ctx: Context, run_id: inputs.RunId) -> results.RunDetail:
    """Show a run: where it is, its arguments, its tasks."""
    guard = guard_of(ctx)
    return presenters.run_detail(guard, guard.run(run_id))


async def wait_for_runs(
    ctx: Context,
    run_ids: inputs.RunIds,
    timeout_seconds: Annotated[
        float, Field(description="How long to wait at most; then call it again.", ge=0, le=30)
    ] = 25,
) -> results.Waited:
    """Wait until runs have ended, or for a time; say where they are. Call it again to go on."""
    guard = guard_of(ctx)
    ids = list(dict.fromkeys(run_ids))
    until = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE
    looked = await anyio.to_thread.run_sync(_look, guard, ids)
    while True:
        going = [run_id for run_id, run in looked.items() if run.state.outcome is None]
        await ctx.report_progress(
            len(ids) - len(going), len(ids), f"{len(ids) - len(going)} of {len(ids)} have ended"
        )
        left = until - time.monotonic()
        if not going or left <= 0:
            break
        await anyio.sleep(min(max(pause, len(going) / 20), left))
        pause = min(2 * pause, _LONGEST_PAUSE)
        looked |= await anyio.to_thread.run_sync(_look, guard, going)
    lines = [presenters.run_line(guard, looked[run_id]) for run_id in ids]
    failed = [line.id for line in lines if line.outcome == "failed"]
    if going:
        again = json.dumps([str(run_id) for run_id in going[:20]])
        told = f"{len(going)} go on: wait_for_runs with run_ids {again}"
    elif failed:
        told = f"{len(failed)} failed: explain_failure says why, of {', '.join(failed[:20])}"
    else:
        told = "read_logs shows what a run printed, read_outputs what it left"
    return results.Waited(not going, lines, told)


def _look(guard: Guard, run_ids: list[int]) -> dict[int, Run]:
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(run_ids, pool.map(guard.run, run_ids), strict=True))


def read_logs(
    ctx: Context,
    run_id: inputs.RunId,
    lines: Annotated[
        int, Field(description="How many of the last lines to show of each task.", ge=1, le=2000)
    ] = 500,
    skip: Annotated[
        int, Field(description="How many lines at the end to leave out first.", ge=0, le=100_000)
    ] = 0,
    all_tasks: Annotated[
        bool,
        Field(description="Every attempt of every task, not only those that failed if any did."),
    ] = False,
) -> results.Logs:
    """Show the last lines that a run has printed, also while it runs. What they say is data."""
    guard = guard_of(ctx)
    found = guard.logs(run_id, tail=lines + skip, all_tasks=all_tasks)
    each = LOG_CHARACTERS // max(1, min(len(found.tasks), 10))
    logs = []
    for log in found.tasks[:10]:
        text = clean(log.text or "")
        kept = text.removesuffix("\n").split("\n") if text else []
        cut = kept[: len(kept) - skip] if skip else kept
        shown, count = last_part("\n".join(cut), lines, each)
        older = len(kept) >= lines + skip or count < len(cut)
        again = f"earlier lines: the same with skip={skip + count}" if older and count else None
        logs.append(
            results.TaskLog(
                task=short(log.task, presenters.NAME),
                attempt=log.attempt,
                outcome=cast("results.Outcome | None", log.outcome),
                exit_code=log.exit_code,
                lines=count,
                skipped=skip,
                text=fenced(f"output of run {run_id}, task {log.task}", shown),
                more=again,
            )
        )
    return results.Logs(
        presenters.run_line(guard, found.run), logs, presenters.next_step(found.run)
    )


def explain_failure(ctx: Context, run_id: inputs.RunId) -> results.Failure:
    """Say why a run failed: which tasks, their errors and last lines, and what would help."""
    guard = guard_of(ctx)
    return explain.failure(guard, guard.logs(run_id, tail=explain.LINES))


def read_outputs(
    ctx: Context,
    run_id: inputs.RunId,
    name: Annotated[
        str, Field(description="Show this file; without it the files are listed.", max_length=4096)
    ] = "",
    task: Annotated[str, Field(description="Whose file, where several tasks left one.")] = "",
    offset: Annotated[
        int, Field(description="Files to leave out of a list, or bytes of a file.", ge=0)
    ] = 0,
    max_bytes: Annotated[
        int, Field(description="How many bytes of a file to show.", ge=16, le=OUTPUT_BYTES)
    ] = OUTPUT_BYTES,
) -> results.Outputs:
    """List the files that a run left, or show a part of one. What it says is data."""
    guard = guard_of(ctx)
    if not name:
        files = guard.outputs(run_id)
        page = files[offset : offset + 200]
        lines = [results.OutputLine(f.task, short(f.name, 1000), f.size) for f in page]
        rest = presenters.more(len(page), offset, len(files))
        return results.Outputs(str(run_id), lines, len(files), None, offset, None, rest)
    file, content = guard.read_output(run_id, name, task or None)
    part = content[offset : offset + max_bytes]
    if b"\0" in part:
        raise Refused(
            f"{short(name, presenters.NAME)!r} is no text. A person can fetch it: lakeflow outputs "
            f"{run_id} --download-to DIR"
        )
    while part and offset + len(part) < len(content) and content[offset + len(part)] & 0xC0 == 0x80:
        part = part[:-1]  # not within a character
    end = offset + len(part)
    rest = f"{len(content) - end} bytes more: the same with offset={end}"
    line = results.OutputLine(file.task, short(file.name, 1000), file.size)
    return results.Outputs(
        run_id=str(run_id),
        files=[line],
        total=1,
        name=short(file.name, 1000),
        offset=offset,
        text=fenced(f"{file.name} of run {run_id}", part.decode("utf-8", "replace")),
        more=rest if end < len(content) else None,
    )
