"""Options that several commands have, each described once."""

from __future__ import annotations

from enum import Enum
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
Output = Annotated[Format, typer.Option("--output", help="How results are printed.")]


def variables(pairs: list[str] | None) -> dict[str, str]:
    """What `--env K=V` says. Raises UsageError for what is no K=V."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--env takes NAME=VALUE, not {pair!r}")
        found[name] = value
    return found
