"""Commands that turn a source folder into a job, in one step or step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.deploy_options import ComputeGroup, JobGroup
from lakeflow.cli.option_types import Format, OutputFormat, emit
from lakeflow.cli.plan_text import print_plan

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher
    from lakeflow.operations.plan import DeployPlan

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the job.")]
Target = Annotated[
    Path, typer.Option("--target", metavar="DIR", help="Folder with the pyproject.toml.")
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="VERSION",
        help="Build for this Python version; it matters for native code.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
]


def create_job_from_source(
    name: Name,
    package: Annotated[
        str, typer.Argument(metavar="PACKAGE", help="Name of the package in its pyproject.toml.")
    ],
    target: Target = Path("."),
    python: Python = None,
    dry_run: DryRun = False,
    where: ComputeGroup = ComputeGroup(),
    job: JobGroup = JobGroup(),
    common: Common = Common(),
) -> None:
    """Build a package with uv, upload it, and create a job of it; print the job's id.

    Starts no run. Local packages that it needs ([tool.uv.sources], including git submodules) are
    built and uploaded too. Without --cluster-id a cluster is created.

    \b
    Examples:
      lakeflow create-job-from-source my-job my-package --target ~/my_project --max-workers 4
      lakeflow create-job-from-source my-job my-package --cluster-id 0202-235755-w37hoxe8
    """
    launcher = common.launcher()
    plan = launcher.plan_job_from_source(
        name, package, target, compute=where.checked(), job=job.checked(), python=python
    )
    _create(launcher, plan, common, dry_run=dry_run)


def build_wheel(
    package: Annotated[
        str | None, typer.Argument(metavar="[PACKAGE]", help="Expected name of the package.")
    ] = None,
    target: Target = Path("."),
    out_dir: Annotated[
        Path, typer.Option("--out-dir", metavar="DIR", help="Folder for the wheels.")
    ] = Path("dist"),
    python: Python = None,
    output: OutputFormat = Format.text,
) -> None:
    """Build the wheel of a package with uv, and those of the local packages it needs.

    Prints their paths, the package's own first. Unchanged sources are not built again.

    \b
    Example:
      lakeflow build-wheel my-package --target ~/my_project
    """
    from lakeflow.wheels import build

    wheels = build.copy_to(build.build(target, package, python=python), out_dir)
    emit([str(wheel) for wheel in wheels], output, wheels)


def upload_wheel(
    wheels: Annotated[
        list[Path], typer.Argument(metavar="WHEEL...", help="Wheels to upload together.")
    ],
    common: Common = Common(),
) -> None:
    """Upload wheels, each with its content's digest in its version; print their paths.

    \b
    Example:
      lakeflow upload-wheel dist/my_package-1.0-py3-none-any.whl
    """
    launcher = common.launcher()
    paths = launcher.wheels.upload(wheels)
    common.emit(paths, paths)


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
    """Create a job of wheels, or update it; print its id. Starts no run.

    \b
    Example:
      lakeflow create-job my-job dist/my_package-1.0-py3-none-any.whl --cluster-id 0202-2357-w37ho
    """
    launcher = common.launcher()
    plan = launcher.jobs.plan(name, wheels, compute=where.checked(), job=job.checked())
    _create(launcher, plan, common, dry_run=dry_run)


def _create(launcher: Launcher, plan: DeployPlan, common: Common, *, dry_run: bool) -> None:
    """Create the job of a plan and print its id, or print the plan."""
    if dry_run and not common.quiet:
        print_plan(plan)
    report = plan.report if dry_run else launcher.apply(plan)
    (target,) = report.targets
    common.emit(target, [] if dry_run else [target.job_id])
