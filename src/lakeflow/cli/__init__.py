"""The command `lakeflow`, with one module for each group of commands."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import typer

from lakeflow import __version__
from lakeflow.cli.error_messages import discard_output, errors_shown
from lakeflow.cli.lazy_group import LazyGroup
from lakeflow.client import redaction


class _Lakeflow(LazyGroup):
    lazy_subcommands: ClassVar[Mapping[str, str]] = {
        "deploy": "deploy:deploy",
        "mcp": "mcp:mcp",
        "create-job-from-source": "source:create_job_from_source",
        "build-wheel": "source:build_wheel",
        "upload-wheel": "source:upload_wheel",
        "create-job": "source:create_job",
        "create-cluster": "clusters:create_cluster",
        "ensure-cluster-running": "clusters:ensure_cluster_running",
        "trigger-run": "runs:trigger_run",
        "wait": "runs:wait",
        "list-job-runs": "runs:list_job_runs",
        "get-run": "runs:get_run",
        "get-run-logs": "runs:get_run_logs",
        "outputs": "fs:outputs",
        "cancel-run": "runs:cancel_run",
        "repair-run": "runs:repair_run",
        "open": "jobs:open_page",
        "list-jobs": "jobs:list_jobs",
        "delete-job": "jobs:delete_job",
        "fs": "fs:app",
        "secrets": "secrets:app",
        "gc": "gc:gc",
        "doctor": "doctor:doctor",
        "local": "local:app",
    }

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with errors_shown():
            return super().invoke(ctx)


app = typer.Typer(
    name="lakeflow",
    cls=_Lakeflow,
    help="Run Python packages as massively parallel jobs on Databricks, or on this machine.\n\n"
    "\b\n"
    "Examples:\n"
    "  lakeflow doctor\n"
    "  lakeflow list-jobs\n"
    '  lakeflow trigger-run 123456 "an argument" --wait\n\n'
    "Results are printed on stdout, progress on stderr. Exit codes: 0 success, 1 a run failed, "
    "2 wrong usage, 3 refused before anything was changed, 4 the workspace is not reachable or "
    "denied the request, 70 an error in lakeflow itself, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"lakeflow {__version__}")
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


def main() -> None:
    """Run the command.

    Characters that a stream cannot encode are written as escapes, and credentials are redacted in
    all that is written as text, tracebacks and warnings included.
    """
    redaction.credentials.hide_environment()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, redaction.RedactedOutput(stream, redaction.credentials))
    try:
        app(prog_name="lakeflow")
    except OSError as error:  # of help, which is printed before a command is invoked
        discard_output()
        with contextlib.suppress(OSError):
            typer.echo(f"lakeflow: {error}", err=True)
        sys.exit(1)
