"""Errors of commands, printed on stderr and turned into exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

import typer

from lakeflow.errors import LakeflowError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it for SIGINT."""


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """Print the text of an error and exit with its code."""
    try:
        yield
    except LakeflowError as error:
        typer.echo(f"lakeflow: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output has closed it; typer handles that
            raise
        discard_output()
        typer.echo(f"lakeflow: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("lakeflow: interrupted\nhint: type the same command again to resume", err=True)
        raise typer.Exit(INTERRUPTED) from None


def discard_output() -> None:
    """Keep Python from writing the rest of the output again, and failing again, when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
