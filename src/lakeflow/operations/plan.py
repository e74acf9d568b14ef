"""What a deploy would change: wheels, cluster and job of each target beside what there is."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.errors import Refused, UsageError
from lakeflow.resources import artifacts, cluster_settings, clusters, jobs, runs
from lakeflow.specs.compute import Compute
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import JobOptions, check_name
from lakeflow.wheels import compatibility
from lakeflow.wheels.manifest import Manifest
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.task_wheel import build_task_wheel

if TYPE_CHECKING:
    from lakeflow.client.workspace import Workspace
    from lakeflow.resources.artifacts import Artifact
    from lakeflow.resources.cluster_settings import NewCluster
    from lakeflow.resources.clusters import Cluster


_log = logging.getLogger(__name__)

_AT_ONCE = 8
"""Requests side by side."""

_SETTLING_SECONDS = 2.0
"""How long two jobs of one target may be there until that counts as wrong (`jobs.create`)."""


@dataclass(frozen=True)
class Target:
    """A target with the wheels of its job, `lakeflow_task` first, then leaves first."""

    address: str
    job_name: str
    wheel: StampedWheel
    wheels: tuple[StampedWheel, ...]
    pythons: tuple[compatibility.Python, ...]


@dataclass(frozen=True)
class Plan:
    """A target beside what the workspace has for it."""

    target: Target
    identity: str
    root: str
    artifacts: tuple[Artifact, ...]
    cluster: Cluster | NewCluster | jobs.PerRun | jobs.Serverless
    job: jobs.Job | None
    changes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    """Settings of the cluster that are to change, each with what it is and what it is to be."""
    in_the_way: tuple[str, ...] = ()
    """Wheels that the cluster has installed over those of the job."""
    keep: bool = False
    """Whether the job stays as it is besides its code."""


def check(request: DeployRequest, manifest: Manifest) -> None:
    """Raises UsageError for options that contradict each other, Refused for nothing to run."""
    request.compute.check()
    if request.name is not None and len(manifest.roots) > 1:
        raise UsageError(f"--name names one job, and {len(manifest.roots)} are to be deployed")
    if request.shared and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            "--shared needs LAKEFLOW_ROOT, a folder of a volume or under /Workspace/Shared: the "
            "default is your own folder, which others cannot use"
        )
    for root in manifest.roots:
        check_name(request.name if request.name is not None else root.wheel.distribution)
        compatibility.check_entry_point(root.wheel)


def targets(manifest: Manifest, request: DeployRequest, folder: Path) -> list[Target]:
    """The targets of a manifest, their wheels stamped in `folder`.

    Raises Refused where the wheels of one do not fit together.
    """
    wheels = [distribution.wheel for distribution in manifest.distributions]
    runner = build_task_wheel(folder / "task")
    all_stamped = stamp([runner, *wheels], folder / "stamped", manifest.code_needs)
    stamped = {one.wheel.name: one for one in all_stamped}
    for one in all_stamped:
        _warn_of_undeclared(one, manifest, stamped)
    found = []
    for root in manifest.roots:
        own = stamped[root.wheel.name]
        chain = {*own.needs, own.wheel.name} - {runner.name}
        needed = (stamped[runner.name], *(stamped[name] for name in stamped if name in chain))
        found.append(
            Target(
                address=root.address,
                job_name=request.name if request.name is not None else root.wheel.distribution,
                wheel=own,
                wheels=needed,
                pythons=compatibility.pythons_of([s.source for s in needed]),
            )
        )
    return found


def _warn_of_undeclared(
    wheel: StampedWheel, manifest: Manifest, stamped: Mapping[str, StampedWheel]
) -> None:
    """Say which requirement is missing: elsewhere the wheel would be installed without it."""
    for need in wheel.undeclared:
        needed = stamped[need].source
        _log.warning(
            "%s uses code of %s, but its wheel does not require it: %s %s is shipped with it\n"
            'hint: add "%s" to the dependencies of %s (in pyproject.toml: [project] dependencies)',
            manifest.address_of(wheel.source.name),
            manifest.address_of(need),
            needed.distribution,
            needed.version,
            needed.distribution,
            wheel.source.distribution,
        )


def plans(
    workspace: Workspace, project: str, targets: Sequence[Target], request: DeployRequest
) -> list[Plan]:
    """Each target beside what the workspace has for it. Only reads, most of it side by side.

    Raises Refused and UsageError for what cannot be done.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        named = [pool.submit(jobs.named, workspace, target.job_name) for target in targets]
        root = artifacts.root_of(workspace)
        _check_reader(workspace, request)
        distinct = {s.wheel.name: s for target in targets for s in target.wheels}
        store = pool.submit(artifacts.look_up, workspace, root, list(distinct.values()))
        looked = [
            pool.submit(_look, workspace, target, project, root, request, found.result())
            for target, found in zip(targets, named, strict=True)
        ]
        there = dict(zip(distinct, store.result(), strict=True))
        found = [
            replace(one.result(), artifacts=tuple(there[s.wheel.name] for s in target.wheels))
            for one, target in zip(looked, targets, strict=True)
        ]
        return list(pool.map(lambda plan: _in_the_way(workspace, plan, request), found))


def settings(plan: Plan, place: jobs.Place, options: JobOptions) -> dict[str, object]:
    """The settings that the job of a plan is to have."""
    target = plan.target
    made = jobs.settings_for(
        name=target.job_name,
        description=f"{target.address}, deployed by lakeflow",
        identity=plan.identity,
        root=plan.root,
        wheel=target.wheel,
        libraries=[(artifact.stamped, artifact.path) for artifact in plan.artifacts],
        place=place,
        options=options,
    )
    return jobs.kept(made, plan.job) if plan.keep and plan.job is not None else made


