"""Jobs and their runs: started, followed, listed, shown, ended."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.options import (
    Env,
    SecretsFile,
    SecretVariables,
    Yes,
    confirmed,
    print_json,
    variables,
)
from lakeflow.errors import Refused, UsageError

if TYPE_CHECKING:
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.runs import Run, Task

JobId = Annotated[int, typer.Argument(metavar="JOB", help="The job's id.")]
RunId = Annotated[int, typer.Argument(metavar="RUN", help="The run's id.")]
RunIds = Annotated[list[int], typer.Argument(metavar="RUN...", help="The runs' ids.")]


def trigger_run(
    job: JobId,
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="The task's arguments; all after a -- are its own."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", "--follow", help="Follow the run to its end and print its output."),
    ] = False,
    env: Env = None,
    secret_env_var: SecretVariables = None,
    secrets_file: SecretsFile = None,
    common: Common = Common(),
) -> None:
    """Start a run of a job and print its id.

    \b
    Examples:
      lakeflow trigger-run 123456 train --epochs=3
      lakeflow trigger-run 123456 --wait --env SEED=7 -- -x --own-option
      lakeflow trigger-run 123456 train --secret-env-var API_KEY
    """
    launcher = common.launcher()
    result = launcher.trigger_run(
        job,
        args or [],
        env=variables(env),
        secret_env_vars=secret_env_var or (),
        secrets_file=secrets_file,
        wait=wait,
    )
    if common.as_json:
        print_json(asdict(result))
    elif not wait:
        typer.echo(result.run_id)
        if not common.quiet:
            typer.echo(result.url, err=True)
    if result.status == "failed":
        raise typer.Exit(1)


def wait(
    runs: RunIds,
    common: Common = Common(),
) -> None:
    """Follow runs to their end and print their output.

    \b
    Example:
      lakeflow wait 987654321 987654322
    """
    launcher = common.launcher()
    results = launcher.wait(runs)
    if common.as_json:
        print_json([asdict(result) for result in results])
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def list_job_runs(
    job: JobId,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many to list, the newest first.")
    ] = 24,
    common: Common = Common(),
) -> None:
    """List the runs of a job: id, state, start, duration, link.

    \b
    Example:
      lakeflow list-job-runs 123456
    """
    launcher = common.launcher()
    found = launcher.runs.list(job, limit=limit)
    if common.as_json:
        print_json([_described(run) for run in found])
        return
    for run in found:
        typer.echo(
            f"{run.id}  {_state(run):<10} {_started(run):<19}  {_duration(run):>9}  {run.url}"
        )


def get_run(
    run: RunId,
    common: Common = Common(),
) -> None:
    """Print what a run is: its job, arguments, state, times and tasks, and why it failed.

    What its tasks printed, errors and traces included, is shown by `get-run-logs`.

    \b
    Example:
      lakeflow get-run 987654321
    """
    from lakeflow.resources.termination_codes import meaning_of

    found = common.launcher().runs.get(run)
    if common.as_json:
        tasks = [_described_task(task) for task in found.attempts]
        print_json({**_described(found), "tasks": tasks})
        return
    rows = [
        ("run", f"{found.id}  {_state(found)}"),
        ("job", f"{found.job_id}  {found.name}"),
        ("arguments", "" if found.argv is None else shlex.join(found.argv)),
        ("environment", " ".join(found.env)),
        ("started", _started(found)),
        ("duration", _duration(found)),
        ("message", found.state.message),
        ("meaning", meaning_of(found.state.code, found.state.message) or ""),
        ("link", found.url),
    ]
    for task in found.attempts:
        told = f"{task.run_id}  {_state(task)}  attempt {task.attempt}  {task.url}"
        rows.append((f"task {task.key}", told))
        if task.state.outcome == "failed":
            rows.append(("", task.state.message))
            rows.append(("", meaning_of(task.state.code, task.state.message) or ""))
    for name, value in rows:
        if value:
            typer.echo(f"{name:<12} {value}")


def get_run_logs(
    run: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the run ends; exit code 1 if it failed.")
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option("--tail", min=0, metavar="N", help="Begin with each task's last N lines."),
    ] = None,
    all_tasks: Annotated[
        bool,
        typer.Option(
            "--all-tasks",
            help="Every attempt of every task (default: those that failed, or all if none did).",
        ),
    ] = False,
    download_to: Annotated[
        Path | None,
        typer.Option(
            "--download-to",
            metavar="DIR",
            help="Write DIR/<run>/<task>.log instead, and print the names of these files.",
        ),
    ] = None,
    common: Common = Common(),
) -> None:
    """Print what a run has printed so far, and why it failed if it did.

    \b
    Examples:
      lakeflow get-run-logs 987654321
      lakeflow get-run-logs 987654321 --follow --tail 100
      lakeflow get-run-logs 987654321 --all-tasks --download-to logs
    """
    launcher = common.launcher()
    logs = launcher.runs.logs(
        run,
        follow=follow,
        tail=tail,
        all_tasks=all_tasks,
        download_to=download_to,
        show=not common.as_json,
    )
    if common.as_json:
        print_json({**_described(logs.run), "tasks": [asdict(task) for task in logs.tasks]})
    elif download_to is not None:
        for task in logs.tasks:
            typer.echo(task.path)
    if follow and logs.run.state.outcome != "succeeded":
        raise typer.Exit(1)


def cancel_run(
    runs: RunIds,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they have ended.")] = False,
    common: Common = Common(),
) -> None:
    """End runs that wait or compute.

    \b
    Example:
      lakeflow cancel-run 987654321 --wait
    """
    launcher = common.launcher()
    found = launcher.runs.cancel(runs, wait=wait)
    if common.as_json:
        print_json([_described(run) for run in found])


def repair_run(
    run: RunId,
    with_current: Annotated[
        bool,
        typer.Option("--with-current", help="Also where the job has other code since the run."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run to its end and print its output.")
    ] = False,
    common: Common = Common(),
) -> None:
    """Run again only what failed of a run, with the arguments it was started with.

    \b
    Example:
      lakeflow repair-run 987654321 --wait
    """
    launcher = common.launcher()
    result = launcher.runs.repair(run, with_current=with_current, wait=wait)
    if common.as_json:
        print_json(asdict(result))
    if result.status == "failed":
        raise typer.Exit(1)


def list_jobs(
    all_jobs: Annotated[
        bool, typer.Option("--all", help="Also those that lakeflow did not deploy.")
    ] = False,
    common: Common = Common(),
) -> None:
    """List the jobs that lakeflow deployed: id, name, link.

    \b
    Example:
      lakeflow list-jobs
    """
    launcher = common.launcher()
    found = [
        (job, f"{launcher.workspace.host}/jobs/{job.id}")
        for job in launcher.jobs.list(all_jobs=all_jobs)
    ]
    if common.as_json:
        print_json([_described_job(job, url) for job, url in found])
        return
    width = max((len(job.name) for job, _ in found), default=0)
    for job, url in found:
        typer.echo(f"{job.id}  {job.name:<{width}}  {url}")


def delete_job(
    job: JobId,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """Delete a job, which ends its runs. Its wheels stay until `lakeflow gc`.

    \b
    Example:
      lakeflow delete-job 123456 --yes
    """
    launcher = common.launcher()
    plan = launcher.jobs.plan_delete(job)
    active = " Its active runs are cancelled." if plan.has_active_runs else ""
    if not confirmed(f"Delete the job {plan.job.name} ({job})?{active}", yes):
        raise Refused(f"the job {plan.job.name} ({job}) was not deleted")
    deleted = launcher.apply(plan)
    if common.as_json:
        print_json({"job_id": deleted.id, "name": deleted.name})


def open_page(
    run: Annotated[int | None, typer.Argument(metavar="[RUN]", help="The run's id.")] = None,
    job: Annotated[
        int | None, typer.Option("--job", metavar="JOB", help="A job instead of a run.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Also open it in the web browser.")
    ] = False,
    common: Common = Common(),
) -> None:
    """Print the address of the page of a run or a job.

    \b
    Examples:
      lakeflow open 987654321
      lakeflow open --job 123456 --browser
    """
    if (run is None) == (job is None):
        raise UsageError("name one run, or one job with --job")
    launcher = common.launcher()
    url = launcher.runs.url(run) if run is not None else launcher.jobs.url(cast(int, job))
    if common.as_json:
        print_json({"url": url})
    else:
        typer.echo(url)
    if browser:
        typer.launch(url)


def _described(run: Run) -> dict[str, object]:
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
        "ended_ms": run.ended,
        "url": run.url,
    }


def _described_task(task: Task) -> dict[str, object]:
    return {
        "task": task.key,
        "run_id": task.run_id,
        "attempt": task.attempt,
        "state": task.state.life,
        "outcome": task.state.outcome,
        "message": task.state.message,
        "started_ms": task.started,
        "ended_ms": task.ended,
        "url": task.url,
    }


def _described_job(job: Job, url: str) -> dict[str, object]:
    return {"job_id": job.id, "name": job.name, "url": url}


def _state(it: Run | Task) -> str:
    return it.state.outcome or it.state.life.lower()


def _started(run: Run) -> str:
    return f"{datetime.fromtimestamp(run.started / 1000):%Y-%m-%d %H:%M:%S}" if run.started else ""


def _duration(run: Run) -> str:
    return f"{(run.ended - run.started) / 1000:.1f} s" if run.ended else ""
