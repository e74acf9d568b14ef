"""`lakeflow doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.options import (
    print_json,
)

_CANNOT = 4


def doctor(
    common: Common = Common(),
) -> None:
    """Look at what is configured and whether it works; exit code 4 where something does not.

    It writes one small file where wheels go and removes it again: nothing else tells whether that
    is allowed. With --quiet only problems are printed.

    \b
    Examples:
      lakeflow doctor
      lakeflow doctor --profile staging --output json
    """
    launcher = common.launcher(silent=True)
    findings = []
    for finding in launcher.examine():
        findings.append(finding)
        if common.as_json or (common.quiet and finding.state != "problem"):
            continue
        typer.echo(f"{finding.state:<8} {finding.what:<14} {finding.found}")
        if finding.remedy:
            typer.echo(f"{'':<23} {finding.remedy}")
    if common.as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(_CANNOT)
