"""Groups of options: dataclasses whose fields become options of a command."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each parameter that is a group replaced by the group's fields.

    typer creates an option for each parameter of the result. When it is called, the options are put
    together into their groups again and the command is called with these.
    """
    # Not get_type_hints: up to Python 3.10 it makes what defaults to None Optional, which typer
    # refuses inside Annotated.
    parameters = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, type] = {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }
    expanded: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        if name in groups:
            expanded += _parameters_of(groups[name])
        else:
            expanded.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        command(**values)

    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in expanded}
    call.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    return call


def _parameters_of(group: type) -> list[inspect.Parameter]:
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
