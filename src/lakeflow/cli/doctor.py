"""`lakeflow doctor`."""

from __future__ import annotations

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.escaping import escaped

_EXIT_CODE = 4


def doctor(
    common: Common = Common(),
) -> None:
    """Check the configuration and the workspace; exit code 4 if something does not work.

    Writes a small file to the artifact store and removes it, to check that uploads are allowed.
    With --quiet only problems are printed.

    \b
    Examples:
      lakeflow doctor
      lakeflow doctor --profile staging --output json
    """
    launcher = common.launcher(silent=True)
    findings = []
    for finding in launcher.diagnose():
        findings.append(finding)
        if common.as_json or (common.quiet and finding.state != "problem"):
            continue
        found = escaped(finding.found, keep="\n\t")
        typer.echo(f"{finding.state:<8} {finding.what:<14} {found}")
        if finding.remedy:
            typer.echo(f"{'':<23} {finding.remedy}")
    if common.as_json:
        common.emit(findings)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(_EXIT_CODE)
