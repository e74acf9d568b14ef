"""Plan a deploy: compare what is requested with what the workspace has. Changes nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused, UsageError
from lakeflow.operations import changes, compute, run_requests, upload
from lakeflow.operations.changes import Change, Resource
from lakeflow.operations.compute import ComputePlan
from lakeflow.operations.report import Report, TargetReport, WheelReport
from lakeflow.operations.session import Session
from lakeflow.operations.staging import StagingFolder
from lakeflow.resources import artifacts, jobs, permissions, secrets
from lakeflow.resources.artifacts import Artifact
from lakeflow.resources.field_diff import FieldChanges
from lakeflow.resources.permissions import Permission
from lakeflow.specs.compute import Placement
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import check_name
from lakeflow.wheels import compatibility
from lakeflow.wheels.manifest import Manifest, manifest_of, read_manifest
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.task_wheel import build_task_wheel

_log = logging.getLogger(__name__)

_PARALLEL_REQUESTS = 8

_SETTLING_SECONDS = 2.0
"""How long two jobs of one target may exist: simultaneous deploys create them (`jobs.create`)."""


@dataclass(frozen=True)
class Target:
    """A target with the wheels of its job, `lakeflow_task` first, then leaves first."""

    address: str
    job_name: str
    wheel: StampedWheel
    wheels: tuple[StampedWheel, ...]
    pythons: tuple[compatibility.Python, ...]


@dataclass(frozen=True)
class TargetPlan:
    """What a deploy does for one target; `job` is the existing job, `updates` its changes."""

    target: Target
    request: DeployRequest
    identity: str
    root: str
    artifacts: tuple[Artifact, ...]
    compute: ComputePlan
    job: jobs.Job | None
    job_url: str | None
    updates: FieldChanges = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()

    def settings(self, placement: Placement) -> dict[str, Any]:
        """Return the settings that the job gets."""
        target = self.target
        found = jobs.build_settings(
            name=target.job_name,
            description=f"{target.address}, deployed by lakeflow",
            identity=self.identity,
            root=self.root,
            wheel=target.wheel,
            libraries=[(artifact.stamped, artifact.path) for artifact in self.artifacts],
            placement=placement,
            options=self.request.job,
        )
        if self.request.code_only and self.job is not None:
            return jobs.replace_code(found, self.job)
        return found

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes for the target, in the order in which they are made."""
        wheels = [_wheel_change(artifact) for artifact in self.artifacts]
        job_id = None if self.job is None else str(self.job.id)
        resource = Resource("job", self.target.job_name, job_id)
        if self.job is None:
            after = {name: new for name, (_, new) in self.updates.items()}
            job = Change("create", resource, None, after)
        elif self.updates:
            job = changes.update(resource, self.updates)
        else:
            job = Change("unchanged", resource)
        granted = [changes.grant(resource, self.permissions)] if self.permissions else []
        runs = [
            Change("trigger", Resource("run", str(n)), None, self._call(argv))
            for n, argv in enumerate(self.request.calls)
        ]
        return (*wheels, *self.compute.changes, job, *granted, *runs)

    def _call(self, argv: Sequence[str]) -> dict[str, object]:
        found: dict[str, object] = {"argv": list(argv)}
        if self.request.env:
            found["env"] = dict(self.request.env)
        if self.request.secret_env_vars:
            found["secrets"] = list(self.request.secret_env_vars)
        return found

    def report(self, sent: Mapping[str, int], status: str) -> TargetReport:
        """Return the report of the target; `sent` are the bytes uploaded to each path."""
        wheels = [
            WheelReport(
                distribution=artifact.stamped.source.distribution,
                version=str(artifact.stamped.source.version),
                stamped_version=str(artifact.stamped.wheel.version),
                sha256=artifact.stamped.source.sha256,
                path=artifact.path,
                uploaded_bytes=sent.get(artifact.path, 0),
            )
            for artifact in self.artifacts
        ]
        return TargetReport(
            address=self.target.address,
            job_id=self.job.id if self.job else None,
            job_name=self.target.job_name,
            job_url=self.job_url,
            cluster_id=self.compute.cluster.id if self.compute.cluster else None,
            status=status,
            error=None,
            wheels=tuple(wheels),
            runs=(),
        )


