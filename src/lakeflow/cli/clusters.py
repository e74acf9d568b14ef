"""Commands for clusters that several jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.deploy_options import ComputeGroup

if TYPE_CHECKING:
    from lakeflow.resources.clusters import Cluster


def create_cluster(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the cluster (default: lakeflow-USER)."),
    ] = None,
    where: ComputeGroup = ComputeGroup(),
    common: Common = Common(),
) -> None:
    """Create a cluster that several jobs can share, or start the one of that name; print its id.

    \b
    Example:
      lakeflow create-cluster --max-workers 4
    """
    launcher = common.launcher()
    _emit(launcher.clusters.create(name, compute=where.checked()), common)


def ensure_cluster_running(
    cluster_id: Annotated[str, typer.Argument(metavar="CLUSTER", help="Id of the cluster.")],
    common: Common = Common(),
) -> None:
    """Start a cluster unless it is up, wait until it is running, and print its id.

    \b
    Example:
      lakeflow ensure-cluster-running 0202-235755-w37hoxe8
    """
    launcher = common.launcher()
    _emit(launcher.clusters.ensure_running(cluster_id), common)


def _emit(cluster: Cluster, common: Common) -> None:
    details = {"cluster_id": cluster.id, "name": cluster.name, "state": cluster.state}
    common.emit(details, [cluster.id])
