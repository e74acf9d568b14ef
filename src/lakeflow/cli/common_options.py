"""The options of every command that uses a workspace."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import typer

from lakeflow.cli.option_types import Format, Local, OutputFormat, Profile, Quiet, Verbose, emit
from lakeflow.errors import UsageError

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher

_NO_CONTEXT = cast("typer.Context", None)


@dataclass(frozen=True)
class Common:
    """Which workspace to use, and how to print results and progress."""

    local: Local = False
    profile: Profile = None
    output: OutputFormat = Format.text
    quiet: Quiet = False
    verbose: Verbose = False
    context: typer.Context = _NO_CONTEXT
    """The command's context, filled in by typer; not an option."""

    @property
    def as_json(self) -> bool:
        """Whether stdout is for one JSON document."""
        return self.output is Format.json

    def emit(self, result: object, lines: Iterable[object] = ()) -> None:
        """Print a result on stdout: as one JSON document, or as these lines of text."""
        emit(result, self.output, lines)

    def launcher(self, *, silent: bool = False) -> Launcher:
        """Return a launcher that prints as these options say; a `silent` one without progress.

        The output of runs goes to stdout, or to stderr if stdout is for a JSON document.
        """
        import logging

        from lakeflow.cli.output import Output
        from lakeflow.launcher import Launcher

        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other")
        level = logging.INFO
        if self.verbose:
            level = logging.DEBUG
        elif silent or self.quiet:
            level = logging.WARNING
        output = Output(sys.stderr if self.as_json else sys.stdout, sys.stderr, level)
        if self.context is not None:
            self.context.call_on_close(output.close)
        return Launcher(
            local=self.local,
            profile=self.profile,
            observer=output.observer,
            on_transfer=output.transfer,
        )