@dataclass(frozen=True)
class DeployPlan(changes.Plan):
    """What a deploy does, computed and checked before anything changes.

    `command` is the start of a command line that repeats the deploy.
    """

    request: DeployRequest
    targets: tuple[TargetPlan, ...]
    command: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    staging: StagingFolder | None = field(default=None, repr=False, compare=False)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, target by target."""
        return tuple(change for target in self.targets for change in target.changes)

    @property
    def report(self) -> Report:
        """The plan as the report of a deploy that changed nothing."""
        return Report(
            self.workspace, tuple(target.report({}, "planned") for target in self.targets)
        )


def plan(session: Session, request: DeployRequest) -> DeployPlan:
    """Read and check everything that a deploy needs. Most requests run in parallel.

    Raises UsageError and Refused for what cannot be deployed, and WorkspaceError.
    """
    values = secrets.read(request.secret_env_vars, request.secrets_file, os.environ)
    staging = StagingFolder()
    manifest = _manifest(session, request, staging.path)
    run_requests.check_calls(request.calls, request.env, values)
    _check(request, manifest)
    targets = _targets(manifest, request, staging.path)
    plans = _plan_targets(session.workspace, manifest.project, targets, request)
    return DeployPlan(
        workspace=session.workspace.host,
        request=request,
        targets=tuple(plans),
        command=manifest.command,
        secrets=values,
        staging=staging,
    )


def _manifest(session: Session, request: DeployRequest, folder: Path) -> Manifest:
    if request.manifest is not None:
        if request.wheels:
            raise UsageError("--manifest already names the wheels: leave out the wheel arguments")
        return read_manifest(request.manifest)
    manifest = manifest_of(upload.local_files(session, request.wheels, folder))
    roots = [root.wheel.distribution for root in manifest.roots]
    if request.single_job and len(roots) > 1:
        raise UsageError(
            f"{', '.join(roots)}: none of these needs the others, but a job is created from one "
            "package and the packages that it needs.\nhint: create one job for each of them."
        )
    return manifest


def _check(request: DeployRequest, manifest: Manifest) -> None:
    """Raise UsageError for options that contradict each other, Refused without entry point."""
    request.compute.check()
    if request.name is not None and len(manifest.roots) > 1:
        raise UsageError(
            f"--name names one job, but {len(manifest.roots)} are to be deployed: leave it out"
        )
    if request.shared and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            "--shared needs LAKEFLOW_ROOT: other users cannot use your own folder, the default.\n"
            "hint: set it to a folder of a volume or under /Workspace/Shared."
        )
    for root in manifest.roots:
        check_name(request.name if request.name is not None else root.wheel.distribution)
        compatibility.check_entry_point(root.wheel)


def _targets(manifest: Manifest, request: DeployRequest, folder: Path) -> list[Target]:
    """Return the targets of a manifest, their wheels stamped in `folder`.

    Raises Refused for wheels of a target that are incompatible with each other.
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
    """Warn of missing requirements: elsewhere the wheel would be installed without them."""
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


def _plan_targets(
    workspace: Workspace, project: str, targets: Sequence[Target], request: DeployRequest
) -> list[TargetPlan]:
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        named = [pool.submit(jobs.list_by_name, workspace, target.job_name) for target in targets]
        root = artifacts.root_of(workspace)
        _check_run_as(workspace, request)
        distinct = {s.wheel.name: s for target in targets for s in target.wheels}
        store = pool.submit(artifacts.look_up, workspace, root, list(distinct.values()))
        looked_up = [
            pool.submit(_look_up, workspace, target, project, root, request, found.result())
            for target, found in zip(targets, named, strict=True)
        ]
        stored = dict(zip(distinct, store.result(), strict=True))
        found = [
            replace(one.result(), artifacts=tuple(stored[s.wheel.name] for s in target.wheels))
            for one, target in zip(looked_up, targets, strict=True)
        ]
        return list(pool.map(lambda one: _compare(workspace, one), found))


def _check_run_as(workspace: Workspace, request: DeployRequest) -> None:
    """Raise UsageError for a run-as principal who cannot read what is uploaded."""
    principal = request.job.run_as
    if principal not in (None, workspace.me) and not os.environ.get("LAKEFLOW_ROOT"):
        raise UsageError(
            f"--run-as {principal} needs LAKEFLOW_ROOT: others cannot read your own folder, the "
            f"default.\nhint: set it to a folder that {principal} can read and write, such as one "
            "of a volume or under /Workspace/Shared."
        )


def _look_up(
    workspace: Workspace,
    target: Target,
    project: str,
    root: str,
    request: DeployRequest,
    named: Sequence[jobs.Job],
) -> TargetPlan:
    """Return the plan of a target without its wheels and changes."""
    identity = jobs.identity_of(project, target.address, None if request.shared else workspace.me)
    try:
        job = jobs.find_by_identity(named, identity)
    except Refused:  # simultaneous deploys have created them, and one is about to be deleted
        time.sleep(_SETTLING_SECONDS)
        job = jobs.find_by_identity(jobs.list_by_name(workspace, target.job_name), identity)
    wheels = [stamped.source for stamped in target.wheels]
    planned = compute.plan(
        workspace, request, target.job_name, identity, job, wheels, target.pythons
    )
    url = None if job is None else jobs.url_of(workspace, job.id)
    return TargetPlan(target, request, identity, root, (), planned, job, url)


def _compare(workspace: Workspace, plan: TargetPlan) -> TargetPlan:
    """Return the plan with the changes of the job. Raises Refused if its cluster is in use."""
    job, placement, requested = plan.job, plan.compute.placement, plan.request.job.permissions
    updates = jobs.differences(plan.settings(placement), job)
    if not updates:
        planned = plan.compute
    else:
        paths = [artifact.path for artifact in plan.artifacts]
        planned = compute.check_conflicts(workspace, plan.compute, job, paths)
    if job is not None:
        requested = permissions.missing(workspace, "jobs", str(job.id), requested)
    return replace(plan, compute=planned, updates=updates, permissions=requested)


def _wheel_change(artifact: Artifact) -> Change:
    resource = Resource("wheel", artifact.title)
    if artifact.is_stored:
        return Change("unchanged", resource)
    after = {"path": artifact.path, "bytes": artifact.stamped.wheel.size}
    return Change("upload", resource, None, after)
