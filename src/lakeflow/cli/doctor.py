"""`lakeflow doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from lakeflow.cli.options import (
    Format,
    Local,
    Output,
    Profile,
    Quiet,
    Verbose,
    open_launcher,
    print_json,
)

_CANNOT = 4


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("doctor")(doctor)


def doctor(
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look at what is configured and whether it works; exit code 4 where something does not.

    It writes one small file where wheels go and removes it again: nothing else tells whether that
    is allowed. With --quiet only problems are printed.

    \b
    Examples:
      lakeflow doctor
      lakeflow doctor --profile staging --output json
    """
    launcher = open_launcher(local, profile, output, quiet=True, verbose=verbose)
    findings = []
    for finding in launcher.examine():
        findings.append(finding)
        if output is Format.json or (quiet and finding.state != "problem"):
            continue
        typer.echo(f"{finding.state:<8} {finding.what:<14} {finding.found}")
        if finding.remedy:
            typer.echo(f"{'':<23} {finding.remedy}")
    if output is Format.json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(_CANNOT)
