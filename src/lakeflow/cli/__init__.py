"""The command `lakeflow`: a door without logic, one module for each group of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lakeflow import __version__
from lakeflow.cli import clusters, deploy, doctor, fs, gc, local, runs, secrets, source
from lakeflow.cli.errors import Doors

app = typer.Typer(
    name="lakeflow",
    cls=Doors,
    help="Launch massively parallel jobs on Databricks, or for real on this machine.\n\n"
    "\b\n"
    "Examples:\n"
    "  lakeflow doctor\n"
    "  lakeflow list-jobs\n"
    '  lakeflow trigger-run 123456 "an argument" --wait\n\n'
    "Results are printed on stdout, progress on stderr. Exit codes: 0 done, 1 a run failed, "
    "2 wrong usage, 3 refused before anything was changed, 4 the workspace is not reachable or "
    "does not allow it, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lakeflow {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


deploy.add_to(app)
source.add_to(app)
clusters.add_to(app)
runs.add_to(app)
fs.add_to(app)
doctor.add_to(app)
gc.add_to(app)
app.add_typer(secrets.app, name="secrets")
app.add_typer(local.app, name="local")


def main() -> None:
    """The entry point of the command."""
    app(prog_name="lakeflow")
