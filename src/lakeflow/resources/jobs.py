"""Jobs: settings computed whole from the inputs, found by identity, applied only if different."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import ApiError, ReplyLost, Workspace
from lakeflow.errors import Refused, UsageError
from lakeflow.specs.job import IDENTITY_TAG as IDENTITY_TAG
from lakeflow.specs.job import JobOptions
from lakeflow.state.invocations import digest
from lakeflow.wheels.compatibility import ENTRY_POINT
from lakeflow.wheels.stamping import StampedWheel
from lakeflow_task.protocol import encode_call

CALL_PARAMETER = "lakeflow_call"
TASK_KEY = "main"
_ENVIRONMENT = "default"
MAX_CONCURRENT_RUNS = 1000
"""The most that a job may have; the default of 1 skips what exceeds it (Jobs API, create)."""

_API = "/api/2.2/jobs"

# What the platform adds when settings are read back (databricks/cli, its test server's jobFixUps).
_READ_DEFAULTS: tuple[tuple[str, object], ...] = (
    ("format", "MULTI_TASK"),
    ("run_if", "ALL_SUCCESS"),
    ("timeout_seconds", 0),
    ("max_retries", 0),
    ("email_notifications", {}),
    ("webhook_notifications", {}),
    ("notification_settings", {}),
    ("edit_mode", "UI_LOCKED"),
    ("edit_mode", "EDITABLE"),
)


@dataclass(frozen=True)
class Job:
    """A job as the workspace describes it."""

    id: int
    name: str
    settings: Mapping[str, Any]
    run_as: str | None = None
    """Who its runs act as; only known of a job that was asked for by its id."""
    created: int = 0
    """When it was made, in Unix milliseconds."""

    @property
    def cluster_id(self) -> str | None:
        """The cluster that its task runs on, if it is an all-purpose one."""
        for task in self.settings.get("tasks", []):
            if task.get("existing_cluster_id"):
                return str(task["existing_cluster_id"])
        return None

    @property
    def takes_calls(self) -> bool:
        """Whether it was deployed by lakeflow: arguments travel as `lakeflow_call`."""
        return any(p.get("name") == CALL_PARAMETER for p in self.settings.get("parameters", []))


@dataclass(frozen=True)
class OnCluster:
    """Runs compute on the driver of this all-purpose cluster."""

    cluster_id: str


@dataclass(frozen=True)
class PerRun:
    """Each run computes on a job cluster of its own; `settings` are those of `new_cluster`."""

    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Serverless:
    """Runs compute on serverless compute with this version of its environment."""

    version: str


Place = OnCluster | PerRun | Serverless


def identity_of(project: str, address: str, user: str | None) -> str:
    """What makes a job the same job: project, target and, unless it is shared, user."""
    return digest([project, address, user])[:32]


def settings_for(
    *,
    name: str,
    description: str,
    identity: str,
    root: str,
    wheel: StampedWheel,
    libraries: Sequence[tuple[StampedWheel, str]],
    place: Place,
    options: JobOptions,
) -> dict[str, Any]:
    """The whole settings of a job (docs/architecture.md, "Job").

    `wheel` is the user's, `libraries` are the wheels to install with their paths, leaves first,
    `lakeflow_task` among them.
    """
    paths = [path for _, path in libraries]
    requires = [s.wheel for s, _ in libraries if s.wheel.name != "lakeflow-task"]
    parameters = [
        "--lakeflow-protocol=1",
        f"--distribution={wheel.wheel.distribution}",
        f"--entry-point={ENTRY_POINT}",
        f"--root={root}",
        *(f"--requires={w.distribution}=={w.version}" for w in requires),
        "--job-run={{job.run_id}}",
        "--task-run={{task.run_id}}",
        "--attempt={{task.execution_count}}",
        f"--call={{{{job.parameters.{CALL_PARAMETER}}}}}",
    ]
    task: dict[str, Any] = {
        "task_key": TASK_KEY,
        "python_wheel_task": {
            "package_name": "lakeflow_task",
            "entry_point": "lakeflow-run",
            "parameters": parameters,
        },
        "max_retries": options.retries,
    }
    settings: dict[str, Any] = {
        "name": name,
        "description": description,
        "tags": {**options.tags, IDENTITY_TAG: identity},
        "tasks": [task],
        "parameters": [{"name": CALL_PARAMETER, "default": encode_call([], {}, None)}],
        "max_concurrent_runs": MAX_CONCURRENT_RUNS,
        "queue": {"enabled": True},
    }
    if isinstance(place, Serverless):
        task["environment_key"] = _ENVIRONMENT
        task["disable_auto_optimization"] = True  # it retries what failed, whatever was asked
        spec = {"environment_version": place.version, "dependencies": paths}
        settings["environments"] = [{"environment_key": _ENVIRONMENT, "spec": spec}]
    else:
        task["libraries"] = [{"whl": path} for path in paths]
        if isinstance(place, PerRun):
            task["new_cluster"] = dict(place.settings)
        else:
            task["existing_cluster_id"] = place.cluster_id
    return settings | _optional(options)


def _optional(options: JobOptions) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if options.schedule is not None:
        found["schedule"] = {
            "quartz_cron_expression": options.schedule,
            "timezone_id": options.timezone,
            "pause_status": "UNPAUSED",
        }
    if options.timeout:
        found["timeout_seconds"] = options.timeout
    if options.notify:
        addresses = {f"on_{event}": list(to) for event, to in options.notify.items()}
        found["email_notifications"] = addresses
    if options.run_as is not None:
        kind = "user_name" if "@" in options.run_as else "service_principal_name"
        found["run_as"] = {kind: options.run_as}
    return found


_CODE = (
    "task_key",
    "python_wheel_task",
    "libraries",
    "existing_cluster_id",
    "new_cluster",
    "job_cluster_key",
    "environment_key",
    "disable_auto_optimization",
)
"""What of a task says which code runs, and where."""


def kept(settings: Mapping[str, Any], there: Job) -> dict[str, Any]:
    """The code of `settings`, and all else as the job that is there has it."""
    (task,) = settings["tasks"]
    old: Mapping[str, Any] = next(iter(there.settings.get("tasks", [])), {})
    besides = {name: value for name, value in old.items() if name not in _CODE}
    code = {name: task[name] for name in _CODE if name in task}
    found = {k: v for k, v in there.settings.items() if k not in ("environments", "job_clusters")}
    for name in ("name", "description", "parameters", "environments"):
        if name in settings:
            found[name] = settings[name]
    found["tags"] = {**(found.get("tags") or {}), **settings["tags"]}
    return {**found, "tasks": [{**besides, **code}]}


def named(workspace: Workspace, name: str) -> list[Job]:
    """All the jobs with this name, whoever made them."""
    found: list[Job] = []
    token: dict[str, str] = {}
    while True:
        page = workspace.get(f"{_API}/list", name=name, expand_tasks="true", limit=100, **token)
        found += [_read(raw) for raw in page.get("jobs", [])]
        if not page.get("next_page_token"):
            return found
        token = {"page_token": page["next_page_token"]}


def identified(jobs: Sequence[Job], identity: str) -> Job | None:
    """The one of `jobs` with this identity; None where there is none.

    Raises Refused where there are two: nobody can tell which one is meant.
    """
    ours = _of_identity(jobs, identity)
    if len(ours) > 1:
        ids = ", ".join(str(job.id) for job in sorted(ours, key=lambda job: job.id))
        raise Refused(
            f"there are {len(ours)} jobs named {ours[0].name!r} for this target ({ids}), and "
            "nothing says which one is meant. Delete all but one in the workspace."
        )
    return ours[0] if ours else None


def _of_identity(jobs: Sequence[Job], identity: str) -> list[Job]:
    return [job for job in jobs if (job.settings.get("tags") or {}).get(IDENTITY_TAG) == identity]


def get(workspace: Workspace, job_id: int) -> Job:
    """The job with this id. Raises UsageError where there is none."""
    try:
        raw = workspace.get(f"{_API}/get", job_id=job_id)
        workspace.member(raw, "job_id")
        return _read(raw)
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no job {job_id} in {workspace.host}") from error
        raise


def every(workspace: Workspace, *, expand: bool = False) -> Iterator[Job]:
    """Every job that can be seen, the newest first; with their tasks where `expand` is true."""
    options = {"limit": 100} | ({"expand_tasks": "true"} if expand else {})
    for raw in workspace.pages(f"{_API}/list", "jobs", **options):
        yield _read(raw)


def delete(workspace: Workspace, job_id: int) -> None:
    """Delete a job, which ends its runs. One that is gone already is no error."""
    try:
        workspace.post(f"{_API}/delete", {"job_id": job_id}, repeatable=True)
    except ApiError as error:
        if not error.missing:
            raise


def create(workspace: Workspace, settings: Mapping[str, Any]) -> int:
    """Make the job, once; returns its id.

    Where the reply was lost it is looked for before it is made again. Of the jobs that several
    deploys have made at the same time the first stays, and each of the others deletes its own.
    """
    identity = settings["tags"][IDENTITY_TAG]
    try:
        reply = workspace.post(f"{_API}/create", settings, repeatable=False)
    except ReplyLost:
        made = identified(named(workspace, settings["name"]), identity)
        if made is not None:
            return made.id
        reply = workspace.post(f"{_API}/create", settings, repeatable=False)
    job_id = int(reply["job_id"])
    twins = _of_identity(named(workspace, settings["name"]), identity)
    first = min(twins, key=lambda job: (job.created, job.id), default=None)
    if first is None or first.id == job_id:
        return job_id
    delete(workspace, job_id)
    reset(workspace, first.id, settings)
    return first.id


def reset(workspace: Workspace, job_id: int, settings: Mapping[str, Any]) -> None:
    """Replace the settings of a job whole; runs that were started keep what they have."""
    body = {"job_id": job_id, "new_settings": dict(settings)}
    workspace.post(f"{_API}/reset", body, repeatable=True)


def differs(settings: Mapping[str, Any], there: Job) -> bool:
    """Whether the job's settings are other than these, defaults that reading adds aside."""
    return bool(_plain(settings) != _plain(_comparable(there.settings, settings)))


