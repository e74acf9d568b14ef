"""The verb deploy: from wheels to jobs and, where asked, their runs."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow import artifacts, clusters, jobs, preflight, running, runs
from lakeflow.console import Labelled, labels_of
from lakeflow.context import Context
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.manifest import Manifest, read_manifest
from lakeflow.report import Report, TargetReport, WheelReport, write_report
from lakeflow.runs import Interrupted
from lakeflow.wheel import StampedWheel, stamp, task_wheel

if TYPE_CHECKING:
    from lakeflow.artifacts import Artifact
    from lakeflow.clusters import Cluster, NewCluster

DEFAULT_MAX_WORKERS = 1


@dataclass(frozen=True)
class _Wanted:
    """What is asked of every target of a deploy."""

    name: str | None
    max_workers: int | None
    cluster_id: str | None
    calls: tuple[tuple[str, ...], ...]
    encoded: tuple[str, ...]
    wait: bool
    shared: bool
    runs_per_driver: int | None


@dataclass(frozen=True)
class _Target:
    """A target with the wheels of its job, `lakeflow_task` first, then leaves first."""

    address: str
    job_name: str
    wheel: StampedWheel
    wheels: tuple[StampedWheel, ...]
    pythons: tuple[preflight.Python, ...]


@dataclass(frozen=True)
class _Plan:
    """A target beside what the workspace has for it."""

    target: _Target
    identity: str
    root: str
    artifacts: tuple[Artifact, ...]
    cluster: Cluster | NewCluster
    job: jobs.Job | None
    in_the_way: tuple[str, ...] = ()
    """Wheels that the cluster has installed over those of the job."""


def deploy(
    context: Context,
    manifest: Path,
    *,
    name: str | None,
    max_workers: int | None,
    cluster_id: str | None,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    wait: bool,
    dry_run: bool,
    shared: bool,
    runs_per_driver: int | None,
    report: Path | None,
) -> Report:
    """Make a job of every root in a manifest, and start a run for each of `calls`.

    Everything is read and checked before anything is changed. With `wait` the runs are followed
    to their end, at most `runs_per_driver` of them (default: the cores of the cluster's driver)
    at a time. The report is returned, and written to `report`, also when a run has failed.

    Raises UsageError and Refused before anything was changed, WorkspaceError, and Interrupted
    on Ctrl-C while runs are followed.
    """
    read = read_manifest(manifest)
    wanted = _Wanted(
        name=name,
        max_workers=max_workers,
        cluster_id=cluster_id,
        calls=tuple(tuple(argv) for argv in calls),
        encoded=preflight.encode_calls(calls, env),
        wait=wait,
        shared=shared,
        runs_per_driver=runs_per_driver,
    )
    _check(wanted, read)
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        targets = _targets(read, wanted, Path(folder))
        plans = _plans(context, read.project, targets, wanted)
        if dry_run:
            made = Report(
                context.workspace.host, tuple(_describe(context, p, wanted) for p in plans)
            )
            if report is not None:
                write_report(made, report)
            return made
        sent = _upload(context, plans)
    return _apply(context, read, plans, wanted, sent, report)


def _plans(
    context: Context, project: str, targets: Sequence[_Target], wanted: _Wanted
) -> list[_Plan]:
    workspace = context.workspace
    with ThreadPoolExecutor() as pool:
        named = [pool.submit(jobs.named, workspace, target.job_name) for target in targets]
        me = workspace.me
        root = artifacts.root_of(workspace)
        user = None if wanted.shared else me
        planned = [
            pool.submit(_plan, context, target, project, user, root, wanted, found.result())
            for target, found in zip(targets, named, strict=True)
        ]
        return [plan.result() for plan in planned]


def _plan(
    context: Context,
    target: _Target,
    project: str,
    user: str | None,
    root: str,
    wanted: _Wanted,
    named: Sequence[jobs.Job],
) -> _Plan:
    workspace = context.workspace
    identity = jobs.identity_of(project, target.address, user)
    job = jobs.identified(named, identity)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(artifacts.look_up, workspace, root, target.wheels)
        cluster: Cluster | NewCluster | None
        if wanted.cluster_id is not None:
            cluster = clusters.named(workspace, wanted.cluster_id, target.pythons)
        else:
            known = job.cluster_id if job else None
            cluster = clusters.find(workspace, target.job_name, identity, target.pythons, known)
        if cluster is None:
            most = wanted.max_workers or DEFAULT_MAX_WORKERS
            cluster = clusters.plan_new(workspace, target.job_name, identity, target.pythons, most)
        plan = _Plan(target, identity, root, there.result(), cluster, job)
    if not isinstance(cluster, clusters.Cluster) or not _differs(plan):
        return plan
    paths = [artifact.path for artifact in plan.artifacts]
    newer = clusters.in_the_way(workspace, cluster, paths)
    busy = newer and job is not None and runs.any_active(workspace, job.id)
    if newer and (busy or wanted.cluster_id is not None):
        remedy = "wait for the job's runs to end" if busy else "leave out --cluster-id"
        raise Refused(
            f"the cluster {cluster.name} ({cluster.id}) has newer wheels of "
            f"{_distributions(newer)} installed over these; detaching them and a restart would "
            f"bring these back, but end what computes there. So {remedy}, then deploy again."
        )
    return replace(plan, in_the_way=newer)


def _describe(context: Context, plan: _Plan, wanted: _Wanted) -> TargetReport:
    """Say what a deploy would do."""
    say, cluster = context.console.say, plan.cluster
    say(f"plan for {plan.target.address}:")
    for artifact in plan.artifacts:
        size = artifact.stamped.wheel.size
        what = "unchanged" if artifact.is_there else f"to upload, {size:,} bytes"
        say(f"  wheel {_title(artifact.stamped)}: {what}")
    if isinstance(cluster, clusters.NewCluster):
        say(f"  cluster {cluster.name}: to make ({_spec(cluster)})")
    elif plan.in_the_way:
        say(f"  cluster {cluster.name}: to restart, it holds newer wheels")
    elif _to_resize(cluster, wanted):
        say(f"  cluster {cluster.name}: to resize to {wanted.max_workers} workers at most")
    else:
        say(f"  cluster {cluster.name}: reused ({cluster.state})")
    if plan.job is None:
        say(f"  job {plan.target.job_name}: to make")
    elif _differs(plan):
        say(f"  job {plan.target.job_name} ({plan.job.id}): to change")
    else:
        say(f"  job {plan.target.job_name} ({plan.job.id}): unchanged")
    for argv in wanted.calls:
        say(f"  run: {shlex.join(argv)}")
    return _report(context, plan, (0,) * len(plan.artifacts), "planned")


def _upload(context: Context, plans: Sequence[_Plan]) -> list[tuple[int, ...]]:
    """Send what the store lacks; returns the bytes sent for each artifact of each plan."""
    distinct = {artifact.path: artifact for plan in plans for artifact in plan.artifacts}
    missing = [artifact for artifact in distinct.values() if not artifact.is_there]
    sizes = artifacts.upload(context.workspace, missing)
    sent = {artifact.path: size for artifact, size in zip(missing, sizes, strict=True)}
    for path, artifact in distinct.items():
        if path in sent:
            did = f"uploaded {sent[path]:,} bytes to {path}"
        else:
            did = "unchanged, 0 bytes uploaded"
        context.console.say(f"wheel {_title(artifact.stamped)}: {did}")
    if not missing:
        context.console.say("uploaded 0 bytes")
    return [tuple(sent.get(artifact.path, 0) for artifact in p.artifacts) for p in plans]


def _apply(
    context: Context,
    read: Manifest,
    plans: Sequence[_Plan],
    wanted: _Wanted,
    sent: Sequence[tuple[int, ...]],
    report: Path | None,
) -> Report:
    """Deploy and run all targets; the first error is raised when all were tried."""
    done = [_report(context, p, s, "failed") for p, s in zip(plans, sent, strict=True)]
    failure: LakeflowError | None = None
    try:
        for index, plan in enumerate(plans):
            try:
                done[index] = _deploy_one(context, plan, done[index], wanted)
                done[index] = _run_one(context, plan, done[index], read, wanted)
            except Interrupted as stop:
                done[index] = replace(done[index], status="running", runs=stop.results)
                raise
            except LakeflowError as error:
                done[index] = replace(done[index], status="failed", error=str(error))
                failure = failure or error
    finally:
        made = Report(context.workspace.host, tuple(done))
        if report is not None:
            write_report(made, report)
    if failure is not None:
        raise failure
    return made


def _deploy_one(
    context: Context, plan: _Plan, report: TargetReport, wanted: _Wanted
) -> TargetReport:
    """Make or change what a target needs: its cluster, then its job."""
    cluster = _ensure_cluster(context, plan, wanted)
    settings = _settings(plan, cluster.id)
    name = plan.target.job_name
    if plan.job is None:
        job_id = jobs.create(context.workspace, settings)
        did = "made"
    else:
        job_id, did = plan.job.id, "unchanged"
        if jobs.differs(settings, plan.job):
            jobs.reset(context.workspace, job_id, settings)
            did = "changed"
    url = jobs.url_of(context.workspace, job_id)
    context.console.say(f"job {name} ({job_id}): {did}, {url}")
    return replace(report, job_id=job_id, job_url=url, cluster_id=cluster.id, status="deployed")


def _ensure_cluster(context: Context, plan: _Plan, wanted: _Wanted) -> Cluster:
    workspace, cluster = context.workspace, plan.cluster
    if isinstance(cluster, clusters.NewCluster):
        made = clusters.create(workspace, cluster, plan.identity)
        context.console.say(f"cluster {made.name} ({made.id}): made, {_spec(cluster)}")
        return made
    did = f"reused ({cluster.state})"
    if wanted.max_workers is not None and _to_resize(cluster, wanted):
        cluster = clusters.resize(workspace, cluster, wanted.max_workers)
        did = f"resized to {wanted.max_workers} workers at most"
    if plan.in_the_way:
        clusters.restart_without(workspace, cluster, plan.in_the_way)
        did = f"restarted, since it held newer wheels of {_distributions(plan.in_the_way)}"
    elif wanted.calls and clusters.start(workspace, cluster):
        did = f"started (was {cluster.state})"
    context.console.say(f"cluster {cluster.name} ({cluster.id}): {did}")
    return cluster


def _run_one(
    context: Context, plan: _Plan, report: TargetReport, manifest: Manifest, wanted: _Wanted
) -> TargetReport:
    """Start the runs that are asked for, and follow them where that is wanted."""
    job_id = report.job_id
    assert job_id is not None
    if not wanted.calls:
        context.console.say(f"nothing was run. Next: {_how_to_run(context, manifest, job_id)}")
        return report
    workspace = context.workspace
    asked = [
        runs.Asked(job_id, ordinal, argv, runs.call_parameters(call))
        for ordinal, (argv, call) in enumerate(zip(wanted.calls, wanted.encoded, strict=True))
    ]
    versions = [str(stamped.wheel.version) for stamped in plan.target.wheels]
    key = [workspace.host, job_id, versions, list(wanted.encoded)]
    with running.begun(context, key, asked) as invocation:
        if not wanted.wait:
            started = runs.start(workspace, asked, invocation)
            context.console.say(
                f"{running.counted(len(started))} started. To follow: "
                f"{running.how_to_follow(context, [r.run_id for r in started], manifest.command)}"
            )
            return replace(report, status="running", runs=started)
        with running.following(context, manifest.command):
            screen = Labelled(context.console, labels_of(wanted.calls))
            results = runs.start_and_follow(
                workspace, asked, invocation, screen, in_flight=_in_flight(context, plan, wanted)
            )
    failed = sum(result.status == "failed" for result in results)
    context.console.say(f"{running.counted(len(results))} ended, {failed} failed")
    return replace(report, status="failed" if failed else "succeeded", runs=results)


def _in_flight(context: Context, plan: _Plan, wanted: _Wanted) -> int:
    if wanted.runs_per_driver is not None:
        return wanted.runs_per_driver
    if len(wanted.calls) == 1:
        return 1
    return clusters.cores_of(context.workspace, plan.cluster.driver_type)


def _how_to_run(context: Context, manifest: Manifest, job_id: int) -> str:
    if manifest.command:
        return " ".join([manifest.command, '--run "ARGUMENTS"', *context.where])
    return " ".join(["lakeflow", "trigger-run", str(job_id), "ARGUMENTS", *context.where])


def _report(context: Context, plan: _Plan, sent: Sequence[int], status: str) -> TargetReport:
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
        job_url=jobs.url_of(context.workspace, job.id) if job else None,
        cluster_id=None if isinstance(cluster, clusters.NewCluster) else cluster.id,
        status=status,
        error=None,
        wheels=tuple(wheels),
        runs=(),
    )


def _check(wanted: _Wanted, manifest: Manifest) -> None:
    """Refuse options that contradict each other, and roots with nothing to run."""
    if wanted.cluster_id is not None and wanted.max_workers is not None:
        raise UsageError("--max-workers is for a cluster of the job's own: not with --cluster-id")
    if wanted.name is not None and len(manifest.roots) > 1:
        raise UsageError(f"--name names one job, and {len(manifest.roots)} are to be deployed")
    if wanted.shared and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            "--shared needs LAKEFLOW_ROOT, a folder of a volume or under /Workspace/Shared: the "
            "default is your own folder, which others cannot use"
        )
    for root in manifest.roots:
        preflight.check_entry_point(root.wheel)


def _targets(manifest: Manifest, wanted: _Wanted, folder: Path) -> list[_Target]:
    wheels = [distribution.wheel for distribution in manifest.distributions]
    runner = task_wheel(folder / "task")
    stamped = {s.wheel.name: s for s in stamp([runner, *wheels], folder / "stamped")}
    targets = []
    for root in manifest.roots:
        own = stamped[root.wheel.name]
        chain = [name for name in (*own.needs, own.wheel.name) if name != runner.name]
        needed = tuple(stamped[name] for name in (runner.name, *chain))
        targets.append(
            _Target(
                address=root.address,
                job_name=wanted.name or root.wheel.distribution,
                wheel=own,
                wheels=needed,
                pythons=preflight.pythons_of([s.source for s in needed]),
            )
        )
    return targets


def _settings(plan: _Plan, cluster_id: str) -> dict[str, object]:
    target = plan.target
    return jobs.settings_for(
        name=target.job_name,
        description=f"{target.address}, deployed by lakeflow",
        identity=plan.identity,
        root=plan.root,
        wheel=target.wheel,
        libraries=[(artifact.stamped, artifact.path) for artifact in plan.artifacts],
        cluster_id=cluster_id,
    )


def _differs(plan: _Plan) -> bool:
    """Whether a job that is there has to be changed."""
    if plan.job is None or isinstance(plan.cluster, clusters.NewCluster):
        return True
    return jobs.differs(_settings(plan, plan.cluster.id), plan.job)


def _to_resize(cluster: Cluster, wanted: _Wanted) -> bool:
    return wanted.max_workers is not None and cluster.max_workers != wanted.max_workers


def _distributions(paths: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(clusters.distribution_of(path) for path in paths))


def _title(stamped: StampedWheel) -> str:
    return f"{stamped.wheel.distribution} {stamped.wheel.version}"


def _spec(cluster: NewCluster) -> str:
    settings = cluster.settings
    workers = settings["autoscale"]["max_workers"]
    return f"{settings['spark_version']}, {settings['node_type_id']}, 1 to {workers} workers"
