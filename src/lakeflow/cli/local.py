"""`lakeflow local ...`: the commands of `lakeflow-local`, if that is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from lakeflow.client.local_workspace import command_name, translated_errors
from lakeflow.errors import LakeflowError


class LocalGroup(TyperGroup):
    """The commands of `lakeflow_local.cli`, imported when this group is first used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._not_installed: LakeflowError | None = None
        try:
            with translated_errors():
                from lakeflow_local.cli import app as local_app
        except LakeflowError as error:
            self._not_installed = error
            return
        self.commands = dict(typer.main.get_group(local_app).commands)
        for command in self.commands.values():
            command.help = command_name(command.help or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, unless the package is missing. Completion then has no commands."""
        if self._not_installed is not None and not ctx.resilient_parsing:
            raise self._not_installed
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command, with the local workspace's errors as the launcher's own."""
        with translated_errors(), _credential_shown():
            return super().invoke(ctx)


@contextmanager
def _credential_shown() -> Iterator[None]:
    """Write standard output as it is: `local env` prints the credential of the workspace."""
    stdout = sys.stdout
    sys.stdout = getattr(stdout, "unredacted", stdout)
    try:
        yield
    finally:
        sys.stdout = stdout


app = typer.Typer(
    cls=LocalGroup,
    help="Manage the local workspace, which speaks the Databricks API and runs jobs for real.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _options() -> None:
    pass
