"""Errors at the door: a text for people on stderr, and the exit code that belongs to it."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from lakeflow.errors import LakeflowError

INTERRUPTED = 130


class Doors(TyperGroup):
    """A group of commands whose errors are told to people, not thrown at them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Every `LakeflowError` ends it with its text and its exit code."""
        try:
            return super().invoke(ctx)
        except LakeflowError as error:
            typer.echo(f"lakeflow: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("lakeflow: interrupted. Type the same command again to go on.", err=True)
            raise typer.Exit(INTERRUPTED) from None
