"""Options that several commands have, each described once."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.errors import UsageError

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher


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


def open_launcher(
    local: bool, profile: str | None, output: Format, *, quiet: bool = False, verbose: bool = False
) -> Launcher:
    """The launcher that a command works with, and that prints what these options ask for.

    With JSON stdout is for the one document: what runs print goes to stderr.
    """
    from lakeflow.console import Console
    from lakeflow.launcher import Launcher

    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other: say one of them")
    if verbose:
        _name_requests()
    out = sys.stderr if output is Format.json else sys.stdout
    return Launcher(local=local, profile=profile, console=Console(out, sys.stderr, quiet=quiet))


def print_json(value: object) -> None:
    """Print a result as one JSON document."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def confirmed(question: str, yes: bool) -> bool:
    """Whether to go on. Raises UsageError where there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask: say --yes.")
    return typer.confirm(question, err=True)


def _name_requests() -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("lakeflow")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
