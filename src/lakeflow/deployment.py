"""The verb deploy: from wheels to jobs and, where asked, their runs."""

from __future__ import annotations

import os
import posixpath
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow import artifacts, clusters, files, following, jobs, preflight, running, runs, triggers
from lakeflow.compute import Compute
from lakeflow.console import Labelled, labels_of
from lakeflow.context import Context
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.following import Interrupted
from lakeflow.job_options import Options
from lakeflow.manifest import Manifest
from lakeflow.report import Report, TargetReport, WheelReport, write_report
from lakeflow.wheel import StampedWheel, read_wheel, stamp, task_wheel

if TYPE_CHECKING:
    from lakeflow.artifacts import Artifact
    from lakeflow.clusters import Cluster, NewCluster
    from lakeflow.workspace import Workspace


@dataclass(frozen=True)
class Wanted:
    """What is asked of every target of a deploy.

    `calls` are the arguments of the runs to start, with `env` and `secrets` set for each. With
    `start` a cluster that is TERMINATED is started although nothing is run.
    """

    name: str | None = None
    compute: Compute = field(default_factory=Compute)
    job: Options = field(default_factory=Options)
    calls: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    wait: bool = True
    start: bool = False
    shared: bool = False
    runs_per_driver: int | None = None


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
    cluster: Cluster | NewCluster | jobs.PerRun | jobs.Serverless
    job: jobs.Job | None
    in_the_way: tuple[str, ...] = ()
    """Wheels that the cluster has installed over those of the job."""


def deploy(
    context: Context,
    manifest: Manifest,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    report: Path | None = None,
) -> Report:
    """Make a job of every root in a manifest, and start the runs that are wanted.

    Everything is read and checked before anything is changed. The report is returned, and written
    to `report`, also when a run has failed.

    Raises UsageError and Refused before anything was changed, WorkspaceError, and Interrupted
    on Ctrl-C while runs are followed.
    """
    running.check_calls(wanted.calls, wanted.env, wanted.secrets)
    _check(wanted, manifest)
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        targets = _targets(manifest, wanted, Path(folder))
        plans = _plans(context, manifest.project, targets, wanted)
        if dry_run:
            made = Report(
                context.workspace.host, tuple(_describe(context, p, wanted) for p in plans)
            )
            if report is not None:
                write_report(made, report)
            return made
        sent = _upload(context, plans)
    return _apply(context, manifest, plans, wanted, sent, report)


def upload(context: Context, paths: Sequence[Path]) -> tuple[str, ...]:
    """Put wheels into the artifact store, stamped together; their paths there, in the same order.

    Raises what reading and stamping them raises, before anything is sent.
    """
    wheels = [read_wheel(path) for path in paths]
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        stamped = {s.source.path: s for s in stamp(wheels, Path(folder))}
        root = artifacts.root_of(context.workspace)
        there = artifacts.look_up(context.workspace, root, [stamped[w.path] for w in wheels])
        _send(context, there)
    return tuple(artifact.path for artifact in there)


def fetch(context: Context, words: Sequence[str], folder: Path) -> list[Path]:
    """Wheels as files of this machine: those that lie in the workspace are brought into `folder`.

    Raises UsageError where there is no such file.
    """
    found = []
    for word in words:
        if not word.startswith(("/Workspace/", "/Volumes/")):
            found.append(Path(word))
            continue
        content = files.read(context.workspace, word)
        if content is None:
            raise UsageError(f"there is no {word} in {context.workspace.host}")
        found.append(folder / posixpath.basename(word))
        found[-1].write_bytes(content)
    return found


