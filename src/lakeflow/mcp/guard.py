"""The guarded launcher: the only way from a tool to a workspace, and what it may do there.

Tools hold this and nothing else. What changes something passes `_changing` and the checks of caps
and ownership here; in read-only mode the launcher below, besides, sends no request that could
change anything, so neither a hidden tool nor a mistake in this file can.
"""

from __future__ import annotations

import os
import posixpath
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.errors import Refused, UsageError
from lakeflow.mcp.allowed_paths import confined
from lakeflow.mcp.plans import Planned, Plans, planned_deploy
from lakeflow.mcp.policy import Limits
from lakeflow.mcp.sanitize import Redactor, short
from lakeflow.state.invocations import digest

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher
    from lakeflow.operations.logs import RunLogs
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.report import Report
    from lakeflow.operations.trigger import Requested
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.runs import Run
    from lakeflow.specs.compute import Compute

PATIENCE_SECONDS = 20.0
"""How long a workspace that is away is waited for: clients give up on a call after a minute."""

MAX_FILE_BYTES = 10 * 1024 * 1024
"""The largest output file of which a part is read: it is fetched whole."""

MAX_RUNS = 100
"""Runs that one call may be about."""

# What the SDK may log in with (databricks-sdk, config.Config), as far as it is secret.
_SECRET_VARIABLES = (
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_PASSWORD",
    "ARM_CLIENT_SECRET",
    "GOOGLE_CREDENTIALS",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)


