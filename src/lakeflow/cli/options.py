"""Options that several commands have, each described once."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option("--profile", help="The profile of ~/.databrickscfg to use.", metavar="NAME"),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", help="Set an environment variable for the task. Repeatable.", metavar="K=V"
    ),
]
SecretVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--secret-env-var",
        metavar="K",
        help="Hand this variable of your environment to the task through Databricks Secrets. "
        "Repeatable.",
    ),
]
SecretsFile = Annotated[
    Path | None,
    typer.Option("--secrets-file", metavar="FILE", help="The same for each line NAME=VALUE of it."),
]
Output = Annotated[Format, typer.Option("--output", help="How results are printed.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing of progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Name every request.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def variables(pairs: list[str] | None, option: str = "--env") -> dict[str, str]:
    """What `--env K=V` says. Raises UsageError for what is no K=V."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} takes NAME=VALUE, not {pair!r}")
        found[name] = value
    return found


def print_json(value: object) -> None:
    """Print a result as one JSON document."""
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))


def confirmed(question: str, yes: bool) -> bool:
    """Whether to go on. Raises UsageError where there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask: say --yes.")
    return typer.confirm(question, err=True)