def place_of(plan: Plan, cluster_id: str | None) -> jobs.Place:
    """Where runs compute; `cluster_id` is that of a cluster that was made meanwhile."""
    if isinstance(plan.cluster, (jobs.PerRun, jobs.Serverless)):
        return plan.cluster
    known = plan.cluster.id if isinstance(plan.cluster, clusters.Cluster) else cluster_id
    assert known is not None
    return jobs.OnCluster(known)


def differs(plan: Plan, options: JobOptions) -> bool:
    """Whether the job has to be made or changed."""
    if plan.job is None or isinstance(plan.cluster, cluster_settings.NewCluster):
        return True
    return jobs.differs(settings(plan, place_of(plan, None), options), plan.job)


def _check_reader(workspace: Workspace, request: DeployRequest) -> None:
    """Refuse a job that runs as somebody who cannot read what is uploaded."""
    who = request.job.run_as
    if who is not None and who != workspace.me and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            f"--run-as {who} needs LAKEFLOW_ROOT, a folder of a volume or under /Workspace/Shared "
            f"that {who} can read and write: the default is your own folder, which others cannot "
            "use"
        )


def _look(
    workspace: Workspace,
    target: Target,
    project: str,
    root: str,
    request: DeployRequest,
    named: Sequence[jobs.Job],
) -> Plan:
    """The plan of a target, without the wheels."""
    identity = jobs.identity_of(project, target.address, None if request.shared else workspace.me)
    try:
        job = jobs.identified(named, identity)
    except Refused:  # two deploys at the same time have made them, and one is about to go
        time.sleep(_SETTLING_SECONDS)
        job = jobs.identified(jobs.named(workspace, target.job_name), identity)
    cluster = _cluster_for(workspace, target, identity, job, request)
    changes: Mapping[str, tuple[object, object]] = {}
    if isinstance(cluster, clusters.Cluster) and request.compute.cluster_id is None:
        changes = clusters.changes(workspace, cluster, request.compute, request.job.run_as)
    return Plan(target, identity, root, (), cluster, job, changes, keep=request.code_only)


def _in_the_way(workspace: Workspace, plan: Plan, request: DeployRequest) -> Plan:
    """The plan with the wheels that the cluster has to lose. Raises Refused where it is in use."""
    cluster, job = plan.cluster, plan.job
    if not isinstance(cluster, clusters.Cluster) or not differs(plan, request.job):
        return plan
    paths = [artifact.path for artifact in plan.artifacts]
    newer = clusters.in_the_way(workspace, cluster, paths)
    busy = newer and job is not None and runs.any_active(workspace, job.id)
    if newer and (busy or request.compute.cluster_id is not None):
        remedy = "wait for the job's runs to end" if busy else "leave out --cluster-id"
        raise Refused(
            f"the cluster {cluster.name} ({cluster.id}) has newer wheels of "
            f"{clusters.distributions_of(newer)} installed over these; detaching them and a "
            "restart would bring these back, but end what computes there. So "
            f"{remedy}, then deploy again."
        )
    return replace(plan, in_the_way=newer)


def _cluster_for(
    workspace: Workspace,
    target: Target,
    identity: str,
    job: jobs.Job | None,
    request: DeployRequest,
) -> Cluster | NewCluster | jobs.PerRun | jobs.Serverless:
    """Where the runs of a target are to compute."""
    compute = request.compute
    wheels = [stamped.source for stamped in target.wheels]

    def runner() -> str:
        return _runner(workspace, request, job)

    if request.code_only and job is not None and compute == Compute():
        task = job.settings.get("tasks", [{}])[0]
        there = task.get("new_cluster")
        if there:
            what = f"the cluster of each run of the job {job.name} ({job.id})"
            compatibility.check_runtime(there["spark_version"], target.pythons, what)
            node_type = str(there.get("node_type_id", ""))
            compatibility.check_machine(wheels, there["spark_version"], node_type, what)
            return jobs.PerRun(there)
        if task.get("environment_key"):
            compute = replace(compute, kind="serverless")
        elif job.cluster_id and not clusters.is_for(workspace, job.cluster_id, identity):
            compute = replace(compute, cluster_id=job.cluster_id)
    if compute.kind == "serverless":
        version = compatibility.serverless_environment(target.pythons)
        compatibility.check_serverless(wheels, version)
        return jobs.Serverless(version)
    if compute.kind == "per-run":
        return jobs.PerRun(cluster_settings.per_run(workspace, identity, wheels, compute, runner()))
    if compute.cluster_id is not None:
        return clusters.named(workspace, compute.cluster_id, wheels, runner())
    known = job.cluster_id if job else None
    pythons = target.pythons
    if compute.runtime is not None:  # a cluster is named for its Python, and keeps it
        pythons = tuple(p for p in pythons if p == compatibility.runtime_python(compute.runtime))
    found = clusters.find(workspace, target.job_name, identity, pythons, known)
    if found is None:
        return cluster_settings.plan_new(
            workspace, target.job_name, identity, wheels, compute, runner()
        )
    what = f"the cluster {found.name} ({found.id})"
    runtime, node_type = compute.runtime or found.runtime, compute.node_type or found.driver_type
    compatibility.check_machine(wheels, runtime, node_type, what)
    return found


def _runner(workspace: Workspace, request: DeployRequest, job: jobs.Job | None) -> str:
    """Who the runs act as: a job keeps who it runs as until somebody else is named."""
    if request.job.run_as is not None:
        return request.job.run_as
    if job is None:
        return workspace.me
    return job.run_as or jobs.get(workspace, job.id).run_as or workspace.me
