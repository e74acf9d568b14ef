"""The verbs about runs: trigger them, follow them, list them and show what they print."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from lakeflow import jobs, journal, preflight, runs
from lakeflow.console import Labelled
from lakeflow.context import Context
from lakeflow.errors import UsageError
from lakeflow.local.daemon import state_dir
from lakeflow.runs import Interrupted, Run, RunResult
from lakeflow_task.protocol import CALL_LIMIT


def trigger_run(
    context: Context,
    job_id: int,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    wait: bool = False,
) -> RunResult:
    """Start a run of a job with these arguments, and with `wait` follow it to its end.

    Raises UsageError for an unknown job and for arguments that cannot be sent.
    """
    job = jobs.get(context.workspace, job_id)
    if job.takes_calls:
        parameters = runs.call_parameters(preflight.encode_calls([argv], env or {})[0])
    else:
        parameters = {"python_params": _foreign(job, argv, env or {})}
    asked = [runs.Asked(job_id, 0, tuple(argv), parameters)]
    with begun(context, [context.workspace.host, job_id, parameters], asked) as invocation:
        if not wait:
            return runs.start(context.workspace, asked, invocation)[0]
        with following(context):
            screen = Labelled(context.console, [""])
            return runs.start_and_follow(context.workspace, asked, invocation, screen, in_flight=1)[
                0
            ]


def list_job_runs(context: Context, job_id: int, *, limit: int) -> list[Run]:
    """The newest runs of a job. Raises UsageError for an unknown job."""
    found = runs.of_job(context.workspace, job_id, limit)
    if not found:
        jobs.get(context.workspace, job_id)
    return found


def get_run_logs(context: Context, run_id: int) -> Run:
    """Show what a run has printed so far. Raises UsageError for an unknown run."""
    run = runs.get(context.workspace, run_id)
    screen = Labelled(context.console, [""])
    ending = runs.show_output(context.workspace, run, lambda text: screen.output(0, text))
    if run.state.outcome is None:
        screen.output(0, "\n")
        context.console.say(f"run {run_id} is not at its end ({run.state.life})")
    else:
        screen.ended(0, run, ending)
    return run


def wait(context: Context, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
    """Follow runs that were started before to their end.

    Raises UsageError for an unknown run and Interrupted on Ctrl-C.
    """
    names = [f"[{run_id}] " if len(run_ids) > 1 else "" for run_id in run_ids]
    with following(context):
        return runs.follow(context.workspace, run_ids, Labelled(context.console, names))


@contextmanager
def begun(
    context: Context, key: object, asked: Sequence[runs.Asked]
) -> Iterator[journal.Invocation]:
    """The invocation that starts the runs that are asked for; resumed where one was not finished.

    `key` is a JSON value: what makes a command typed again the same command.
    """
    invocation = journal.begin(state_dir() / "journal", key)
    if invocation.resumed:
        when = datetime.fromtimestamp(invocation.begun).strftime("%Y-%m-%d %H:%M:%S")
        context.console.say(
            f"resuming the same command of {when}, which did not come to its end: "
            f"{len(invocation.started)} of {counted(len(asked))} known to be started"
        )
    try:
        yield invocation
    finally:
        invocation.close()


@contextmanager
def following(context: Context, command: str | None = None) -> Iterator[None]:
    """Say after Ctrl-C how to go on; `command` is the start of what deploys the same again."""
    try:
        yield
    except Interrupted as stop:
        context.console.close()
        if not stop.all_started:
            stop.advice = "Type the same command again to start the missing ones."
        elif stop.going:
            again = how_to_follow(context, stop.going, command)
            stop.advice = f"To follow them again: {again}"
        raise


def how_to_follow(context: Context, run_ids: Sequence[int], command: str | None = None) -> str:
    """The command that follows these runs to their end."""
    ids = [str(run_id) for run_id in run_ids]
    if command:
        attach = [word for run_id in ids for word in ("--attach", run_id)]
        return f"{command} {shlex.join([*attach, *context.where])}"
    return shlex.join(["lakeflow", "wait", *ids, *context.where])


def _foreign(job: jobs.Job, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The arguments as `python_params`, for a job that lakeflow did not deploy."""
    if env:
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: --env cannot reach it"
        )
    size = len(json.dumps(list(argv)))
    if size > CALL_LIMIT or not all(word.isascii() for word in argv):
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: its arguments have to be "
            f"ASCII and at most {CALL_LIMIT} bytes as JSON; these take {size}"
        )
    return list(argv)


def counted(count: int) -> str:
    """A number of runs, in words."""
    return "1 run" if count == 1 else f"{count} runs"
