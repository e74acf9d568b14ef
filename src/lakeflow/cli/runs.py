"""Commands about runs: start, follow, list, show, cancel and repair them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.jobs import JobId
from lakeflow.cli.option_types import Env, SecretsFile, SecretVariables, parse_id, variables
from lakeflow.cli.started_runs import until_printed

if TYPE_CHECKING:
    from lakeflow.resources.runs import Run, Task

RunId = Annotated[int, typer.Argument(metavar="RUN", help="Id of the run.", parser=parse_id)]
RunIds = Annotated[
    list[int], typer.Argument(metavar="RUN...", help="Ids of the runs.", parser=parse_id)
]


def trigger_run(
    job: JobId,
    args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGS", help="Arguments of the task. Put options of the task after --."
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", "--follow", help="Follow the run until it finishes and print its output."
        ),
    ] = False,
    env: Env = None,
    secret_env_var: SecretVariables = None,
    secrets_file: SecretsFile = None,
    common: Common = Common(),
) -> None:
    """Start a run of a job and print its id.

    \b
    Examples:
      lakeflow trigger-run 123456 train --wait
      lakeflow trigger-run 123456 --wait --env SEED=7 -- --epochs 3 -x
      lakeflow trigger-run 123456 train --secret-env-var API_KEY
    """
    with until_printed() as run_ids:
        result = common.launcher().trigger_run(
            job,
            args or [],
            env=variables(env),
            secret_env_vars=secret_env_var or (),
            secrets_file=secrets_file,
            wait=wait,
        )
        run_ids.append(result.run_id)
        common.emit(result, [] if wait else [result.run_id])
    if not (wait or common.as_json or common.quiet):
        typer.echo(result.url, err=True)
    if result.status == "failed":
        raise typer.Exit(1)


def wait(
    runs: RunIds,
    common: Common = Common(),
) -> None:
    """Follow runs until they finish and print their output.

    \b
    Example:
      lakeflow wait 987654321 987654322
    """
    results = common.launcher().wait(runs)
    common.emit(results)
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def list_job_runs(
    job: JobId,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Maximum number of runs, newest first.")
    ] = 24,
    common: Common = Common(),
) -> None:
    """List the newest runs of a job: id, state, start time, duration, link.

    \b
    Example:
      lakeflow list-job-runs 123456
    """
    found = common.launcher().runs.list(job, limit=limit)
    common.emit(
        [_run_as_dict(run) for run in found],
        (
            f"{run.id}  {_state(run):<10} {_start_time(run):<19}  {_duration(run):>9}  {run.url}"
            for run in found
        ),
    )


def get_run(
    run: RunId,
    common: Common = Common(),
) -> None:
    """Show details of a run: job, arguments, state, times, tasks, and why it failed.

    `get-run-logs` shows what its tasks printed, including tracebacks.

    \b
    Example:
      lakeflow get-run 987654321
    """
    found = common.launcher().runs.get(run)
    tasks = [_task_as_dict(task) for task in found.attempts]
    common.emit({**_run_as_dict(found), "tasks": tasks}, _details(found))


def get_run_logs(
    run: RunId,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Continue until the run finishes; exit code 1 if it failed."),
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail", min=0, metavar="N", help="Start with the last N lines of each task."
        ),
    ] = None,
    all_tasks: Annotated[
        bool,
        typer.Option(
            "--all-tasks",
            help="Show every attempt of every task (default: the failed tasks, or all tasks if "
            "none failed).",
        ),
    ] = False,
    download_to: Annotated[
        Path | None,
        typer.Option(
            "--download-to",
            metavar="DIR",
            help="Write the logs to DIR/<run>/<task>.log and print the names of these files.",
        ),
    ] = None,
    common: Common = Common(),
) -> None:
    """Print the output of a run so far, and why it failed.

    \b
    Examples:
      lakeflow get-run-logs 987654321
      lakeflow get-run-logs 987654321 --follow --tail 100
      lakeflow get-run-logs 987654321 --all-tasks --download-to logs
    """
    logs = common.launcher().runs.logs(
        run,
        follow=follow,
        tail=tail,
        all_tasks=all_tasks,
        download_to=download_to,
        show=not common.as_json,
    )
    paths = [task.path for task in logs.tasks] if download_to is not None else []
    common.emit({**_run_as_dict(logs.run), "tasks": logs.tasks}, paths)
    if follow and logs.run.state.outcome != "succeeded":
        raise typer.Exit(1)


def cancel_run(
    runs: RunIds,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they have finished.")] = False,
    common: Common = Common(),
) -> None:
    """Cancel queued or running runs.

    \b
    Example:
      lakeflow cancel-run 987654321 --wait
    """
    found = common.launcher().runs.cancel(runs, wait=wait)
    common.emit([_run_as_dict(run) for run in found])


def repair_run(
    run: RunId,
    with_current: Annotated[
        bool,
        typer.Option("--with-current", help="Use the job's current code if it has changed."),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Follow the run until it finishes and print its output."),
    ] = False,
    common: Common = Common(),
) -> None:
    """Run the failed tasks of a run again, with the arguments it was started with.

    \b
    Example:
      lakeflow repair-run 987654321 --wait
    """
    with until_printed() as run_ids:
        result = common.launcher().runs.repair(run, with_current=with_current, wait=wait)
        run_ids.append(result.run_id)
        common.emit(result)
    if result.status == "failed":
        raise typer.Exit(1)


def _run_as_dict(run: Run) -> dict[str, object]:
    return {
        "run_id": run.id,
        "job_id": run.job_id,
        "name": run.name,
        "argv": run.argv,
        "env": run.env,
        "state": run.state.life,
        "outcome": run.state.outcome,
        "code": run.state.code,
        "message": run.state.message,
        "started_ms": run.started,
        "ended_ms": run.finished,
        "url": run.url,
    }


def _task_as_dict(task: Task) -> dict[str, object]:
    return {
        "task": task.key,
        "run_id": task.run_id,
        "attempt": task.attempt,
        "state": task.state.life,
        "outcome": task.state.outcome,
        "message": task.state.message,
        "started_ms": task.started,
        "ended_ms": task.finished,
        "url": task.url,
    }


def _details(run: Run) -> Iterator[str]:
    from lakeflow.resources.termination_codes import meaning_of

    rows = [
        ("run", f"{run.id}  {_state(run)}"),
        ("job", f"{run.job_id}  {run.name}"),
        ("arguments", "" if run.argv is None else shlex.join(run.argv)),
        ("environment", " ".join(run.env)),
        ("started", _start_time(run)),
        ("duration", _duration(run)),
        ("message", run.state.message),
        ("meaning", meaning_of(run.state.code, run.state.message) or ""),
        ("link", run.url),
    ]
    for task in run.attempts:
        details = f"{task.run_id}  {_state(task)}  attempt {task.attempt}  {task.url}"
        rows.append((f"task {task.key}", details))
        if task.state.outcome == "failed":
            rows.append(("", task.state.message))
            rows.append(("", meaning_of(task.state.code, task.state.message) or ""))
    for name, value in rows:
        for number, line in enumerate(value.splitlines()):
            yield f"{name if number == 0 else '':<12} {line}"


def _state(of: Run | Task) -> str:
    return of.state.outcome or of.state.life.lower()


def _start_time(run: Run) -> str:
    return f"{datetime.fromtimestamp(run.started / 1000):%Y-%m-%d %H:%M:%S}" if run.started else ""


def _duration(run: Run) -> str:
    return f"{(run.finished - run.started) / 1000:.1f} s" if run.finished else ""