def difference(settings: Mapping[str, Any], there: Job | None) -> list[str]:
    """What a deploy would change, as lines of a diff of the settings as JSON."""
    old, new = ({} if there is None else there.settings), settings
    before, after = (
        json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False).splitlines()
        for value in (_comparable(old, new), new)
    )
    return list(difflib.unified_diff(before, after, n=1, lineterm=""))[3:]


def url_of(workspace: Workspace, job_id: int) -> str:
    """The page of a job."""
    return f"{workspace.host}/jobs/{job_id}"


def _comparable(there: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were read, without what the cloud adds to a job cluster that we describe."""
    tasks = []
    for task in there.get("tasks", []):
        asked: Mapping[str, Any] = next(
            (t for t in ours["tasks"] if t["task_key"] == task.get("task_key")), {}
        )
        if "new_cluster" in task and "new_cluster" in asked:
            kept = {k: v for k, v in task["new_cluster"].items() if k in asked["new_cluster"]}
            task = {**task, "new_cluster": kept}
        tasks.append(task)
    found = {**there, "tasks": tasks} if tasks else dict(there)
    if "run_as" not in ours:  # a job that was run as somebody else stays so until somebody is named
        found.pop("run_as", None)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {k: _plain(v) for k, v in value.items() if v is not None}
        return {k: v for k, v in kept.items() if (k, v) not in _READ_DEFAULTS}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _read(raw: Mapping[str, Any]) -> Job:
    settings = dict(raw.get("settings") or {})
    given = settings.get("run_as") or {}
    run_as = raw.get("run_as_user_name") or next(iter(given.values()), None)
    created = int(raw.get("created_time") or 0)
    return Job(int(raw["job_id"]), str(settings.get("name", "")), settings, run_as, created)
