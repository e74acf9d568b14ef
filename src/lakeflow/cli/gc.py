"""`lakeflow gc`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.formatting import size_text
from lakeflow.errors import UsageError


def gc(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="DAYS", help="Only wheels older than this, such as 60d."
        ),
    ] = "60d",
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove the wheels instead of listing them.")
    ] = False,
    common: Common = Common(),
) -> None:
    """List, or with --yes remove, uploaded wheels that nothing uses any more.

    These are wheels that you uploaded, older than --older-than, that no visible job or cluster and
    no active run refers to. Files written by runs are never removed.

    \b
    Examples:
      lakeflow gc
      lakeflow gc --older-than 90d --yes
    """
    days = older_than.removesuffix("d")
    if not days.isdecimal():
        raise UsageError(f"--older-than takes a number of days such as 60d, not {older_than!r}")
    launcher = common.launcher()
    plan = launcher.wheels.plan_collection(older_than=int(days))
    wheels = launcher.apply(plan) if yes else plan.wheels
    common.emit(
        {"removed": yes, "versions": wheels},
        (
            f"{size_text(wheel.size):>12}  "
            f"{datetime.fromtimestamp(wheel.modified / 1000):%Y-%m-%d}  "
            f"{wheel.distribution} {wheel.version}"
            for wheel in wheels
        ),
    )
    if not (yes or common.quiet or common.as_json):
        more = "\nhint: --yes removes them." if wheels else ""
        size = "size unknown" if plan.size is None else f"{plan.size:,} bytes"
        typer.echo(f"{len(wheels)} unused versions, {size}{more}", err=True)
