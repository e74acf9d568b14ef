"""`lakeflow gc`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.options import (
    print_json,
)
from lakeflow.errors import UsageError


def gc(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="DAYS", help="Only what is older, such as 60d."),
    ] = "60d",
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is only shown.")
    ] = False,
    common: Common = Common(),
) -> None:
    """Show, or with --yes remove, uploaded wheels that nothing needs any more.

    These are wheels that you uploaded, that no job you can see and no active run refers to, and
    that are older than --older-than. What runs have left is never touched.

    \b
    Examples:
      lakeflow gc
      lakeflow gc --older-than 90d --yes
    """
    days = older_than.removesuffix("d")
    if not days.isdecimal():
        raise UsageError(f"--older-than takes a number of days such as 60d, not {older_than!r}")
    launcher = common.launcher()
    found = launcher.collect(older_than=int(days), confirm=(lambda _: True) if yes else None)
    if common.as_json:
        print_json({"removed": yes, "versions": [asdict(it) for it in found]})
        return
    for it in found:
        when = datetime.fromtimestamp(it.modified / 1000)
        typer.echo(f"{it.size:>12}  {when:%Y-%m-%d}  {it.distribution} {it.version}")
    if not yes and not common.quiet:
        size = sum(it.size for it in found)
        more = ". To remove them: the same with --yes" if found else ""
        typer.echo(f"{len(found)} versions can go, {size:,} bytes{more}", err=True)
