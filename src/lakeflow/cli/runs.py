"""`lakeflow trigger-run`, `wait`, `list-job-runs` and `get-run-logs`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.options import Env, Format, Local, Output, Profile, variables

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher
    from lakeflow.runs import Run

Job = Annotated[int, typer.Argument(metavar="JOB", help="The job's id.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("trigger-run")(trigger_run)
    app.command("wait")(wait)
    app.command("list-job-runs")(list_job_runs)
    app.command("get-run-logs")(get_run_logs)


def trigger_run(
    job: Job,
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="The task's arguments; all after a -- are its own."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run to its end and print its output.")
    ] = False,
    env: Env = None,
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
) -> None:
    """Start a run of a job and print its id.

    \b
    Examples:
      lakeflow trigger-run 123456 train --epochs=3
      lakeflow trigger-run 123456 --wait --env SEED=7 -- -x --own-option
    """
    launcher = _launcher(local, profile, output)
    result = launcher.trigger_run(job, args or [], env=variables(env), wait=wait)
    if output is Format.json:
        typer.echo(json.dumps(asdict(result)))
    elif not wait:
        typer.echo(result.run_id)
        typer.echo(result.url, err=True)
    if result.status == "failed":
        raise typer.Exit(1)


def wait(
    runs: Annotated[list[int], typer.Argument(metavar="RUN...", help="The runs' ids.")],
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
) -> None:
    """Follow runs to their end and print their output.

    \b
    Example:
      lakeflow wait 987654321 987654322
    """
    results = _launcher(local, profile, output).wait(runs)
    if output is Format.json:
        typer.echo(json.dumps([asdict(result) for result in results]))
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def list_job_runs(
    job: Job,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many to list, the newest first.")
    ] = 24,
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
) -> None:
    """List the runs of a job: id, state, start, duration, link.

    \b
    Example:
      lakeflow list-job-runs 123456
    """
    found = _launcher(local, profile, output).list_job_runs(job, limit=limit)
    if output is Format.json:
        typer.echo(json.dumps([_described(run) for run in found]))
        return
    for run in found:
        state = run.state.outcome or run.state.life.lower()
        typer.echo(f"{run.id}  {state:<10} {_started(run):<19}  {_duration(run):>9}  {run.url}")


def get_run_logs(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's id.")],
    local: Local = False,
    profile: Profile = None,
) -> None:
    """Print what a run has printed so far, and why it failed if it did.

    \b
    Example:
      lakeflow get-run-logs 987654321
    """
    _launcher(local, profile, Format.text).get_run_logs(run)


def _launcher(local: bool, profile: str | None, output: Format) -> Launcher:
    from lakeflow.console import Console
    from lakeflow.launcher import Launcher

    out = sys.stderr if output is Format.json else sys.stdout
    return Launcher(local=local, profile=profile, console=Console(out, sys.stderr))


def _described(run: Run) -> dict[str, object]:
    return {
        "run_id": run.id,
        "state": run.state.life,
        "outcome": run.state.outcome,
        "message": run.state.message,
        "started_ms": run.started,
        "ended_ms": run.ended,
        "url": run.url,
    }


def _started(run: Run) -> str:
    return f"{datetime.fromtimestamp(run.started / 1000):%Y-%m-%d %H:%M:%S}" if run.started else ""


def _duration(run: Run) -> str:
    return f"{(run.ended - run.started) / 1000:.1f} s" if run.ended else ""
