"""Plans as text, for --dry-run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import typer

from lakeflow.cli.escaping import escaped

if TYPE_CHECKING:
    from lakeflow.operations.changes import Change
    from lakeflow.operations.plan import DeployPlan


def print_plan(plan: DeployPlan) -> None:
    """Print what a deploy would do on stderr."""
    for line in plan_lines(plan):
        typer.echo(escaped(line), err=True)


def plan_lines(plan: DeployPlan) -> Iterator[str]:
    """Yield what a deploy would do, a line for each change and below it one for each field."""
    for target in plan.targets:
        yield f"plan for {target.target.address}:"
        for change in target.changes:
            for line in change_lines(change):
                yield f"  {line}"
        yield f"  compute: {target.compute.usage}"


def change_lines(change: Change) -> Iterator[str]:
    """Yield a change and, indented, its fields as `field: old -> new`."""
    from lakeflow.resources import field_diff

    after = change.after or {}
    if change.kind == "trigger":
        yield f"run: {shlex.join(cast(Sequence[str], after['argv']))}"
        return
    if change.resource.kind == "compute":
        yield str(change.resource)
        return
    if change.kind == "upload":
        yield f"{change.resource}: upload {after['bytes']:,} bytes"
        return
    yield f"{change.resource}: {change.kind}"
    for line in field_diff.render(change.fields):
        yield f"  {line}"
