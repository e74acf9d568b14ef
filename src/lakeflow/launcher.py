"""The launcher: what the doors (CLI, Python, MCP) call."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow import artifacts, clusters, files, jobs, journal, preflight, runs
from lakeflow.console import Console, Labelled, labels_of
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.local.daemon import state_dir
from lakeflow.manifest import Manifest, read_manifest
from lakeflow.report import Report, TargetReport, WheelReport, write_report
from lakeflow.runs import Interrupted, Run, RunResult
from lakeflow.wheel import StampedWheel, stamp, task_wheel
from lakeflow.workspace import Workspace, connect
from lakeflow_task.protocol import CALL_LIMIT

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


class Launcher:
    """Deploys wheels as jobs, starts runs of them, and shows what they print.

    `local` and `profile` say which workspace (see `lakeflow.workspace.connect`); it is connected to
    when it is first needed. `console` gets output and progress, by default stdout and stderr.
    """

    def __init__(
        self, *, local: bool = False, profile: str | None = None, console: Console | None = None
    ) -> None:
        self._local = local
        self._profile = profile
        self._console = console or Console(sys.stdout, sys.stderr)

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace, connected. Raises what `lakeflow.workspace.connect` raises."""
        workspace = connect(local=self._local, profile=self._profile)
        if workspace.notice:
            self._console.say(workspace.notice)
        self._console.say(f"workspace {workspace.host} ({workspace.origin})")
        return workspace

    def deploy(
        self,
        manifest: Path,
        *,
        name: str | None = None,
        max_workers: int | None = None,
        cluster_id: str | None = None,
        calls: Sequence[Sequence[str]] = (),
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        dry_run: bool = False,
        shared: bool = False,
        runs_per_driver: int | None = None,
        report: Path | None = None,
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
            encoded=preflight.encode_calls(calls, env or {}),
            wait=wait,
            shared=shared,
            runs_per_driver=runs_per_driver,
        )
        _check(wanted, read)
        with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
            targets = _targets(read, wanted, Path(folder))
            plans = self._plans(read.project, targets, wanted)
            if dry_run:
                made = Report(self.workspace.host, tuple(self._describe(p, wanted) for p in plans))
                if report is not None:
                    write_report(made, report)
                return made
            sent = self._upload(plans)
        return self._apply(read, plans, wanted, sent, report)

    def trigger_run(
        self,
        job_id: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        wait: bool = False,
    ) -> RunResult:
        """Start a run of a job with these arguments, and with `wait` follow it to its end.

        Raises UsageError for an unknown job and for arguments that cannot be sent.
        """
        job = jobs.get(self.workspace, job_id)
        if job.takes_calls:
            parameters = runs.call_parameters(preflight.encode_calls([argv], env or {})[0])
        else:
            parameters = {"python_params": _foreign(job, argv, env or {})}
        asked = [runs.Asked(job_id, 0, tuple(argv), parameters)]
        with self._invocation([self.workspace.host, job_id, parameters], asked) as invocation:
            if not wait:
                return runs.start(self.workspace, asked, invocation)[0]
            with self._following():
                screen = Labelled(self._console, [""])
                return runs.start_and_follow(
                    self.workspace, asked, invocation, screen, in_flight=1
                )[0]

    def list_job_runs(self, job_id: int, *, limit: int = 24) -> list[Run]:
        """The newest runs of a job. Raises UsageError for an unknown job."""
        found = runs.of_job(self.workspace, job_id, limit)
        if not found:
            jobs.get(self.workspace, job_id)
        return found

    def get_run_logs(self, run_id: int) -> Run:
        """Show what a run has printed so far. Raises UsageError for an unknown run."""
        run = runs.get(self.workspace, run_id)
        screen = Labelled(self._console, [""])
        ending = runs.show_output(self.workspace, run, lambda text: screen.output(0, text))
        if run.state.outcome is None:
            screen.output(0, "\n")
            self._console.say(f"run {run_id} is not at its end ({run.state.life})")
        else:
            screen.ended(0, run, ending)
        return run

    def wait(self, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
        """Follow runs that were started before to their end.

        Raises UsageError for an unknown run and Interrupted on Ctrl-C.
        """
        names = [f"[{run_id}] " if len(run_ids) > 1 else "" for run_id in run_ids]
        with self._following():
            return runs.follow(self.workspace, run_ids, Labelled(self._console, names))

    def _plans(self, project: str, targets: Sequence[_Target], wanted: _Wanted) -> list[_Plan]:
        workspace = self.workspace
        with ThreadPoolExecutor() as pool:
            named = [pool.submit(jobs.named, workspace, target.job_name) for target in targets]
            me = workspace.me
            root = files.check_root(
                os.environ.get("LAKEFLOW_ROOT") or f"/Workspace/Users/{me}/.lakeflow"
            )
            user = None if wanted.shared else me
            planned = [
                pool.submit(self._plan, target, project, user, root, wanted, found.result())
                for target, found in zip(targets, named, strict=True)
            ]
            return [plan.result() for plan in planned]

    def _plan(
        self,
        target: _Target,
        project: str,
        user: str | None,
        root: str,
        wanted: _Wanted,
        named: Sequence[jobs.Job],
    ) -> _Plan:
        workspace = self.workspace
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
                cluster = clusters.plan_new(
                    workspace, target.job_name, identity, target.pythons, most
                )
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

    def _describe(self, plan: _Plan, wanted: _Wanted) -> TargetReport:
        """Say what a deploy would do."""
        say, cluster = self._console.say, plan.cluster
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
        return self._report(plan, (0,) * len(plan.artifacts), "planned")

    def _upload(self, plans: Sequence[_Plan]) -> list[tuple[int, ...]]:
        """Send what the store lacks; returns the bytes sent for each artifact of each plan."""
        distinct = {artifact.path: artifact for plan in plans for artifact in plan.artifacts}
        missing = [artifact for artifact in distinct.values() if not artifact.is_there]
        sizes = artifacts.upload(self.workspace, missing)
        sent = {artifact.path: size for artifact, size in zip(missing, sizes, strict=True)}
        for path, artifact in distinct.items():
            if path in sent:
                did = f"uploaded {sent[path]:,} bytes to {path}"
            else:
                did = "unchanged, 0 bytes uploaded"
            self._console.say(f"wheel {_title(artifact.stamped)}: {did}")
        if not missing:
            self._console.say("uploaded 0 bytes")
        return [tuple(sent.get(artifact.path, 0) for artifact in p.artifacts) for p in plans]

    def _apply(
        self,
        read: Manifest,
        plans: Sequence[_Plan],
        wanted: _Wanted,
        sent: Sequence[tuple[int, ...]],
        report: Path | None,
    ) -> Report:
        """Deploy and run all targets; the first error is raised when all were tried."""
        done = [self._report(p, s, "failed") for p, s in zip(plans, sent, strict=True)]
        failure: LakeflowError | None = None
        try:
            for index, plan in enumerate(plans):
                try:
                    done[index] = self._deploy_one(plan, done[index], wanted)
                    done[index] = self._run_one(plan, done[index], read, wanted)
                except Interrupted as stop:
                    done[index] = replace(done[index], status="running", runs=stop.results)
                    raise
                except LakeflowError as error:
                    done[index] = replace(done[index], status="failed", error=str(error))
                    failure = failure or error
        finally:
            made = Report(self.workspace.host, tuple(done))
            if report is not None:
                write_report(made, report)
        if failure is not None:
            raise failure
        return made

    def _deploy_one(self, plan: _Plan, report: TargetReport, wanted: _Wanted) -> TargetReport:
        """Make or change what a target needs: its cluster, then its job."""
        cluster = self._ensure_cluster(plan, wanted)
        settings = _settings(plan, cluster.id)
        name = plan.target.job_name
        if plan.job is None:
            job_id = jobs.create(self.workspace, settings)
            did = "made"
        else:
            job_id, did = plan.job.id, "unchanged"
            if jobs.differs(settings, plan.job):
                jobs.reset(self.workspace, job_id, settings)
                did = "changed"
        url = jobs.url_of(self.workspace, job_id)
        self._console.say(f"job {name} ({job_id}): {did}, {url}")
        return replace(report, job_id=job_id, job_url=url, cluster_id=cluster.id, status="deployed")

    def _ensure_cluster(self, plan: _Plan, wanted: _Wanted) -> Cluster:
        workspace, cluster = self.workspace, plan.cluster
        if isinstance(cluster, clusters.NewCluster):
            made = clusters.create(workspace, cluster, plan.identity)
            self._console.say(f"cluster {made.name} ({made.id}): made, {_spec(cluster)}")
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
        self._console.say(f"cluster {cluster.name} ({cluster.id}): {did}")
        return cluster

    def _run_one(
        self, plan: _Plan, report: TargetReport, manifest: Manifest, wanted: _Wanted
    ) -> TargetReport:
        """Start the runs that are asked for, and follow them where that is wanted."""
        job_id = report.job_id
        assert job_id is not None
        if not wanted.calls:
            self._console.say(f"nothing was run. Next: {self._how_to_run(manifest, job_id)}")
            return report
        workspace = self.workspace
        asked = [
            runs.Asked(job_id, ordinal, argv, runs.call_parameters(call))
            for ordinal, (argv, call) in enumerate(zip(wanted.calls, wanted.encoded, strict=True))
        ]
        versions = [str(stamped.wheel.version) for stamped in plan.target.wheels]
        key = [workspace.host, job_id, versions, list(wanted.encoded)]
        with self._invocation(key, asked) as invocation:
            if not wanted.wait:
                started = runs.start(workspace, asked, invocation)
                self._console.say(
                    f"{_runs(len(started))} started. To follow: "
                    f"{self._how_to_follow([r.run_id for r in started], manifest)}"
                )
                return replace(report, status="running", runs=started)
            with self._following(manifest):
                screen = Labelled(self._console, labels_of(wanted.calls))
                results = runs.start_and_follow(
                    workspace, asked, invocation, screen, in_flight=self._in_flight(plan, wanted)
                )
        failed = sum(result.status == "failed" for result in results)
        self._console.say(f"{_runs(len(results))} ended, {failed} failed")
        return replace(report, status="failed" if failed else "succeeded", runs=results)

    def _in_flight(self, plan: _Plan, wanted: _Wanted) -> int:
        if wanted.runs_per_driver is not None:
            return wanted.runs_per_driver
        if len(wanted.calls) == 1:
            return 1
        return clusters.cores_of(self.workspace, plan.cluster.driver_type)

    @contextmanager
    def _invocation(self, key: object, asked: Sequence[runs.Asked]) -> Iterator[journal.Invocation]:
        invocation = journal.begin(state_dir() / "journal", key)
        if invocation.resumed:
            begun = datetime.fromtimestamp(invocation.begun).strftime("%Y-%m-%d %H:%M:%S")
            self._console.say(
                f"resuming the same command of {begun}, which did not come to its end: "
                f"{len(invocation.started)} of {_runs(len(asked))} known to be started"
            )
        try:
            yield invocation
        finally:
            invocation.close()

    @contextmanager
    def _following(self, manifest: Manifest | None = None) -> Iterator[None]:
        try:
            yield
        except Interrupted as stop:
            self._console.close()
            if not stop.all_started:
                stop.advice = "Type the same command again to start the missing ones."
            elif stop.going:
                again = self._how_to_follow(stop.going, manifest)
                stop.advice = f"To follow them again: {again}"
            raise

    def _how_to_follow(self, run_ids: Sequence[int], manifest: Manifest | None) -> str:
        ids = [str(run_id) for run_id in run_ids]
        if manifest is not None and manifest.command:
            attach = [word for run_id in ids for word in ("--attach", run_id)]
            return f"{manifest.command} {shlex.join([*attach, *self._where])}"
        return shlex.join(["lakeflow", "wait", *ids, *self._where])

    def _how_to_run(self, manifest: Manifest, job_id: int) -> str:
        if manifest.command:
            return " ".join([manifest.command, '--run "ARGUMENTS"', *self._where])
        return " ".join(["lakeflow", "trigger-run", str(job_id), "ARGUMENTS", *self._where])

    @property
    def _where(self) -> list[str]:
        """The options that say which workspace, for commands that we print."""
        if self._local:
            return ["--local"]
        return ["--profile", self._profile] if self._profile else []

    def _report(self, plan: _Plan, sent: Sequence[int], status: str) -> TargetReport:
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
            job_url=jobs.url_of(self.workspace, job.id) if job else None,
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


def _foreign(job: jobs.Job, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The arguments as `python_params`, for a job that lakeflow did not deploy."""
    if env:
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: --env cannot reach it"
        )
    size = len(json.dumps(list(argv)))
    if size > CALL_LIMIT or not all(word.isascii() for word in argv):
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: its arguments have to be "
            f"ASCII and at most {CALL_LIMIT} bytes as JSON; these take {size}"
        )
    return list(argv)


def _distributions(paths: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(clusters.distribution_of(path) for path in paths))


def _title(stamped: StampedWheel) -> str:
    return f"{stamped.wheel.distribution} {stamped.wheel.version}"


def _spec(cluster: NewCluster) -> str:
    settings = cluster.settings
    workers = settings["autoscale"]["max_workers"]
    return f"{settings['spark_version']}, {settings['node_type_id']}, 1 to {workers} workers"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
