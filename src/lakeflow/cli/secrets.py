"""`lakeflow secrets prune`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.lazy_group import Doors
from lakeflow.cli.options import (
    Yes,
    print_json,
)


class _Secrets(Doors):
    rooms: ClassVar[Mapping[str, str]] = {
        "prune": "secrets:prune",
    }


app = typer.Typer(
    cls=_Secrets,
    help="The secrets that runs were handed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def prune(
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, help="How many days ago their runs ended."
        ),
    ] = 7,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """Show the secret scopes that no run needs any more, and with --yes remove them.

    \b
    Examples:
      lakeflow secrets prune
      lakeflow secrets prune --older-than 0 --yes
    """
    launcher = common.launcher()
    names = launcher.secrets.prune(older_than_days=older_than, dry_run=not yes)
    if common.as_json:
        print_json({"removed": yes, "scopes": list(names)})
        return
    for name in names:
        typer.echo(name)
    if names and not yes and not common.quiet:
        typer.echo("nothing was removed: say --yes", err=True)
