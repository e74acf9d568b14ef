"""`lakeflow secrets prune`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.lazy_group import LazyGroup
from lakeflow.cli.option_types import Yes


class _Secrets(LazyGroup):
    lazy_subcommands: ClassVar[Mapping[str, str]] = {
        "prune": "secrets:prune",
    }


app = typer.Typer(
    cls=_Secrets,
    help="Secrets that were passed to runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def prune(
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            help="Minimum number of days since their runs finished.",
        ),
    ] = 7,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """List the secret scopes that no run needs any more, and with --yes remove them.

    \b
    Examples:
      lakeflow secrets prune
      lakeflow secrets prune --older-than 0 --yes
    """
    launcher = common.launcher()
    names = launcher.secrets.prune(older_than_days=older_than, dry_run=not yes)
    common.emit({"removed": yes, "scopes": names}, names)
    if names and not (yes or common.quiet or common.as_json):
        typer.echo("nothing was removed\nhint: --yes removes them", err=True)
