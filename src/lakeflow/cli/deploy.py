"""`lakeflow deploy`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.deploy_options import ComputeGroup, JobGroup
from lakeflow.cli.options import (
    Env,
    SecretsFile,
    SecretVariables,
    print_json,
    variables,
)
from lakeflow.errors import UsageError


def deploy(
    wheels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHEEL...",
            help="Wheels to deploy, files or paths that upload-wheel printed. Those that none of "
            "the others needs become jobs.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="A file that names the wheels.", metavar="FILE"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write what was done to this JSON file.", metavar="FILE"),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            help="Start a run with these arguments, quoted as for a shell. Repeatable.",
            metavar='"ARGS"',
        ),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Don't follow the runs: print their ids and return.")
    ] = False,
    attach: Annotated[
        list[int] | None,
        typer.Option(
            "--attach",
            help="Deploy nothing; follow this run, which was started before. Repeatable.",
            metavar="RUN",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, say what would be done.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", help="The job's name (default: the distribution's).", metavar="N"),
    ] = None,
    runs_per_driver: Annotated[
        int | None,
        typer.Option(
            "--runs-per-driver",
            min=1,
            metavar="N",
            help="The most runs to have on the cluster at once (default: its driver's cores).",
        ),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="One job for everybody, instead of one a user.")
    ] = False,
    where: ComputeGroup = ComputeGroup(),
    job: JobGroup = JobGroup(),
    env: Env = None,
    secret_env_var: SecretVariables = None,
    secrets_file: SecretsFile = None,
    common: Common = Common(),
) -> None:
    """Make jobs of wheels, and run them.

    Wheels are uploaded where they are new, a cluster and a job made or changed where they differ;
    a deploy of what is there already changes nothing. With --run the runs are started side by side,
    and what they print is printed under their labels. Ctrl-C stops following, not the runs.

    \b
    Examples:
      lakeflow deploy --manifest dist/wheels.json
      lakeflow deploy --manifest dist/wheels.json --run "knn -k 1" --run "knn -k 9"
      lakeflow deploy --manifest dist/wheels.json --max-workers 4 --dry-run
      lakeflow deploy dist/mine-1.0-py3-none-any.whl --schedule "0 0 6 * * ?" --timeout 2h
    """
    as_json = common.as_json
    launcher = common.launcher()
    if attach:
        if run:
            raise UsageError("--attach follows runs that were started before: not with --run")
        results = launcher.wait(attach)
        if as_json:
            print_json([asdict(result) for result in results])
        if any(result.status == "failed" for result in results):
            raise typer.Exit(1)
        return
    made = launcher.deploy(
        manifest,
        name=name,
        wheels=wheels or (),
        compute=where.checked(),
        job=job.checked(),
        calls=[_words(text) for text in run or []],
        env=variables(env),
        secret_env_vars=secret_env_var or (),
        secrets_file=secrets_file,
        wait=not no_wait,
        dry_run=dry_run,
        shared=shared,
        runs_per_driver=runs_per_driver,
        report=report,
    )
    if as_json:
        print_json(made.as_dict())
    elif no_wait:
        for target in made.targets:
            for started in target.runs:
                typer.echo(started.run_id)
    elif not run and not dry_run:
        for target in made.targets:
            typer.echo(target.job_id)
    if made.status == "failed":
        raise typer.Exit(1)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--run {text!r}: {error}. Quote it as for a shell.") from None