class Guard:
    """A launcher that does what `limits` allow. Connects when it is first needed.

    `redact` learns what no client may see. Safe to use from several threads.
    """

    def __init__(
        self,
        limits: Limits,
        redact: Redactor,
        *,
        local: bool = False,
        profile: str | None = None,
    ) -> None:
        self.limits = limits
        self._redact = redact
        self._local = local
        self._profile = profile
        self._lock = threading.Lock()
        self._connected: Launcher | None = None
        private = (*_SECRET_VARIABLES, *limits.secret_env_vars)
        redact.hide(os.environ[name] for name in private if os.environ.get(name))
        host = os.environ.get("DATABRICKS_HOST")
        if host and not limits.links:
            redact.hide_host(host)

    # What is read.

    def jobs(self, *, every: bool) -> list[Job]:
        """The jobs that lakeflow deployed, or all that there are, by name."""
        return self._launcher.list_jobs(all_jobs=every)

    def job(self, job_id: int) -> Job:
        """A job. Raises UsageError for an unknown one."""
        return self._launcher.get_job(job_id)

    def page_of_job(self, job_id: int) -> str:
        """The address of a job's page."""
        from lakeflow.resources import jobs

        return jobs.url_of(self._launcher.workspace, job_id)

    def clusters(self) -> list[Cluster]:
        """The all-purpose clusters, by name."""
        return self._launcher.list_clusters()

    def runs_of(self, job_id: int, newest: int) -> list[Run]:
        """So many of the newest runs of a job. Raises UsageError for an unknown job."""
        return self._launcher.list_job_runs(job_id, limit=newest)

    def run(self, run_id: int) -> Run:
        """A run. Raises UsageError for an unknown one."""
        return self._launcher.get_run(run_id)

    def logs(self, run_id: int, *, tail: int, all_tasks: bool = False) -> RunLogs:
        """The last lines of what a run has printed. Raises UsageError for an unknown run."""
        return self._launcher.get_run_logs(run_id, tail=tail, all_tasks=all_tasks, show=False)

    def outputs(self, run_id: int) -> tuple[OutputFile, ...]:
        """The files that a run left. Raises UsageError for one that lakeflow did not deploy."""
        return self._launcher.outputs(run_id)

    def read_output(self, run_id: int, name: str, task: str | None) -> tuple[OutputFile, bytes]:
        """A file that a run left, one of those that `outputs` names.

        Raises UsageError where there is none, and Refused where it is too large.
        """
        named = [f for f in self.outputs(run_id) if f.name == name and task in (None, f.task)]
        if not named:
            raise UsageError(f"run {run_id} left no file {short(name, 200)!r}: list them first")
        if len(named) > 1:
            tasks = ", ".join(short(file.task, 100) for file in named)
            raise UsageError(f"several tasks left a file of this name: say which of {tasks}")
        if named[0].size > MAX_FILE_BYTES:
            raise Refused(
                f"{short(name, 200)!r} has {named[0].size:,} bytes, and at most "
                f"{MAX_FILE_BYTES:,} are read here. A person can fetch it: lakeflow outputs "
                f"{run_id} --download-to DIR"
            )
        content = self._launcher.read_file(named[0].path).decode("utf-8", "surrogateescape")
        # Here already, since a part of it may begin within a secret.
        return named[0], self._redact(content).encode("utf-8", "surrogateescape")

    def is_ours(self, job: Job) -> bool:
        """Whether lakeflow deployed a job."""
        from lakeflow.specs.job import IDENTITY_TAG

        return IDENTITY_TAG in (job.settings.get("tags") or {})

    def is_our_cluster(self, cluster: Cluster) -> bool:
        """Whether lakeflow made a cluster."""
        from lakeflow.specs.job import IDENTITY_TAG

        return IDENTITY_TAG in cluster.tags

    # What changes something.

    def plan_trigger(
        self,
        job_id: int,
        calls: Sequence[Sequence[str]],
        env: Mapping[str, str],
        secret_names: Sequence[str],
    ) -> Planned:
        """What `trigger` would do. Raises what it raises."""
        from lakeflow.operations import trigger as running
        from lakeflow.resources import secrets

        self._changing()
        if not calls:
            raise UsageError(
                "arguments is a list with one list of strings for each run: "
                '[["fi"], ["fie"]] starts two. A run without arguments is an empty list in it: [[]]'
            )
        if len(calls) > self.limits.max_copies:
            raise Refused(
                f"{len(calls)} runs are asked for, and this server starts {self.limits.max_copies} "
                "at most with one call. The person who runs it decides on that (--max-copies)."
            )
        foreign = sorted({*secret_names} - {*self.limits.secret_env_vars})
        if foreign:
            raise Refused(
                f"{', '.join(foreign)}: this server hands no such secrets to runs. The person who "
                "runs it decides on that (--secret-env-var)."
            )
        job = self._our_job(job_id)
        running.check_for(job, calls, env, secrets.read(secret_names, None, os.environ))
        steps = [f"start {_counted(len(calls))} of the job {short(job.name, 100)} ({job.id})"]
        # Each on a line of its own: a long one hides no other.
        steps += [
            f"with the variable {short(f'{name}={value!r}', 300)}"
            for name, value in sorted(env.items())
        ]
        if secret_names:
            steps.append(f"with the secrets {', '.join(sorted(secret_names))}")
        steps += [f"run {n}: {short(repr(list(argv)), 300)}" for n, argv in enumerate(calls)]
        return Planned(tuple(steps), basis={"what the job runs": digest(dict(job.settings))})

    def trigger(
        self,
        job_id: int,
        calls: Sequence[Sequence[str]],
        *,
        env: Mapping[str, str],
        secret_names: Sequence[str],
        request_id: str,
        plan: str | None,
    ) -> Requested:
        """Start a run for each of `calls`, once for each `request_id`.

        With `plan` only if `plan_trigger` would still say the same. Raises Refused where the limits
        don't allow it, and what `Launcher.trigger_runs` raises.
        """
        planned = self.plan_trigger(job_id, calls, env, secret_names)
        asked = trigger_request(job_id, calls, env, secret_names, request_id)
        return self._launcher.trigger_runs(
            job_id,
            calls,
            request_id=request_id,
            env=env,
            secret_env_vars=secret_names,
            approve=lambda: self._check(plan, "trigger_runs", asked, planned),
        )

    def plan_cancel(self, run_ids: Sequence[int]) -> Planned:
        """What `cancel` would do. Raises what it raises."""
        self._changing()
        if not 0 < len(run_ids) <= MAX_RUNS:
            raise UsageError(f"say 1 to {MAX_RUNS} runs")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(self.run, run_ids))
        for run in {run.job_id: run for run in found}.values():
            self._require_ours(run)
        steps = [
            (
                f"end run {run.id}"
                if run.state.outcome is None
                else f"leave run {run.id}, it has ended"
            )
            for run in found
        ]
        return Planned(tuple(steps))

    def cancel(self, run_ids: Sequence[int], *, plan: str | None) -> tuple[Run, ...]:
        """Tell runs to end; they are returned as they were. Raises Refused and UsageError."""
        planned = self.plan_cancel(run_ids)
        self._check(plan, "cancel_runs", list(run_ids), planned)
        return self._launcher.cancel_runs(run_ids)

    def plan_repair(self, run_id: int) -> Planned:
        """What `repair` would do, where it has not been done. Raises Refused and UsageError."""
        self._changing()
        run = self._our_run(run_id)
        job = self.job(run.job_id)
        failed = [task.key for task in run.tasks if task.state.outcome not in (None, "succeeded")]
        steps = [f"run again of run {run_id}: {', '.join(short(key, 100) for key in failed)}"]
        return Planned(tuple(steps), basis={"what the job runs": digest(dict(job.settings))})

    def check_repair(self, run_id: int, *, with_current: bool) -> None:
        """Raises Refused where `repair` would, as long as it has not been done."""
        from lakeflow.operations import trigger as running

        run = self._our_run(run_id)
        running.to_repair(self._launcher.workspace, run, with_current=with_current)

    def repair(
        self, run_id: int, *, with_current: bool, request_id: str, plan: str | None
    ) -> Requested:
        """Run again what failed of a run, once for each `request_id`.

        Raises Refused and UsageError as `Launcher.repair_run` does.
        """
        planned = self.plan_repair(run_id)
        request = [run_id, with_current, request_id]
        return self._launcher.repair_once(
            run_id,
            request_id=request_id,
            with_current=with_current,
            approve=lambda: self._check(plan, "repair_run", request, planned),
        )

    def plan_deploy(
        self, wheels: Sequence[str], name: str | None, compute: Compute
    ) -> tuple[Planned, Report]:
        """What `deploy` would do; reads only. Raises what it raises."""
        return self._deploy(self._wheels(wheels), name, self._sized(compute), dry_run=True)

    def deploy(
        self, wheels: Sequence[str], name: str | None, compute: Compute, *, plan: str | None
    ) -> tuple[Planned, Report]:
        """Make or change the jobs of wheels, files below the roots or in the workspace.

        Raises Refused where the limits don't allow it, and what `Launcher.deploy` raises.
        """
        self._changing()
        asked = (
            None if plan is None else (plan, "deploy_wheels", deploy_request(wheels, name, compute))
        )
        return self._deploy(self._wheels(wheels), name, self._sized(compute), asked=asked)

    def build_and_deploy(
        self,
        folder: str,
        package: str | None,
        name: str | None,
        compute: Compute,
        *,
        dry_run: bool,
        plan: str | None,
    ) -> tuple[Planned, Report]:
        """Build the package in a folder below the roots, and deploy it.

        Raises Refused where the limits don't allow it, and what building and deploying raise.
        """
        self._changing()
        if not self.limits.allow_build:
            raise Refused(
                "a build runs code of the folder, and this server was started without "
                "--allow-build. The person who runs it decides on that."
            )
        target = confined(folder, self.limits.roots)
        wheels = self._launcher.build_wheel(
            target, package, without=self.limits.secret_env_vars, approve=self._confine
        )
        asked = (
            None
            if plan is None
            else (plan, "build_and_deploy", build_request(folder, package, name, compute))
        )
        return self._deploy(wheels, name, self._sized(compute), dry_run=dry_run, asked=asked)

    @cached_property
    def plans(self) -> Plans:
        """The plans that were shown, kept beside the launcher's journal."""
        from lakeflow.state.paths import state_dir

        return Plans(state_dir() / "plans")

    def _deploy(
        self,
        wheels: Sequence[Path | str],
        name: str | None,
        compute: Compute,
        *,
        dry_run: bool = False,
        asked: tuple[str, str, object] | None = None,
    ) -> tuple[Planned, Report]:
        """Deploy or say what that would do; `asked` are token, verb and request of a plan."""
        from lakeflow.specs.deploy import DeployRequest

        request = DeployRequest(
            wheels=tuple(wheels), name=name, compute=compute, wait=False, code_only=True
        )
        plan = self._launcher.plan(request)
        planned = planned_deploy(plan)
        if asked is not None:
            self.plans.check(*asked, planned)
        return planned, plan.report if dry_run else self._launcher.apply(plan)

    def _wheels(self, words: Sequence[str]) -> list[Path | str]:
        if not words:
            raise UsageError("wheels names nothing to deploy")
        found: list[Path | str] = []
        for word in words:
            if not word.endswith(".whl"):
                raise UsageError(f"{short(word, 200)!r} is no wheel: its name ends with .whl")
            stored = word.startswith(("/Workspace/", "/Volumes/"))
            if stored and posixpath.normpath(word) != word:
                raise UsageError(
                    f"{short(word, 200)!r} is no plain path: leave out what is relative"
                )
            found.append(word if stored else confined(word, self.limits.roots))
        return found

    def _sized(self, compute: Compute) -> Compute:
        most = self.limits.max_workers
        if compute.max_workers is not None and compute.max_workers > most:
            raise Refused(
                f"max_workers is {compute.max_workers}, and this server allows {most}. The person "
                "who runs it decides on that (--max-workers)."
            )
        if compute.cluster_id is not None and not self.limits.all_resources:
            named = [c for c in self.clusters() if c.id == compute.cluster_id]
            if not named:
                raise UsageError(f"there is no cluster {short(compute.cluster_id, 100)!r}")
            if not self.is_our_cluster(named[0]):
                raise _foreign(f"the cluster {short(named[0].name, 100)} ({named[0].id})")
        return compute

    def _check(self, plan: str | None, verb: str, request: object, planned: Planned) -> None:
        """Raises Refused where a plan is named and would not be carried out as it was shown."""
        if plan is not None:
            self.plans.check(plan, verb, request, planned)

    def _confine(self, source: Path) -> None:
        confined(str(source), self.limits.roots)

    def _changing(self) -> None:
        if self.limits.read_only:
            raise Refused("this server is read-only: it was started with --read-only")

    def _our_job(self, job_id: int) -> Job:
        job = self.job(job_id)
        if not (self.limits.all_resources or self.is_ours(job)):
            raise _foreign(f"the job {short(job.name, 100)} ({job.id})")
        return job

    def _our_run(self, run_id: int) -> Run:
        run = self.run(run_id)
        self._require_ours(run)
        return run

    def _require_ours(self, run: Run) -> None:
        if self.limits.all_resources:
            return
        try:
            job = self.job(run.job_id)
        except UsageError:
            raise _foreign(f"run {run.id}, whose job is gone,") from None
        if not self.is_ours(job):
            raise _foreign(f"run {run.id} of the job {short(job.name, 100)} ({job.id})")

    def reconnect(self) -> None:
        """Connect anew before what is asked next: the workspace, or who asks, may be another."""
        with self._lock:
            self._connected = None

    @property
    def _launcher(self) -> Launcher:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> Launcher:
        from lakeflow.client.configuration import choose
        from lakeflow.launcher import Launcher
        from lakeflow.operations.observer import NullObserver

        # Hidden first, since what goes wrong while it connects names the host.
        host = choose(os.environ, local=self._local, profile=self._profile).host
        if host and not self.limits.links:
            self._redact.hide_host(host)
        launcher = Launcher(
            local=self._local,
            profile=self._profile,
            observer=NullObserver(),
            read_only=self.limits.read_only,
            patience=PATIENCE_SECONDS,
        )
        self._redact.hide(launcher.workspace.secret_values())
        if not self.limits.links:
            self._redact.hide_host(launcher.workspace.host)
        return launcher


def trigger_request(
    job_id: int,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    secret_names: Sequence[str],
    request_id: str,
) -> list[object]:
    """What a plan of `trigger` is kept under."""
    return [job_id, [list(a) for a in calls], dict(env), sorted(secret_names), request_id]


def deploy_request(wheels: Sequence[str], name: str | None, compute: Compute) -> list[object]:
    """What a plan of `deploy` is kept under."""
    return [list(wheels), name, repr(compute)]


def build_request(
    folder: str, package: str | None, name: str | None, compute: Compute
) -> list[object]:
    """What a plan of `build_and_deploy` is kept under."""
    return [folder, package, name, repr(compute)]


def _foreign(what: str) -> Refused:
    return Refused(
        f"{what} was not made by lakeflow, and this server changes only what was. The person who "
        "runs it decides on that (--all-resources)."
    )


def _counted(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
