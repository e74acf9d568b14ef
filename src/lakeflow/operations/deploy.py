"""The verb deploy: from wheels to jobs and, where asked, their runs."""

from __future__ import annotations

import logging
import posixpath
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.errors import LakeflowError, UsageError
from lakeflow.operations import follow, trigger
from lakeflow.operations import plan as planning
from lakeflow.operations.follow import Interrupted
from lakeflow.operations.observer import labels_of
from lakeflow.operations.plan import Plan
from lakeflow.operations.report import Report, TargetPlan, TargetReport, WheelReport, write_report
from lakeflow.operations.session import Session
from lakeflow.resources import (
    artifacts,
    cluster_settings,
    clusters,
    files,
    jobs,
    permissions,
    run_now,
)
from lakeflow.specs.deploy import DeployRequest
from lakeflow.wheels.manifest import Manifest
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.wheel import read_wheel

if TYPE_CHECKING:
    from lakeflow.resources.artifacts import Artifact

_log = logging.getLogger(__name__)


def deploy(
    session: Session,
    manifest: Manifest,
    request: DeployRequest,
    *,
    dry_run: bool = False,
    report: Path | None = None,
    approve: Callable[[Sequence[TargetPlan]], None] = lambda plans: None,
) -> Report:
    """Make a job of every root in a manifest, and start the requested runs.

    Everything is read and checked before anything is changed; then `approve` is told what is about
    to be done, and may raise. The report is returned, and written to `report`, also when a run has
    failed.

    Raises UsageError and Refused before anything was changed, WorkspaceError, and Interrupted
    on Ctrl-C while runs are followed.
    """
    trigger.check_calls(request.calls, request.env, request.secrets)
    planning.check(request, manifest)
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        targets = planning.targets(manifest, request, Path(folder))
        plans = planning.plans(session.workspace, manifest.project, targets, request)
        told = [_told(plan, request) for plan in plans]
        approve(told)
        if dry_run:
            planned = [_describe(session, *pair, request) for pair in zip(plans, told, strict=True)]
            made = Report(session.workspace.host, tuple(planned))
            if report is not None:
                write_report(made, report)
            return made
        sent = _upload(session, plans)
    return _apply(session, manifest, plans, request, sent, report)


def upload(session: Session, paths: Sequence[Path]) -> tuple[str, ...]:
    """Put wheels into the artifact store, stamped together; their paths there, in the same order.

    Raises what reading and stamping them raises, before anything is sent.
    """
    wheels = [read_wheel(path) for path in paths]
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        stamped = {s.source.path: s for s in stamp(wheels, Path(folder))}
        root = artifacts.root_of(session.workspace)
        there = artifacts.look_up(session.workspace, root, [stamped[w.path] for w in wheels])
        _send(session, there)
    return tuple(artifact.path for artifact in there)


def fetch(session: Session, words: Sequence[str], folder: Path) -> list[Path]:
    """Wheels as files of this machine: those that lie in the workspace are brought into `folder`.

    Raises UsageError where there is no such file.
    """
    found = []
    for word in words:
        if not word.startswith(("/Workspace/", "/Volumes/")):
            found.append(Path(word))
            continue
        content = files.read(session.workspace, word)
        if content is None:
            raise UsageError(f"there is no {word} in {session.workspace.host}")
        found.append(folder / posixpath.basename(word))
        found[-1].write_bytes(content)
    return found


def _describe(
    session: Session, plan: Plan, told: TargetPlan, request: DeployRequest
) -> TargetReport:
    """Say what a deploy would do."""
    _log.info(f"plan for {told.address}:")
    for step in told.steps:
        _log.info(f"  {step}")
    for line in told.changes:
        _log.info(f"    {line}")
    for argv in request.calls:
        _log.info(f"  run: {shlex.join(argv)}")
    return _report(session, plan, (0,) * len(plan.artifacts), "planned")


def _told(plan: Plan, request: DeployRequest) -> TargetPlan:
    """What a deploy would do, in words."""
    name, cluster, steps = plan.target.job_name, plan.cluster, []
    for artifact in plan.artifacts:
        size = artifact.stamped.wheel.size
        what = "unchanged" if artifact.is_there else f"to upload, {size:,} bytes"
        steps.append(f"wheel {_title(artifact.stamped)}: {what}")
    if isinstance(cluster, (jobs.PerRun, jobs.Serverless)):
        steps.append(f"compute: {_place(cluster)}")
    elif isinstance(cluster, cluster_settings.NewCluster):
        steps.append(
            f"cluster {cluster.name}: to make ({cluster_settings.described(cluster.settings)})"
        )
    elif plan.in_the_way:
        steps.append(f"cluster {cluster.name}: to restart, it holds newer wheels")
    elif plan.changes:
        steps.append(f"cluster {cluster.name}: to change, {clusters.told(plan.changes)}")
    else:
        steps.append(f"cluster {cluster.name} ({cluster.id}): reused")
    if plan.job is None:
        steps.append(f"job {name}: to make")
    elif planning.differs(plan, request.job):
        steps.append(f"job {name} ({plan.job.id}): to change")
    else:
        steps.append(f"job {name} ({plan.job.id}): unchanged")
    changes: list[str] = []
    if planning.differs(plan, request.job):
        settings = planning.settings(plan, planning.place_of(plan, "(to be made)"), request.job)
        changes = jobs.difference(settings, plan.job)
    return TargetPlan(plan.target.address, name, tuple(steps), tuple(changes))


