"""Errors of commands, printed on stderr and turned into exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from lakeflow.cli.escaping import escaped
from lakeflow.errors import LakeflowError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it for SIGINT."""

INTERNAL_ERROR = 70
"""Exit code of an error in lakeflow itself, as sysexits.h has it (EX_SOFTWARE)."""

_FOR_TYPER: tuple[type[Exception], ...] = (
    typer.Exit,
    typer.Abort,
    *(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)
"""What typer prints, or turns into an exit code."""


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """Print the text of an error and exit with its code."""
    try:
        yield
    except LakeflowError as error:
        _print(str(error))
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output has closed it; typer handles that
            raise
        discard_output()
        _print(str(error))
        raise typer.Exit(1) from None
    except _FOR_TYPER:
        raise
    except Exception as error:
        raise typer.Exit(_show_internal(error)) from None
    except KeyboardInterrupt:
        _print("interrupted\nhint: type the same command again to resume")
        raise typer.Exit(INTERRUPTED) from None


def _print(text: str) -> None:
    """Print an error on stderr. Names in it may hold control characters: they are escaped."""
    typer.echo(escaped(f"lakeflow: {text}", keep="\n\t"), err=True)


def _show_internal(error: Exception) -> int:
    """Print an error that nobody foresaw on two lines, or with --verbose its traceback."""
    if "--verbose" in sys.argv:
        traceback.print_exception(error)
    *_, last = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(last.filename)}, line {last.lineno}"
    _print(
        f"internal error: {type(error).__name__}: {error} ({place})\n"
        "hint: please report it with the output of the same command with --verbose"
    )
    return INTERNAL_ERROR


def discard_output() -> None:
    """Keep Python from writing the rest of the output again, and failing again, when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
