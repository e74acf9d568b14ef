"""`lakeflow local up|down|status|open|reset|env`: the local workspace."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The local workspace: it speaks Databricks' API and runs jobs on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option("--port", help="The port to listen on (default: 8453 if free).")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="A file of rules for faults on demand (TOML).")
    ] = None,
) -> None:
    """Start the local workspace where it isn't up, and print its address."""
    from lakeflow.local import daemon

    typer.echo(daemon.ensure_up(port=port, faults=faults).host)


@app.command()
def down() -> None:
    """Stop the local workspace; what it holds is kept."""
    from lakeflow.local import daemon

    daemon.down()


@app.command()
def status() -> None:
    """Print the address of the local workspace; exit code 1 where it is not up."""
    from lakeflow.local import daemon

    endpoint = daemon.find()
    if endpoint is None:
        typer.echo("the local workspace is not up", err=True)
        raise typer.Exit(1)
    typer.echo(endpoint.host)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Stop the local workspace and delete all that it holds: jobs, runs, files."""
    from lakeflow.local import daemon

    if not yes:
        typer.confirm("Delete all jobs, runs and files of the local workspace?", abort=True)
    daemon.reset()


@app.command("open")
def open_page() -> None:
    """Print a link to the local workspace's page; it logs a browser in, once."""
    from lakeflow.local import daemon

    typer.echo(daemon.page_link(daemon.ensure_up()))


@app.command()
def env() -> None:
    """Print shell commands that point any Databricks client at the local workspace.

    \b
    Example:
      eval "$(lakeflow local env)"
    """
    from lakeflow.local import daemon

    endpoint = daemon.ensure_up()
    typer.echo("unset DATABRICKS_CONFIG_PROFILE")
    typer.echo("export DATABRICKS_AUTH_TYPE=pat")
    typer.echo(f"export DATABRICKS_HOST={shlex.quote(endpoint.host)}")
    typer.echo(f"export DATABRICKS_TOKEN={shlex.quote(endpoint.token)}")
