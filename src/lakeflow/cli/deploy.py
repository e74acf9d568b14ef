"""`lakeflow deploy`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.deploy_options import ComputeGroup, JobGroup
from lakeflow.cli.option_types import (
    Env,
    SecretsFile,
    SecretVariables,
    parse_id,
    variables,
)
from lakeflow.cli.plan_text import print_plan
from lakeflow.cli.started_runs import until_printed
from lakeflow.errors import UsageError


def deploy(
    wheels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHEEL...",
            help="Wheels to deploy: files, or paths that upload-wheel printed. Each wheel that "
            "none of the others needs becomes a job.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Read the wheels from this manifest.", metavar="FILE"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write a report to this JSON file.", metavar="FILE"),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            help="Start a run with these arguments, quoted as in a shell. Repeatable.",
            metavar='"ARGS"',
        ),
    ] = None,
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait", help="Print the run ids and return instead of following the runs."
        ),
    ] = False,
    attach: Annotated[
        list[int] | None,
        typer.Option(
            "--attach",
            parser=parse_id,
            help="Follow this existing run instead of deploying. Repeatable.",
            metavar="RUN",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the job (default: the distribution's name).", metavar="N"
        ),
    ] = None,
    runs_per_driver: Annotated[
        int | None,
        typer.Option(
            "--runs-per-driver",
            min=1,
            metavar="N",
            help="Maximum number of runs at a time on the cluster (default: its driver's cores).",
        ),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option("--shared", help="Deploy one job for all users instead of one for each user."),
    ] = False,
    where: ComputeGroup = ComputeGroup(),
    job: JobGroup = JobGroup(),
    env: Env = None,
    secret_env_var: SecretVariables = None,
    secrets_file: SecretsFile = None,
    common: Common = Common(),
) -> None:
    """Deploy wheels as jobs, and run them.

    Uploads new wheels, and creates or updates cluster and job if they differ; deploying the same
    again changes nothing. Runs of --run start in parallel; their output streams live, prefixed with
    the run. Ctrl-C stops following, not the runs.

    \b
    Examples:
      lakeflow deploy --manifest dist/wheels.json
      lakeflow deploy --manifest dist/wheels.json --run "knn -k 1" --run "knn -k 9"
      lakeflow deploy --manifest dist/wheels.json --max-workers 4 --dry-run
      lakeflow deploy dist/mine-1.0-py3-none-any.whl --schedule "0 0 6 * * ?" --timeout 2h
    """
    from lakeflow.cli import ci_summary
    from lakeflow.operations.report import write_report
    from lakeflow.specs.deploy import DeployRequest

    launcher = common.launcher()
    if attach:
        if run:
            raise UsageError("--attach follows existing runs: it cannot be combined with --run")
        results = launcher.wait(attach)
        common.emit(results)
        if any(result.status == "failed" for result in results):
            raise typer.Exit(1)
        return
    request = DeployRequest(
        manifest=manifest,
        wheels=tuple(wheels or ()),
        name=name,
        compute=where.checked(),
        job=job.checked(),
        calls=tuple(_words(text) for text in run or []),
        env=variables(env),
        secret_env_vars=tuple(secret_env_var or ()),
        secrets_file=secrets_file,
        wait=not no_wait,
        shared=shared,
        runs_per_driver=runs_per_driver,
    )
    plan = launcher.plan(request)
    with until_printed() as run_ids:
        try:
            if dry_run:
                if not common.quiet:
                    print_plan(plan)
                deployed = plan.report
                if report is not None:
                    write_report(deployed, report)
            else:
                deployed = launcher.apply(plan, report=report)
        finally:
            if report is not None:
                ci_summary.publish(report, os.environ)
        ids: list[int | None] = []
        if no_wait:
            ids = [started.run_id for target in deployed.targets for started in target.runs]
        elif not run and not dry_run:
            ids = [target.job_id for target in deployed.targets]
        run_ids += [started.run_id for target in deployed.targets for started in target.runs]
        common.emit(deployed.as_dict(), ids)
    if deployed.status == "failed":
        raise typer.Exit(1)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--run {text!r}: {error}. Quote it as in a shell.") from None