def _upload(session: Session, plans: Sequence[Plan]) -> list[tuple[int, ...]]:
    """Send what the store lacks; returns the bytes sent for each artifact of each plan."""
    sent = _send(session, [artifact for plan in plans for artifact in plan.artifacts])
    return [tuple(sent.get(artifact.path, 0) for artifact in p.artifacts) for p in plans]


def _send(session: Session, wheels: Sequence[Artifact]) -> dict[str, int]:
    """Send those artifacts that the store lacks; the bytes that were sent for each path."""
    distinct = {artifact.path: artifact for artifact in wheels}
    missing = [artifact for artifact in distinct.values() if not artifact.is_there]
    names = ", ".join(artifact.stamped.wheel.distribution for artifact in missing)
    size = sum(artifact.stamped.wheel.size for artifact in missing)
    with session.on_transfer(names, size) as on_progress:
        sizes = artifacts.upload(session.workspace, missing, on_progress)
    sent = {artifact.path: size for artifact, size in zip(missing, sizes, strict=True)}
    for path, artifact in distinct.items():
        if path in sent:
            did = f"uploaded {sent[path]:,} bytes to {path}"
        else:
            did = "unchanged, 0 bytes uploaded"
        _log.info(f"wheel {_title(artifact.stamped)}: {did}")
    if not missing:
        _log.info("uploaded 0 bytes")
    return sent


def _apply(
    session: Session,
    read: Manifest,
    plans: Sequence[Plan],
    request: DeployRequest,
    sent: Sequence[tuple[int, ...]],
    report: Path | None,
) -> Report:
    """Deploy and run all targets; the first error is raised when all were tried."""
    done = [_report(session, p, s, "failed") for p, s in zip(plans, sent, strict=True)]
    failure: LakeflowError | None = None
    try:
        for index, plan in enumerate(plans):
            try:
                done[index] = _deploy_one(session, plan, done[index], request)
                done[index] = _run_one(session, plan, done[index], read, request)
            except Interrupted as stop:
                done[index] = replace(done[index], status="running", runs=stop.results)
                raise
            except LakeflowError as error:
                done[index] = replace(done[index], status="failed", error=str(error))
                failure = failure or error
    finally:
        made = Report(session.workspace.host, tuple(done))
        if report is not None:
            write_report(made, report)
    if failure is not None:
        raise failure
    return made


def _deploy_one(
    session: Session, plan: Plan, report: TargetReport, request: DeployRequest
) -> TargetReport:
    """Make or change what a target needs: its cluster, then its job."""
    cluster_id = _ensure_cluster(session, plan, request)
    settings = planning.settings(plan, planning.place_of(plan, cluster_id), request.job)
    name = plan.target.job_name
    if plan.job is None:
        job_id = jobs.create(session.workspace, settings)
        did = "made"
    else:
        job_id, did = plan.job.id, "unchanged"
        if jobs.differs(settings, plan.job):
            jobs.reset(session.workspace, job_id, settings)
            did = "changed"
    _grant(session, plan, request, job_id, cluster_id)
    url = jobs.url_of(session.workspace, job_id)
    _log.info(f"job {name} ({job_id}): {did}, {url}")
    return replace(report, job_id=job_id, job_url=url, cluster_id=cluster_id, status="deployed")


def _grant(
    session: Session, plan: Plan, request: DeployRequest, job_id: int, cluster_id: str | None
) -> None:
    """Grant what is asked on the job, and what goes with it on a cluster of the job's own."""
    workspace, asked = session.workspace, request.job.permissions
    own = cluster_id is not None and request.compute.cluster_id is None
    on_cluster = [(permissions.ON_CLUSTER[level], who) for level, who in asked]
    runner = _dedicated_to(plan) or request.job.run_as
    if runner not in (None, workspace.me):  # installs the job's libraries there
        on_cluster.append(("CAN_MANAGE", _principal(str(runner))))
    for kind, object_id, levels in (
        ("jobs", str(job_id), asked),
        ("clusters", cluster_id, on_cluster if own else []),
    ):
        if (
            object_id is not None
            and levels
            and permissions.grant(workspace, kind, object_id, levels)
        ):
            _log.info(f"granted on {kind[:-1]} {object_id}: {permissions.told(levels)}")


def _dedicated_to(plan: Plan) -> str | None:
    """Who a cluster that is made is for; one that was there has been granted already."""
    if isinstance(plan.cluster, cluster_settings.NewCluster):
        return str(plan.cluster.settings["single_user_name"])
    return None


def _principal(name: str) -> str:
    return name if "@" in name else f"service_principal:{name}"


