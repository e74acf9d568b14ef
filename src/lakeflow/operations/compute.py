"""Compute of a deploy: choose it, compare it with what exists, create or change it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lakeflow.client.http_errors import ApiError
from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused, WorkspaceError
from lakeflow.operations import changes, gc
from lakeflow.operations.changes import Change, Resource
from lakeflow.operations.session import Session
from lakeflow.resources import (
    cluster_libraries,
    cluster_settings,
    clusters,
    field_diff,
    jobs,
    permissions,
    runs,
)
from lakeflow.resources.clusters import Cluster
from lakeflow.resources.field_diff import FieldChanges
from lakeflow.resources.node_types import ServerlessOnly
from lakeflow.resources.permissions import Permission
from lakeflow.specs.compute import (
    Compute,
    ExistingCluster,
    NewCluster,
    PerRunCluster,
    Placement,
    Serverless,
)
from lakeflow.specs.deploy import DeployRequest
from lakeflow.wheels import compatibility
from lakeflow.wheels.compatibility import Python
from lakeflow.wheels.wheel import Wheel

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComputePlan:
    """Where the runs of a job compute, and what has to happen to its cluster first.

    `cluster` is the existing cluster, if any, `updates` its settings to change, `conflicts` the
    installed wheels to detach before a restart. `is_own` is true for a cluster that was or will be
    created for the job; only such a cluster is changed. With `start` the cluster is to be up
    afterwards; one that was `created` without is terminated again (`release`).
    """

    placement: Placement
    identity: str
    cluster: Cluster | None = None
    is_own: bool = False
    start: bool = False
    created: bool = False
    updates: FieldChanges = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The compute as changes; compute that stays as it is has the kind `unchanged`."""
        if isinstance(self.placement, NewCluster):
            resource = Resource("cluster", self.placement.name)
            found = [Change("create", resource, None, field_diff.flatten(self.placement.settings))]
        elif self.cluster is None:
            found = [Change("unchanged", Resource("compute", self.placement.describe()))]
        else:
            resource = Resource("cluster", self.cluster.name, self.cluster.id)
            found = []
            if self.updates:
                found.append(changes.update(resource, clusters.changed_fields(self.updates)))
            if self.conflicts:
                found.append(Change("restart", resource, {"libraries": list(self.conflicts)}, {}))
            found = found or [Change("unchanged", resource)]
            if self.start and not self.cluster.is_up and not self.conflicts:
                found.append(Change("start", resource))
        if self.permissions:
            found.append(changes.grant(resource, self.permissions))
        return tuple(found)

    @property
    def usage(self) -> str:
        """What is started, and how long it is billed without work."""
        placement = self.placement
        if isinstance(placement, PerRunCluster):
            return "each run starts a cluster, which terminates when the run ends"
        if isinstance(placement, Serverless):
            return "nothing is started; serverless compute is billed while runs use it"
        if isinstance(placement, NewCluster):
            if not self.start:
                return "the cluster is terminated after the deploy, until a run starts it"
            return f"the cluster is started and {_idle(placement.settings)}"
        assert self.cluster is not None
        idle = _idle({**self.cluster.settings, **{k: new for k, (_, new) in self.updates.items()}})
        if self.cluster.is_up:
            return f"the cluster is up and {idle}"
        if self.start:
            return f"the cluster is started and {idle}"
        return "nothing is started; the cluster stays terminated until a run starts it"


def _idle(settings: Mapping[str, object]) -> str:
    minutes = settings.get("autotermination_minutes")
    if minutes:
        return f"terminates after {minutes} idle minutes"
    if minutes is None and "policy_id" in settings:
        return "terminates when its policy says"
    return "never terminates by itself"


