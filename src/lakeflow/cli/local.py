"""`lakeflow local up|down|status|token|open|reset|env`: the local workspace."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from lakeflow.cli.lazy_group import Doors
from lakeflow.cli.options import Format, Output, Yes, confirmed, print_json
from lakeflow.client.local_workspace import translated_errors
from lakeflow.errors import Refused


class _Local(Doors):
    rooms: ClassVar[Mapping[str, str]] = {
        "up": "local:up",
        "down": "local:down",
        "status": "local:status",
        "token": "local:token",
        "reset": "local:reset",
        "open": "local:open_page",
        "env": "local:env",
    }

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with the local workspace's errors as ours."""
        with translated_errors():
            return super().invoke(ctx)


if TYPE_CHECKING:
    from lakeflow_local.daemon import Endpoint

User = Annotated[
    str | None,
    typer.Option(
        "--user",
        help="As whom, who is made where there is none (default: as whose workspace it is).",
    ),
]

app = typer.Typer(
    cls=_Local,
    help="The local workspace: it speaks Databricks' API and runs jobs on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def up(
    port: Annotated[
        int | None, typer.Option("--port", help="The port to listen on (default: 8453 if free).")
    ] = None,
    max_processes: Annotated[
        int | None,
        typer.Option(
            "--max-processes", min=1, help="How many tasks run at once (default: the cores, or 4)."
        ),
    ] = None,
    task_memory: Annotated[
        int | None,
        typer.Option("--task-memory", min=64, help="MiB that each process of a task may have."),
    ] = None,
    any_python: Annotated[
        bool,
        typer.Option(
            "--any-python",
            help="Where the Python of a runtime is missing, run its tasks in the nearest there is.",
        ),
    ] = False,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="A file of rules for faults on demand (TOML).")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            help="The address to listen on; 0.0.0.0 is every one (default: 127.0.0.1, which nobody"
            " else reaches).",
        ),
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--no-tls",
            help="Speak https, with a certificate of its own (default: as the last time, else no).",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.text,
) -> None:
    """Start the local workspace where it isn't up, and print its address.

    \b
    Example:
      lakeflow local up
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
    _print_host(endpoint.host, output)


def down(output: Output = Format.text) -> None:
    """Stop the local workspace; what it holds is kept.

    \b
    Example:
      lakeflow local down
    """
    from lakeflow_local import daemon

    daemon.down()
    if output is Format.json:
        _print_host(None, output)


def status(output: Output = Format.text) -> None:
    """Print the address of the local workspace; exit code 1 where it is not up.

    \b
    Example:
      lakeflow local status
    """
    from lakeflow_local import daemon

    endpoint = daemon.find()
    if endpoint is not None:
        _print_host(endpoint.host, output)
        return
    if output is Format.json:
        _print_host(None, output)
    typer.echo("the local workspace is not up", err=True)
    raise typer.Exit(1)


def reset(yes: Yes = False, output: Output = Format.text) -> None:
    """Stop the local workspace and delete all that it holds: jobs, runs, files.

    \b
    Example:
      lakeflow local reset --yes
    """
    from lakeflow_local import daemon

    if not confirmed("Delete all jobs, runs and files of the local workspace?", yes):
        raise Refused("nothing was deleted")
    daemon.reset()
    if output is Format.json:
        _print_host(None, output)


def token(
    name: Annotated[
        str, typer.Argument(help="A user (ann@example.com) or a service principal (etl-robot).")
    ],
    admin: Annotated[
        bool | None,
        typer.Option(
            "--admin/--no-admin",
            help="Whether they may do everything (default: as it is, else no).",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.text,
) -> None:
    """Print the token of a user or service principal, who is made where there is none.

    They may do what others grant them, as on Databricks.

    \b
    Example:
      lakeflow local token bob@example.com
    """
    from lakeflow_local import daemon

    found = daemon.token(daemon.ensure_up(), name, is_admin=admin)
    if output is Format.json:
        print_json({"name": name, "token": found})
    else:
        typer.echo(found)


def open_page(user: User = None, output: Output = Format.text) -> None:
    """Print a link to the local workspace's page; it logs a browser in, once.

    \b
    Example:
      lakeflow local open
    """
    from lakeflow_local import daemon

    url = daemon.page_link(_endpoint(user))
    if output is Format.json:
        print_json({"url": url})
    else:
        typer.echo(url)


def env(user: User = None, output: Output = Format.text) -> None:
    """Print shell commands that point any Databricks client at the local workspace.

    \b
    Example:
      eval "$(lakeflow local env)"
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
        print_json(variables)
        return
    typer.echo("unset DATABRICKS_CONFIG_PROFILE")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _endpoint(user: str | None) -> Endpoint:
    """The local workspace, up, as a user of it."""
    from lakeflow_local import daemon

    endpoint = daemon.ensure_up()
    return endpoint if user is None else replace(endpoint, token=daemon.token(endpoint, user))


def _print_host(host: str | None, output: Format) -> None:
    """The address; null where it is not up."""
    if output is Format.json:
        print_json({"host": host})
    else:
        typer.echo(host)
