"""Clusters that several jobs can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.groups import ComputeGroup, with_groups
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

if TYPE_CHECKING:
    from lakeflow.clusters import Cluster


def add_to(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("create-cluster")(create_cluster)
    app.command("ensure-cluster-running")(ensure_cluster_running)


@with_groups
def create_cluster(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Its name (default: lakeflow- and your own)."),
    ] = None,
    where: ComputeGroup = ComputeGroup(),  # noqa: B008
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a cluster that several jobs can use, or find the one of that name; print its id.

    \b
    Example:
      lakeflow create-cluster --max-workers 4
    """
    launcher = open_launcher(local, profile, output, quiet=quiet, verbose=verbose)
    _show(launcher.create_cluster(name, compute=where.checked()), output)


def ensure_cluster_running(
    cluster_id: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's id.")],
    local: Local = False,
    profile: Profile = None,
    output: Output = Format.text,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Start a cluster where it is not up, wait until it is, and print its id.

    \b
    Example:
      lakeflow ensure-cluster-running 0202-235755-w37hoxe8
    """
    launcher = open_launcher(local, profile, output, quiet=quiet, verbose=verbose)
    _show(launcher.ensure_cluster_running(cluster_id), output)


def _show(cluster: Cluster, output: Format) -> None:
    if output is Format.json:
        print_json({"cluster_id": cluster.id, "name": cluster.name, "state": cluster.state})
    else:
        typer.echo(cluster.id)