def plan(
    workspace: Workspace,
    request: DeployRequest,
    job_name: str,
    identity: str,
    job: jobs.Job | None,
    wheels: Sequence[Wheel],
    pythons: Sequence[Python],
) -> ComputePlan:
    """Choose the compute of a job and compare it with what exists. Only reads.

    Raises Refused for what the workspace does not have or the wheels are not compatible with.
    """
    compute = request.compute

    def run_as() -> str:
        return _run_as(workspace, request, job)

    if request.code_only and job is not None and compute == Compute():
        task = job.settings.get("tasks", [{}])[0]
        settings = task.get("new_cluster")
        if settings:
            what = f"the cluster of each run of the job {job.name} ({job.id})"
            runtime, node_type = settings["spark_version"], str(settings.get("node_type_id", ""))
            compatibility.check_runtime(runtime, pythons, what)
            compatibility.check_machine(wheels, runtime, node_type, what)
            return ComputePlan(PerRunCluster(settings), identity)
        if task.get("environment_key"):
            compute = replace(compute, kind="serverless")
        elif job.cluster_id and clusters.belongs_to_others(workspace, job.cluster_id, identity):
            compute = replace(compute, cluster_id=job.cluster_id)
    if compute.kind == "serverless":
        return serverless(compute, identity, wheels, pythons)
    if compute.kind == "per-run":
        new = cluster_settings.per_run_cluster(workspace, identity, wheels, compute, run_as())
        return ComputePlan(new, identity)
    start = bool(request.calls) or request.start_cluster
    if compute.cluster_id is not None:
        named = clusters.get_compatible(workspace, compute.cluster_id, wheels, run_as())
        return ComputePlan(_existing(named), identity, named, start=start)
    if compute.runtime is not None:  # a cluster is named for its Python, and keeps it
        pythons = tuple(p for p in pythons if p == compatibility.runtime_python(compute.runtime))
    known_id = job.cluster_id if job else None
    found = clusters.find_for_job(workspace, job_name, identity, pythons, known_id)
    if found is None:
        user = run_as()
        try:
            created = cluster_settings.new_cluster(
                workspace, job_name, identity, wheels, compute, user
            )
        except ServerlessOnly:
            if not compute.allows_serverless:
                raise
            return serverless(compute, identity, wheels, pythons, only=True)
        requested = _cluster_permissions(workspace, request, user)
        return ComputePlan(created, identity, is_own=True, start=start, permissions=requested)
    what = f"cluster {found.name} ({found.id})"
    runtime, node_type = compute.runtime or found.runtime, compute.node_type or found.driver_type
    compatibility.check_machine(wheels, runtime, node_type, what)
    requested = _cluster_permissions(workspace, request, request.job.run_as)
    return ComputePlan(
        _existing(found),
        identity,
        found,
        is_own=True,
        start=start,
        updates=clusters.differences(workspace, found, compute, request.job.run_as),
        permissions=permissions.missing(workspace, "clusters", found.id, requested),
    )


def serverless(
    compute: Compute,
    identity: str,
    wheels: Sequence[Wheel],
    pythons: Sequence[Python],
    *,
    only: bool = False,
) -> ComputePlan:
    """Return serverless compute, with `only` because the workspace has nothing else.

    Raises Refused for wheels that it cannot run.
    """
    version = compatibility.serverless_environment(pythons)
    compatibility.check_serverless(wheels, version)
    if only:
        unused = "" if compute == Compute() else "; options of clusters do not apply"
        _log.info(f"this workspace offers only serverless compute: runs use it{unused}")
    return ComputePlan(Serverless(version, compute.performance_target), identity)


def check_conflicts(
    workspace: Workspace, compute: ComputePlan, job: jobs.Job | None, paths: Sequence[str]
) -> ComputePlan:
    """Return the plan with the installed wheels that hide those of `paths`.

    Raises Refused if the cluster would have to be restarted and is in use.
    """
    cluster = compute.cluster
    if cluster is None:
        return compute
    conflicts = cluster_libraries.conflicting_wheels(workspace, cluster, paths)
    busy = bool(conflicts) and job is not None and runs.any_active(workspace, job.id)
    if conflicts and (busy or not compute.is_own):
        remedy = "wait for the job's runs to finish, then deploy again."
        if not compute.is_own:
            remedy = (
                "detach them in the workspace and restart the cluster, or leave out --cluster-id "
                "to use one that belongs to the job."
            )
        raise Refused(
            f"cluster {cluster.name} ({cluster.id}) has newer wheels of "
            f"{cluster_libraries.distribution_names(conflicts)} installed over these. Detaching "
            "them requires a restart, which would cancel its running work.\n"
            f"hint: {remedy}"
        )
    return replace(compute, conflicts=conflicts)


