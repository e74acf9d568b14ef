"""Groups of commands: loaded when they are asked for, and their errors told to people."""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperGroup

from lakeflow.errors import LakeflowError

INTERRUPTED = 130


class Doors(TyperGroup):
    """A group of commands. Every `LakeflowError` ends one with its text and its exit code.

    `rooms` says for each command where it is: `module:name` in `lakeflow.cli`, the name being that
    of a function or of a `typer.Typer`. A command is made when it is looked up, since making all
    of them takes longer than most of them run.
    """

    rooms: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands(self.rooms)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LakeflowError as error:
            typer.echo(f"lakeflow: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever reads the output has seen enough
                raise
            _drop_output()
            typer.echo(f"lakeflow: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("lakeflow: interrupted. Type the same command again to go on.", err=True)
            raise typer.Exit(INTERRUPTED) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by the first sentence of what they say of themselves, unmade."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _sentence(room)) for name, room in self.rooms.items()])


def _drop_output() -> None:
    """Have Python not try again, when it ends, to write what could not be written."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Commands(MutableMapping[str, Any]):
    """The commands of a group by name, each made when it is first looked up."""

    def __init__(self, rooms: Mapping[str, str]) -> None:
        self._rooms = dict(rooms)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, _loaded(self._rooms[name]))
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._rooms[name] = ""
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._rooms[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def __len__(self) -> int:
        return len(self._rooms)


def _loaded(room: str) -> Any:
    module, _, name = room.partition(":")
    return getattr(importlib.import_module(f"lakeflow.cli.{module}"), name)


def _command(name: str, it: typer.Typer | Callable[..., None]) -> Any:
    if isinstance(it, typer.Typer):
        group = typer.main.get_group(it)
        group.name = name
        return group
    from lakeflow.cli.common_options import with_groups

    alone = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    alone.command(name)(with_groups(it))
    return typer.main.get_command(alone)


def _sentence(room: str) -> str:
    """The beginning of a command's help, up to where it stops or goes into details."""
    it = _loaded(room)
    said = it.info.help if isinstance(it, typer.Typer) else inspect.getdoc(it)
    first = " ".join(str(said).partition("\n\n")[0].split())
    return re.split(r"[.:;]( |$)", first)[0] + "."
