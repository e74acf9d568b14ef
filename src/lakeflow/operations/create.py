"""The verbs that go from a folder to a job a step at a time, each of which can be typed by hand."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lakeflow.errors import UsageError
from lakeflow.operations import deploy
from lakeflow.operations.report import TargetReport
from lakeflow.operations.session import Session
from lakeflow.resources import cluster_settings, clusters, jobs
from lakeflow.resources.clusters import Cluster
from lakeflow.specs.compute import Compute
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import JobOptions
from lakeflow.wheels.manifest import Manifest, manifest_of, read_manifest

_log = logging.getLogger(__name__)


def compute_of(compute: Compute | None, max_workers: int | None, cluster_id: str | None) -> Compute:
    """Where runs compute, with the two options that have a name of their own."""
    found = compute or Compute()
    if max_workers is not None:
        found = replace(found, max_workers=max_workers)
    if cluster_id is not None:
        found = replace(found, cluster_id=cluster_id)
    return found


@contextmanager
def manifest_from(
    session: Session, manifest: Path | None, wheels: Sequence[Path | str]
) -> Iterator[Manifest]:
    """The manifest that is named, or one of the wheels that are: files, or paths in the workspace.

    Raises UsageError where both are given, and what reading them raises.
    """
    if manifest is not None:
        if wheels:
            raise UsageError("say wheels or --manifest, which names wheels itself: not both")
        yield read_manifest(manifest)
        return
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        words = [str(wheel) for wheel in wheels]
        yield manifest_of(deploy.fetch(session, words, Path(folder)))


def create_job(
    session: Session,
    name: str,
    wheels: Sequence[Path | str],
    *,
    compute: Compute,
    options: JobOptions | None,
    dry_run: bool,
) -> TargetReport:
    """Make a job of wheels, of which exactly one is needed by none of the others; runs nothing.

    A cluster that is named and TERMINATED is started.
    """
    request = DeployRequest(
        name=name,
        compute=compute,
        job=options or JobOptions(),
        start_cluster=compute.cluster_id is not None,
    )
    with manifest_from(session, None, wheels) as manifest:
        roots = [root.wheel.distribution for root in manifest.roots]
        if len(roots) > 1:
            raise UsageError(
                f"{', '.join(roots)}: none of these needs the others. A job is made of one package "
                "and of those that it needs; make one job of each."
            )
        return deploy.deploy(session, manifest, request, dry_run=dry_run).targets[0]


def create_cluster(session: Session, name: str | None, compute: Compute) -> Cluster:
    """The cluster of the user's with this name: made where there is none, else up or started.

    Raises Refused where the workspace offers nothing that fits, and UsageError for options that
    contradict each other.
    """
    if compute.kind != "cluster" or compute.cluster_id is not None:
        raise UsageError("a cluster is made without --compute and --cluster-id")
    compute.check()
    workspace = session.workspace
    name = name or f"lakeflow-{workspace.me.partition('@')[0]}"
    identity = jobs.identity_of("cluster", name, workspace.me)
    found = clusters.with_identity(workspace, name, identity)
    if found is not None:
        changes = clusters.changes(workspace, found, compute, workspace.me)
        did = f"there already ({found.state})"
        if changes:
            clusters.change(workspace, found, changes)
            did = f"changed, {clusters.told(changes)}"
        if clusters.start(workspace, found):
            did += ", started"
        _log.info(f"cluster {name} ({found.id}): {did}")
        return found
    planned = cluster_settings.plan_new(workspace, name, identity, (), compute, workspace.me)
    planned = replace(planned, name=name, settings={**planned.settings, "cluster_name": name})
    made = clusters.create(workspace, planned, identity)
    _log.info(f"cluster {name} ({made.id}): made, {cluster_settings.described(made.settings)}")
    return made


def ensure_cluster_running(session: Session, cluster_id: str) -> Cluster:
    """Start a cluster where it is not up, and wait until it is RUNNING.

    Raises UsageError where there is none, and LakeflowError where it ends instead.
    """
    workspace = session.workspace
    cluster = clusters.get(workspace, cluster_id)
    if cluster is None:
        raise UsageError(f"there is no cluster {cluster_id!r} in {workspace.host}")
    if clusters.start(workspace, cluster):
        _log.info(f"cluster {cluster.name} ({cluster.id}): started")
    return clusters.running(workspace, cluster_id)
