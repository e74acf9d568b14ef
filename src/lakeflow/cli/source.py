"""From a folder to a job, at once or a step at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.deploy_options import ComputeGroup, JobGroup
from lakeflow.cli.options import (
    Format,
    Output,
    print_json,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job's name.")]
Target = Annotated[
    Path, typer.Option("--target", metavar="DIR", help="The folder with the pyproject.toml.")
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="VERSION",
        help="Build for this Python; it matters where there is native code.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would be done.")]


def create_job_from_source(
    name: Name,
    package: Annotated[
        str, typer.Argument(metavar="PACKAGE", help="The package's name in its pyproject.toml.")
    ],
    target: Target = Path("."),
    python: Python = None,
    dry_run: DryRun = False,
    where: ComputeGroup = ComputeGroup(),
    job: JobGroup = JobGroup(),
    common: Common = Common(),
) -> None:
    """Build a package with uv, upload it, and make a job of it; print the job's id.

    Runs nothing. Local packages that it needs ([tool.uv.sources], git submodules among them) are
    built and uploaded too. Without --cluster-id a cluster is made.

    \b
    Examples:
      lakeflow create-job-from-source my-job my-package --target ~/my_project --max-workers 4
      lakeflow create-job-from-source my-job my-package --cluster-id 0202-235755-w37hoxe8
    """
    launcher = common.launcher()
    made = launcher.create_job_from_source(
        name,
        package,
        target,
        compute=where.checked(),
        job=job.checked(),
        python=python,
        dry_run=dry_run,
    )
    if common.as_json:
        print_json(asdict(made))
    elif not dry_run:
        typer.echo(made.job_id)


def build_wheel(
    package: Annotated[
        str | None, typer.Argument(metavar="[PACKAGE]", help="The package's name, to be sure.")
    ] = None,
    target: Target = Path("."),
    out_dir: Annotated[
        Path, typer.Option("--out-dir", metavar="DIR", help="The folder to put the wheels into.")
    ] = Path("dist"),
    python: Python = None,
    output: Output = Format.text,
) -> None:
    """Build the wheel of a package with uv, and those of the local packages it needs.

    Prints their paths, the package's own first. What was built before is not built again.

    \b
    Example:
      lakeflow build-wheel my-package --target ~/my_project
    """
    from lakeflow.wheels import build

    wheels = build.copy_to(build.build(target, package, python=python), out_dir)
    if output is Format.json:
        print_json([str(wheel) for wheel in wheels])
        return
    for wheel in wheels:
        typer.echo(wheel)


def upload_wheel(
    wheels: Annotated[
        list[Path], typer.Argument(metavar="WHEEL...", help="Wheels that belong together.")
    ],
    common: Common = Common(),
) -> None:
    """Put wheels into the workspace, each under a version made from what it holds; print the paths.

    \b
    Example:
      lakeflow upload-wheel dist/my_package-1.0-py3-none-any.whl
    """
    launcher = common.launcher()
    paths = launcher.upload_wheels(wheels)
    if common.as_json:
        print_json(list(paths))
        return
    for path in paths:
        typer.echo(path)


def create_job(
    name: Name,
    wheels: Annotated[
        list[str],
        typer.Argument(
            metavar="WHEEL...",
            help="The job's wheel and those it needs: files, or paths that upload-wheel printed.",
        ),
    ],
    dry_run: DryRun = False,
    where: ComputeGroup = ComputeGroup(),
    job: JobGroup = JobGroup(),
    common: Common = Common(),
) -> None:
    """Make a job of wheels, or change it to them; print its id. Runs nothing.

    \b
    Example:
      lakeflow create-job my-job dist/my_package-1.0-py3-none-any.whl --cluster-id 0202-2357-w37ho
    """
    launcher = common.launcher()
    made = launcher.create_job(
        name, wheels, compute=where.checked(), job=job.checked(), dry_run=dry_run
    )
    if common.as_json:
        print_json(asdict(made))
    elif not dry_run:
        typer.echo(made.job_id)