def _plans(
    context: Context, project: str, targets: Sequence[_Target], wanted: Wanted
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
    wanted: Wanted,
    named: Sequence[jobs.Job],
) -> _Plan:
    workspace = context.workspace
    identity = jobs.identity_of(project, target.address, user)
    job = jobs.identified(named, identity)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(artifacts.look_up, workspace, root, target.wheels)
        cluster = _cluster_for(workspace, target, identity, job, wanted)
        plan = _Plan(target, identity, root, there.result(), cluster, job)
    if not isinstance(cluster, clusters.Cluster) or not _differs(plan, wanted.job):
        return plan
    paths = [artifact.path for artifact in plan.artifacts]
    newer = clusters.in_the_way(workspace, cluster, paths)
    busy = newer and job is not None and runs.any_active(workspace, job.id)
    if newer and (busy or wanted.compute.cluster_id is not None):
        remedy = "wait for the job's runs to end" if busy else "leave out --cluster-id"
        raise Refused(
            f"the cluster {cluster.name} ({cluster.id}) has newer wheels of "
            f"{_distributions(newer)} installed over these; detaching them and a restart would "
            f"bring these back, but end what computes there. So {remedy}, then deploy again."
        )
    return replace(plan, in_the_way=newer)


def _cluster_for(
    workspace: Workspace,
    target: _Target,
    identity: str,
    job: jobs.Job | None,
    wanted: Wanted,
) -> Cluster | NewCluster | jobs.PerRun | jobs.Serverless:
    """Where the runs of a target are to compute."""
    compute = wanted.compute
    if compute.kind == "serverless":
        return jobs.Serverless(preflight.serverless_environment(target.pythons))
    if compute.kind == "per-run":
        return jobs.PerRun(clusters.per_run(workspace, identity, target.pythons, compute))
    if compute.cluster_id is not None:
        return clusters.named(workspace, compute.cluster_id, target.pythons)
    known = job.cluster_id if job else None
    found = clusters.find(workspace, target.job_name, identity, target.pythons, known)
    if found is None:
        return clusters.plan_new(workspace, target.job_name, identity, target.pythons, compute)
    others = clusters.other_options(found, compute)
    if others:
        raise Refused(
            f"the cluster {found.name} ({found.id}) was made with another {', '.join(others)}. "
            "Delete it in the workspace to have one made with these options, or leave them out."
        )
    return found


def _describe(context: Context, plan: _Plan, wanted: Wanted) -> TargetReport:
    """Say what a deploy would do."""
    say, cluster = context.console.say, plan.cluster
    say(f"plan for {plan.target.address}:")
    for artifact in plan.artifacts:
        size = artifact.stamped.wheel.size
        what = "unchanged" if artifact.is_there else f"to upload, {size:,} bytes"
        say(f"  wheel {_title(artifact.stamped)}: {what}")
    if isinstance(cluster, (jobs.PerRun, jobs.Serverless)):
        say(f"  compute: {_place(cluster)}")
    elif isinstance(cluster, clusters.NewCluster):
        say(f"  cluster {cluster.name}: to make ({clusters.described(cluster.settings)})")
    elif plan.in_the_way:
        say(f"  cluster {cluster.name}: to restart, it holds newer wheels")
    elif _to_resize(cluster, wanted):
        say(f"  cluster {cluster.name}: to resize to {wanted.compute.max_workers} workers at most")
    else:
        say(f"  cluster {cluster.name}: reused ({cluster.state})")
    if plan.job is None:
        say(f"  job {plan.target.job_name}: to make")
    elif _differs(plan, wanted.job):
        say(f"  job {plan.target.job_name} ({plan.job.id}): to change")
    else:
        say(f"  job {plan.target.job_name} ({plan.job.id}): unchanged")
    if _differs(plan, wanted.job):
        settings = _settings(plan, _place_of(plan, "(to be made)"), wanted.job)
        for line in jobs.difference(settings, plan.job):
            say(f"    {line}")
    for argv in wanted.calls:
        say(f"  run: {shlex.join(argv)}")
    return _report(context, plan, (0,) * len(plan.artifacts), "planned")


