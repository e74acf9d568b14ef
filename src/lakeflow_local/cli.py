"""The command `lakeflow-local`. Every command is one call of the daemon's interface."""

from __future__ import annotations

import errno
import json
import shlex
import sys
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow_local import __version__
from lakeflow_local.errors import LocalWorkspaceError, Refused, UsageError

if TYPE_CHECKING:
    from lakeflow_local.daemon import Endpoint

# The daemon is imported by each command, so that help and completion stay fast.

COMMAND = "lakeflow-local"


class Format(str, Enum):
    """How results are printed."""

    text = "text"
    json = "json"


Output = Annotated[Format, typer.Option("--output", help="How to print results.")]
User = Annotated[
    str | None,
    typer.Option(
        "--user",
        help="The user or service principal, created if necessary (default: the owner of the"
        " workspace).",
    ),
]

app = typer.Typer(
    name=COMMAND,
    help="A local Databricks workspace: it speaks the REST API and runs jobs on this machine.\n\n"
    "\b\n"
    "Examples:\n"
    "  lakeflow-local up\n"
    '  eval "$(lakeflow-local env)"\n'
    "  lakeflow-local open\n\n"
    "Results are printed on stdout, errors on stderr. Exit codes: 0 success, 1 the workspace is not"
    " running, 2 invalid usage, 3 refused, 4 the workspace failed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"{COMMAND} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option("--port", help="The port to listen on (default: the last one, else 8453)."),
    ] = None,
    max_processes: Annotated[
        int | None,
        typer.Option(
            "--max-processes",
            min=1,
            help="Maximum number of tasks that run at once (default: the number of cores, at least"
            " 4).",
        ),
    ] = None,
    task_memory: Annotated[
        int | None,
        typer.Option("--task-memory", min=64, help="Memory limit of a task's process, in MiB."),
    ] = None,
    any_python: Annotated[
        bool,
        typer.Option(
            "--any-python",
            help="If the Python of a runtime is not installed, use the nearest version that is.",
        ),
    ] = False,
    faults: Annotated[
        Path | None,
        typer.Option("--faults", help="A TOML file with rules for injected faults."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            help="The address to listen on; 0.0.0.0 for all (default: 127.0.0.1, which only this"
            " machine can reach).",
        ),
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--no-tls",
            help="Serve https with the workspace's own certificate (default: as last time, else"
            " no).",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.text,
) -> None:
    """Start the local workspace and print its address.

    A workspace that is already running is kept.

    \b
    Example:
      lakeflow-local up
    """
    from lakeflow_local import daemon

    endpoint = daemon.ensure_up(
        port=port,
        max_processes=max_processes,
        task_memory=task_memory,
        any_python=any_python,
        faults=faults,
        tls=tls,
        listen=listen,
    )
    if endpoint.notice is not None:
        typer.echo(endpoint.notice, err=True)
    _print_host(endpoint.host, output)


@app.command()
def down(output: Output = Format.text) -> None:
    """Stop the local workspace.

    Its jobs, runs and files are kept.

    \b
    Example:
      lakeflow-local down
    """
    from lakeflow_local import daemon

    daemon.down()
    if output is Format.json:
        _print_host(None, output)


@app.command()
def status(output: Output = Format.text) -> None:
    """Print the address of the local workspace.

    The exit code is 1 if it is not running.

    \b
    Example:
      lakeflow-local status
    """
    from lakeflow_local import daemon

    endpoint = daemon.find()
    if endpoint is not None:
        _print_host(endpoint.host, output)
        return
    if output is Format.json:
        _print_host(None, output)
    typer.echo("the local workspace is not running", err=True)
    raise typer.Exit(1)


@app.command()
def token(
    name: Annotated[
        str, typer.Argument(help="A user (ann@example.com) or a service principal (etl-robot).")
    ],
    admin: Annotated[
        bool | None,
        typer.Option(
            "--admin/--no-admin",
            help="Grant or revoke admin rights (default: unchanged; none for new principals).",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.text,
) -> None:
    """Print the token of a user or service principal.

    It is created if necessary, and has the permissions that others grant it, as on Databricks.

    \b
    Example:
      lakeflow-local token bob@example.com
    """
    from lakeflow_local import daemon

    value = daemon.token(daemon.ensure_up(), name, is_admin=admin)
    if output is Format.json:
        _print_json({"name": name, "token": value})
    else:
        typer.echo(value)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    output: Output = Format.text,
) -> None:
    """Stop the local workspace and delete its content.

    That is all jobs, runs, files and secrets.

    \b
    Example:
      lakeflow-local reset --yes
    """
    from lakeflow_local import daemon

    question = "Delete all jobs, runs, files and secrets of the local workspace?"
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{question} There is no terminal to ask.\nhint: pass --yes")
        if not typer.confirm(question, err=True):
            raise Refused("nothing was deleted")
    daemon.reset()
    if output is Format.json:
        _print_host(None, output)


@app.command("open")
def open_ui(user: User = None, output: Output = Format.text) -> None:
    """Print a link to the web UI.

    The link logs a browser in. It works once, within five minutes.

    \b
    Example:
      lakeflow-local open
    """
    from lakeflow_local import daemon

    url = daemon.page_link(_endpoint(user))
    if output is Format.json:
        _print_json({"url": url})
    else:
        typer.echo(url)


@app.command()
def env(user: User = None, output: Output = Format.text) -> None:
    """Print shell commands that configure Databricks clients.

    They point the Databricks CLI, SDKs and other clients at the local workspace.

    \b
    Example:
      eval "$(lakeflow-local env)"
    """
    from lakeflow_local import daemon

    endpoint = _endpoint(user)
    variables = {
        "DATABRICKS_AUTH_TYPE": "pat",
        "DATABRICKS_HOST": endpoint.host,
        "DATABRICKS_TOKEN": endpoint.token,
        **daemon.trust_variables(endpoint),
    }
    if output is Format.json:
        _print_json(variables)
        return
    typer.echo("unset DATABRICKS_CONFIG_PROFILE")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Run the command of the command line and exit with its code."""
    try:
        app(prog_name=COMMAND)
    except LocalWorkspaceError as error:
        typer.echo(f"{COMMAND}: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        typer.echo(f"{COMMAND}: {error}", err=True)
        sys.exit(1)


def _endpoint(user: str | None) -> Endpoint:
    """Return the running workspace with the token of a user."""
    from lakeflow_local import daemon

    endpoint = daemon.ensure_up()
    return endpoint if user is None else replace(endpoint, token=daemon.token(endpoint, user))


def _print_host(host: str | None, output: Format) -> None:
    """Print the address; null in JSON if the workspace is not running."""
    if output is Format.json:
        _print_json({"host": host})
    else:
        typer.echo(host)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
