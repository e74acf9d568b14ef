"""Groups of commands that are imported when they are used, so that the command starts fast."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group whose commands are created when they are looked up.

    As in Click's documentation, Complex Applications, Lazily Loading Subcommands.
    `lazy_subcommands` maps a command's name to its place, `module:name` in `lakeflow.cli`, where
    `name` is a function or a `typer.Typer`.
    """

    lazy_subcommands: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        created = super().list_commands(ctx)
        return [*self.lazy_subcommands, *(n for n in created if n not in self.lazy_subcommands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, created if it was not used before; None if unknown."""
        if cmd_name not in self.commands and cmd_name in self.lazy_subcommands:
            place = self.lazy_subcommands[cmd_name]
            self.add_command(_command(cmd_name, _load(place)), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to invoke. For an unknown one, similar names are suggested."""
        if args and self.get_command(ctx, args[0]) is None:
            for name in self.lazy_subcommands:  # typer suggests names of created commands only
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the first sentence of their help, without creating them."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _summary(_load(place))) for name, place in self.lazy_subcommands.items()]
            )


def _load(place: str) -> typer.Typer | Callable[..., None]:
    module, _, name = place.partition(":")
    loaded: typer.Typer | Callable[..., None] = getattr(
        importlib.import_module(f"lakeflow.cli.{module}"), name
    )
    return loaded


def _command(name: str, source: typer.Typer | Callable[..., None]) -> Any:
    if isinstance(source, typer.Typer):
        group = typer.main.get_group(source)
        group.name = name
        return group
    from lakeflow.cli.option_groups import expand_groups

    single = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    single.command(name)(expand_groups(source))
    return typer.main.get_command(single)


def _summary(source: typer.Typer | Callable[..., None]) -> str:
    """Return the first sentence of a command's help, up to a colon or semicolon."""
    text = source.info.help if isinstance(source, typer.Typer) else inspect.getdoc(source)
    first = " ".join(str(text).partition("\n\n")[0].split())
    return re.split(r"[.:;]( |$)", first)[0] + "."