def _upload(context: Context, plans: Sequence[_Plan]) -> list[tuple[int, ...]]:
    """Send what the store lacks; returns the bytes sent for each artifact of each plan."""
    sent = _send(context, [artifact for plan in plans for artifact in plan.artifacts])
    return [tuple(sent.get(artifact.path, 0) for artifact in p.artifacts) for p in plans]


def _send(context: Context, wanted: Sequence[Artifact]) -> dict[str, int]:
    """Send those artifacts that the store lacks; the bytes that were sent for each path."""
    distinct = {artifact.path: artifact for artifact in wanted}
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
    return sent


def _apply(
    context: Context,
    read: Manifest,
    plans: Sequence[_Plan],
    wanted: Wanted,
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
    context: Context, plan: _Plan, report: TargetReport, wanted: Wanted
) -> TargetReport:
    """Make or change what a target needs: its cluster, then its job."""
    cluster_id = _ensure_cluster(context, plan, wanted)
    settings = _settings(plan, _place_of(plan, cluster_id), wanted.job)
    name = plan.target.job_name
    if plan.job is None:
        job_id = jobs.create(context.workspace, settings)
        did = "made"
    else:
        job_id, did = plan.job.id, "unchanged"
        if jobs.differs(settings, plan.job):
            jobs.reset(context.workspace, job_id, settings)
            did = "changed"
    if wanted.job.permissions:
        jobs.grant(context.workspace, job_id, wanted.job.permissions)
    url = jobs.url_of(context.workspace, job_id)
    context.console.say(f"job {name} ({job_id}): {did}, {url}")
    return replace(report, job_id=job_id, job_url=url, cluster_id=cluster_id, status="deployed")


def _ensure_cluster(context: Context, plan: _Plan, wanted: Wanted) -> str | None:
    """Make, resize, restart or start the cluster, where there is to be one; its id."""
    workspace, cluster = context.workspace, plan.cluster
    if isinstance(cluster, (jobs.PerRun, jobs.Serverless)):
        context.console.say(f"compute: {_place(cluster)}")
        return None
    if isinstance(cluster, clusters.NewCluster):
        made = clusters.create(workspace, cluster, plan.identity)
        spec = clusters.described(cluster.settings)
        context.console.say(f"cluster {made.name} ({made.id}): made, {spec}")
        return made.id
    did = f"reused ({cluster.state})"
    most = wanted.compute.max_workers
    if most is not None and _to_resize(cluster, wanted):
        cluster = clusters.resize(workspace, cluster, most)
        did = f"resized to {most} workers at most"
    if plan.in_the_way:
        clusters.restart_without(workspace, cluster, plan.in_the_way)
        did = f"restarted, since it held newer wheels of {_distributions(plan.in_the_way)}"
    elif (wanted.calls or wanted.start) and clusters.start(workspace, cluster):
        did = f"started (was {cluster.state})"
    context.console.say(f"cluster {cluster.name} ({cluster.id}): {did}")
    return cluster.id


def _run_one(
    context: Context, plan: _Plan, report: TargetReport, manifest: Manifest, wanted: Wanted
) -> TargetReport:
    """Start the runs that are asked for, and follow them where that is wanted."""
    job_id = report.job_id
    assert job_id is not None
    if not wanted.calls:
        context.console.say(f"nothing was run. Next: {_how_to_run(context, manifest, job_id)}")
        return report
    workspace = context.workspace
    versions = [str(stamped.wheel.version) for stamped in plan.target.wheels]
    key = [workspace.host, job_id, versions, wanted.calls, dict(wanted.env), sorted(wanted.secrets)]
    with running.begun(context, key, len(wanted.calls)) as invocation:
        job = jobs.Job(job_id, plan.target.job_name, {}, wanted.job.run_as)
        scope = running.hand_over(context, invocation, wanted.secrets, job)
        encoded = preflight.encode_calls(wanted.calls, wanted.env, scope)
        asked = [
            triggers.Asked(job_id, ordinal, argv, triggers.call_parameters(call))
            for ordinal, (argv, call) in enumerate(zip(wanted.calls, encoded, strict=True))
        ]
        if not wanted.wait:
            started = triggers.start(workspace, asked, invocation)
            context.console.say(
                f"{running.counted(len(started))} started. To follow: "
                f"{running.how_to_follow(context, [r.run_id for r in started], manifest.command)}"
            )
            return replace(report, status="running", runs=started)
        with running.told_how_to_go_on(context, manifest.command):
            screen = Labelled(context.console, labels_of(wanted.calls))
            results = following.start_and_follow(
                workspace, asked, invocation, screen, in_flight=_in_flight(context, plan, wanted)
            )
    failed = sum(result.status == "failed" for result in results)
    context.console.say(f"{running.counted(len(results))} ended, {failed} failed")
    return replace(report, status="failed" if failed else "succeeded", runs=results)


