"""Groups of options that commands share, and what every command has."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

import typer

from lakeflow.cli.options import (
    Format,
    Local,
    Output,
    Profile,
    Quiet,
    Verbose,
)
from lakeflow.errors import UsageError

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher


_NO_CONTEXT = cast("typer.Context", None)


@dataclass(frozen=True)
class Common:
    """Which workspace, and how results and progress are printed."""

    local: Local = False
    profile: Profile = None
    output: Output = Format.text
    quiet: Quiet = False
    verbose: Verbose = False
    context: typer.Context = _NO_CONTEXT
    """The command's context: typer fills it in, and it is no option."""

    @property
    def as_json(self) -> bool:
        """Whether the result is one JSON document."""
        return self.output is Format.json

    def launcher(self, *, silent: bool = False) -> Launcher:
        """The launcher that these options ask for; a `silent` one says nothing of progress.

        With JSON stdout is for the one document: what runs print goes to stderr.
        """
        import logging

        from lakeflow.cli.output import Output
        from lakeflow.launcher import Launcher

        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose contradict each other: say one of them")
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


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters of a group's type become the options of that group.

    typer makes an option of each parameter, so groups are spread out before it looks and put
    together again when the command is called.
    """
    # Not get_type_hints, which up to 3.10 wraps the annotation of what is None by default.
    parameters = inspect.signature(command, eval_str=True).parameters
    groups = {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }
    spread: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        if name in groups:
            spread += _options_of(groups[name])
        else:
            spread.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def called(**values: Any) -> None:
        for name, kind in groups.items():
            own = {field.name: values.pop(field.name) for field in fields(kind)}
            values[name] = kind(**own)
        command(**values)

    called.__doc__ = command.__doc__
    called.__name__ = command.__name__
    called.__annotations__ = {p.name: p.annotation for p in spread}
    called.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    return called


def _options_of(group: type) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