def _ensure_cluster(session: Session, plan: Plan, request: DeployRequest) -> str | None:
    """Make, resize, restart or start the cluster, where there is to be one; its id."""
    workspace, cluster = session.workspace, plan.cluster
    if isinstance(cluster, (jobs.PerRun, jobs.Serverless)):
        _log.info(f"compute: {_place(cluster)}")
        return None
    if isinstance(cluster, cluster_settings.NewCluster):
        made = clusters.create(workspace, cluster, plan.identity)
        spec = cluster_settings.described(cluster.settings)
        _log.info(f"cluster {made.name} ({made.id}): made, {spec}")
        return made.id
    did = f"reused ({cluster.state})"
    if plan.changes:
        clusters.change(workspace, cluster, plan.changes)
        did = f"changed, {clusters.told(plan.changes)}"
    if plan.in_the_way:
        clusters.restart_without(workspace, cluster, plan.in_the_way)
        did = (
            f"restarted, since it held newer wheels of {clusters.distributions_of(plan.in_the_way)}"
        )
    elif (request.calls or request.start_cluster) and clusters.start(workspace, cluster):
        did = f"started (was {cluster.state})"
    _log.info(f"cluster {cluster.name} ({cluster.id}): {did}")
    return cluster.id


def _run_one(
    session: Session, plan: Plan, report: TargetReport, manifest: Manifest, request: DeployRequest
) -> TargetReport:
    """Start the runs that are asked for, and follow them where that is requested."""
    job_id = report.job_id
    assert job_id is not None
    if not request.calls:
        _log.info(f"nothing was run. Next: {_how_to_run(session, manifest, job_id)}")
        return report
    workspace = session.workspace
    versions = [str(stamped.wheel.version) for stamped in plan.target.wheels]
    key = [
        workspace.host,
        job_id,
        versions,
        request.calls,
        dict(request.env),
        sorted(request.secrets),
    ]
    with trigger.begun(session, key, len(request.calls)) as invocation:
        job = jobs.Job(job_id, plan.target.job_name, {}, request.job.run_as)
        if request.secrets and plan.job is not None and job.run_as is None:
            job = jobs.get(workspace, job_id)  # it may run as who was named before
        asked = trigger.calls_of(
            session, invocation, job, request.calls, request.env, request.secrets
        )
        if not request.wait:
            started = run_now.start(workspace, asked, invocation)
            _log.info(
                f"{trigger.counted(len(started))} started. To follow: "
                f"{trigger.how_to_follow(session, [r.run_id for r in started], manifest.command)}"
            )
            return replace(report, status="running", runs=started)
        with trigger.told_how_to_go_on(session, manifest.command):
            results = follow.start_and_follow(
                workspace,
                asked,
                invocation,
                session.observer,
                in_flight=_in_flight(session, plan, request),
                labels=labels_of(request.calls),
            )
    failed = sum(result.status == "failed" for result in results)
    _log.info(f"{trigger.counted(len(results))} ended, {failed} failed")
    return replace(report, status="failed" if failed else "succeeded", runs=results)


def _in_flight(session: Session, plan: Plan, request: DeployRequest) -> int:
    if request.runs_per_driver is not None:
        return request.runs_per_driver
    if len(request.calls) == 1:
        return 1
    if isinstance(plan.cluster, (jobs.PerRun, jobs.Serverless)):
        return len(request.calls)  # each has a machine of its own
    return cluster_settings.cores_of(session.workspace, plan.cluster.driver_type)


def _how_to_run(session: Session, manifest: Manifest, job_id: int) -> str:
    if manifest.command:
        return " ".join([manifest.command, '--run "ARGUMENTS"', *session.where])
    return " ".join(["lakeflow", "trigger-run", str(job_id), "ARGUMENTS", *session.where])


def _report(session: Session, plan: Plan, sent: Sequence[int], status: str) -> TargetReport:
    job, cluster = plan.job, plan.cluster
    wheels = [
        WheelReport(
            distribution=artifact.stamped.source.distribution,
            version=str(artifact.stamped.source.version),
            stamped_version=str(artifact.stamped.wheel.version),
            sha256=artifact.stamped.source.sha256,
            path=artifact.path,
            uploaded_bytes=size,
        )
        for artifact, size in zip(plan.artifacts, sent, strict=True)
    ]
    return TargetReport(
        address=plan.target.address,
        job_id=job.id if job else None,
        job_name=plan.target.job_name,
        job_url=jobs.url_of(session.workspace, job.id) if job else None,
        cluster_id=cluster.id if isinstance(cluster, clusters.Cluster) else None,
        status=status,
        error=None,
        wheels=tuple(wheels),
        runs=(),
    )


def _title(stamped: StampedWheel) -> str:
    return f"{stamped.wheel.distribution} {stamped.wheel.version}"


def _place(place: jobs.PerRun | jobs.Serverless) -> str:
    if isinstance(place, jobs.Serverless):
        return f"serverless, environment version {place.version}"
    return f"a cluster for each run, {cluster_settings.described(place.settings)}"