def _in_flight(context: Context, plan: _Plan, wanted: Wanted) -> int:
    if wanted.runs_per_driver is not None:
        return wanted.runs_per_driver
    if len(wanted.calls) == 1:
        return 1
    if isinstance(plan.cluster, (jobs.PerRun, jobs.Serverless)):
        return len(wanted.calls)  # each has a machine of its own
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
        cluster_id=cluster.id if isinstance(cluster, clusters.Cluster) else None,
        status=status,
        error=None,
        wheels=tuple(wheels),
        runs=(),
    )


def _check(wanted: Wanted, manifest: Manifest) -> None:
    """Refuse options that contradict each other, and roots with nothing to run."""
    wanted.compute.check()
    if wanted.name is not None and len(manifest.roots) > 1:
        raise UsageError(f"--name names one job, and {len(manifest.roots)} are to be deployed")
    if wanted.shared and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            "--shared needs LAKEFLOW_ROOT, a folder of a volume or under /Workspace/Shared: the "
            "default is your own folder, which others cannot use"
        )
    for root in manifest.roots:
        preflight.check_entry_point(root.wheel)


def _targets(manifest: Manifest, wanted: Wanted, folder: Path) -> list[_Target]:
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


def _settings(plan: _Plan, place: jobs.Place, options: Options) -> dict[str, object]:
    target = plan.target
    return jobs.settings_for(
        name=target.job_name,
        description=f"{target.address}, deployed by lakeflow",
        identity=plan.identity,
        root=plan.root,
        wheel=target.wheel,
        libraries=[(artifact.stamped, artifact.path) for artifact in plan.artifacts],
        place=place,
        options=options,
    )


def _place_of(plan: _Plan, cluster_id: str | None) -> jobs.Place:
    """Where runs compute; `cluster_id` is that of a cluster that was made meanwhile."""
    if isinstance(plan.cluster, (jobs.PerRun, jobs.Serverless)):
        return plan.cluster
    known = plan.cluster.id if isinstance(plan.cluster, clusters.Cluster) else cluster_id
    assert known is not None
    return jobs.OnCluster(known)


def _differs(plan: _Plan, options: Options) -> bool:
    """Whether the job has to be made or changed."""
    if plan.job is None or isinstance(plan.cluster, clusters.NewCluster):
        return True
    return jobs.differs(_settings(plan, _place_of(plan, None), options), plan.job)


def _to_resize(cluster: Cluster, wanted: Wanted) -> bool:
    most = wanted.compute.max_workers
    return most is not None and cluster.max_workers != most


def _distributions(paths: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(clusters.distribution_of(path) for path in paths))


def _title(stamped: StampedWheel) -> str:
    return f"{stamped.wheel.distribution} {stamped.wheel.version}"


def _place(place: jobs.PerRun | jobs.Serverless) -> str:
    if isinstance(place, jobs.Serverless):
        return f"serverless, environment version {place.version}"
    return f"a cluster for each run, {clusters.described(place.settings)}"
