"""Check that the site in dist/docs documents every command and public name; see .ci/docs."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

import lakeflow
from lakeflow.cli import app
from lakeflow.launcher.session_group import SessionGroup

REFERENCE = Path("dist/docs/reference")


def main() -> int:
    """Print what is missing. Returns the exit code: 0 if nothing is."""
    text = html.unescape(re.sub("<[^>]*>", "", (REFERENCE / "cli/index.html").read_text()))
    python = (REFERENCE / "python/index.html").read_text()
    missing = [f"command {name}" for name, _ in commands() if f"$ {name} " not in text]
    missing += [name for name in public_names() if f'"{name}"' not in python]
    for name in missing:
        print(f"the site does not document {name}", file=sys.stderr)
    return 1 if missing else 0


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command and group, with its name as it is typed."""
    waiting: list[tuple[str, Any]] = [("lakeflow", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for word in command.list_commands(context):
                waiting.append((f"{name} {word}", command.get_command(context, word)))


def public_names() -> Iterator[str]:
    """Yield the public names of the package and of the launcher's groups, with their methods."""
    public = {f"lakeflow.{n}": getattr(lakeflow, n) for n in lakeflow.__all__ if n[0] != "_"}
    public |= {
        f"{group.__module__}.{group.__name__}": group for group in SessionGroup.__subclasses__()
    }
    for name, value in public.items():
        yield name
        if isinstance(value, type) and not issubclass(value, Exception):
            yield from (
                f"{name}.{member}"
                for member, method in vars(value).items()
                if not member.startswith("_") and callable(method) and method.__doc__
            )


if __name__ == "__main__":
    sys.exit(main())
