"""Options that several commands have, each defined once."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.escaping import escaped
from lakeflow.errors import UsageError


class Format(str, Enum):
    """How results are printed."""

    text = "text"
    json = "json"


Local = Annotated[
    bool, typer.Option("--local", help="Use the local workspace, whatever is configured.")
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="Use this profile of ~/.databrickscfg.", metavar="NAME"),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", help="Set an environment variable of the task. Repeatable.", metavar="K=V"
    ),
]
SecretVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--secret-env-var",
        metavar="K",
        help="Pass this environment variable as a secret, without exposing its value in command "
        "lines, job settings, logs or history. Repeatable.",
    ),
]
SecretsFile = Annotated[
    Path | None,
    typer.Option(
        "--secrets-file", metavar="FILE", help="Pass each line NAME=VALUE of this file as a secret."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--output", help="Format of the result.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print every request.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def parse_id(text: str | int) -> int:
    """Parse the id of a job or run: ASCII digits, as many as 64 bits have."""
    if isinstance(text, int):
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise typer.BadParameter(f"Invalid id {text!r}: ids are numbers.")
    return int(text)


def variables(pairs: list[str] | None, option: str = "--env") -> dict[str, str]:
    """Parse the values of an option K=V. Raises UsageError for anything else."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} takes NAME=VALUE, not {pair!r}")
        found[name] = value
    return found


def emit(result: object, output_format: Format, lines: Iterable[object] = ()) -> None:
    """Print a result on stdout: as one JSON document, or as these lines of text.

    Control characters in the lines are escaped. A result is a JSON value in which dataclasses stand
    for objects.
    """
    if output_format is Format.json:
        import json

        typer.echo(json.dumps(_json_value(result), ensure_ascii=False))
        return
    for line in lines:
        typer.echo(escaped(str(line)))


def confirmed(question: str, yes: bool) -> bool:
    """Ask for confirmation unless `yes`. Raises UsageError if stdin is not a terminal."""
    if yes:
        return True
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on.\nhint: pass --yes")
    return typer.confirm(escaped(question), err=True)


def _json_value(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return value