def ensure(session: Session, plan: ComputePlan) -> ComputePlan:
    """Create, change, restart or start the cluster as planned; return the compute that results."""
    workspace = session.workspace
    placement, cluster = plan.placement, plan.cluster
    if isinstance(placement, NewCluster):
        cluster, is_new = clusters.create(workspace, placement, plan.identity)
        _log.info(f"{placement.describe()}: created, id {cluster.id}")
        plan = replace(plan, created=is_new)
        placement = _existing(cluster)
    elif cluster is None:
        _log.info(f"compute: {placement.describe()}")
        return plan
    else:
        done = f"unchanged, {cluster.state}"
        if plan.updates:
            clusters.update(workspace, cluster, plan.updates)
            fields = clusters.changed_fields(plan.updates)
            done = f"updated, {', '.join(field_diff.render(fields))}"
        if plan.conflicts:
            cluster_libraries.detach_and_restart(workspace, cluster, plan.conflicts)
            names = cluster_libraries.distribution_names(plan.conflicts)
            done = f"restarted without newer wheels of {names}"
        elif plan.start and clusters.start(workspace, cluster):
            done = f"{done}, starting" if plan.updates else f"starting (was {cluster.state})"
        _log.info(f"{placement.describe()}: {done}")
    if plan.permissions:
        permissions.grant(workspace, "clusters", cluster.id, plan.permissions)
        _log.info(f"granted on cluster {cluster.id}: {permissions.describe(plan.permissions)}")
    return replace(plan, placement=placement, cluster=cluster)


def detach_superseded(
    session: Session, compute: ComputePlan, root: str, paths: Sequence[str]
) -> None:
    """Detach from an all-purpose cluster the wheels that those of `paths` have superseded.

    Wheels that a job's settings or an active run still name stay. It acts when the cluster starts
    the next time; without the permission (CAN_MANAGE) nothing is detached.
    """
    workspace, cluster = session.workspace, compute.cluster
    if cluster is None or compute.created:
        return
    try:
        superseded = cluster_libraries.other_versions(workspace, cluster, paths)
        if superseded:
            needed = gc.needed_paths(workspace, root)
            superseded = tuple(path for path in superseded if path not in needed)
        if not superseded:
            return
        cluster_libraries.detach(workspace, cluster, superseded)
    except ApiError as error:
        _log.debug(f"superseded wheels stay attached to cluster {cluster.id}: {error}")
        return
    names = cluster_libraries.distribution_names(superseded)
    when = "when it restarts" if cluster.is_up else "before it starts again"
    _log.info(
        f"cluster {cluster.name} ({cluster.id}): {when}, superseded wheels of {names} are detached"
    )


def release(session: Session, compute: ComputePlan) -> None:
    """Terminate a cluster that was created although no run is requested: creating starts it.

    The next run starts it again.
    """
    cluster = compute.cluster
    if cluster is None or not compute.created or compute.start:
        return
    try:
        clusters.terminate(session.workspace, cluster)
    except WorkspaceError as error:
        _log.warning(
            f"cluster {cluster.name} ({cluster.id}) could not be terminated: {error}\n"
            "hint: terminate it in the workspace; nothing uses it now."
        )
        return
    _log.info(f"cluster {cluster.name} ({cluster.id}): terminated until a run starts it")


def _existing(cluster: Cluster) -> ExistingCluster:
    return ExistingCluster(cluster.id, cluster.name, cluster.driver_type)


def _cluster_permissions(
    workspace: Workspace, request: DeployRequest, run_as: str | None
) -> tuple[Permission, ...]:
    """Return the permissions on the job's cluster; run-as principals install libraries there."""
    found = [(permissions.CLUSTER_LEVELS[level], who) for level, who in request.job.permissions]
    if run_as is not None and run_as != workspace.me:
        principal = run_as if "@" in run_as else f"service_principal:{run_as}"
        found.append(("CAN_MANAGE", principal))
    return tuple(found)


def _run_as(workspace: Workspace, request: DeployRequest, job: jobs.Job | None) -> str:
    """Return the job's run-as principal; an existing job keeps its own unless another is given."""
    if request.job.run_as is not None:
        return request.job.run_as
    if job is None:
        return workspace.me
    return job.run_as or jobs.get(workspace, job.id).run_as or workspace.me
