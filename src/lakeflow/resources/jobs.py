"""Jobs: their settings, computed whole and applied only if different, and requests about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow.client.http_errors import ApiError, ReplyLost
from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused, UsageError
from lakeflow.resources.field_diff import diff
from lakeflow.specs.compute import CLOUD_ATTRIBUTES, COMPUTE_TASK_FIELDS, Placement
from lakeflow.specs.job import IDENTITY_TAG as IDENTITY_TAG
from lakeflow.specs.job import JobOptions
from lakeflow.state.hashing import digest
from lakeflow_task.protocol import ENTRY_POINT, encode_call

if TYPE_CHECKING:
    from lakeflow.wheels.stamping import StampedWheel

CALL_PARAMETER = "lakeflow_call"
TASK_KEY = "main"
MAX_CONCURRENT_RUNS = 1000
"""The limit of a job; the default of 1 skips further runs (Jobs API, create)."""

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
    ("performance_target", "PERFORMANCE_OPTIMIZED"),
    ("edit_mode", "UI_LOCKED"),
    ("edit_mode", "EDITABLE"),
)


@dataclass(frozen=True)
class Job:
    """A job as the workspace describes it.

    `run_as` is known only of a job that was read by its id; `created` is in Unix milliseconds.
    """

    id: int
    name: str
    settings: Mapping[str, Any]
    run_as: str | None = None
    created: int = 0

    @property
    def cluster_id(self) -> str | None:
        """The all-purpose cluster of its task; None for other compute."""
        for task in self.settings.get("tasks", []):
            if task.get("existing_cluster_id"):
                return str(task["existing_cluster_id"])
        return None

    @property
    def takes_calls(self) -> bool:
        """Whether lakeflow deployed it: then arguments travel as `lakeflow_call`."""
        return any(p.get("name") == CALL_PARAMETER for p in self.settings.get("parameters", []))


def identity_of(project: str, address: str, user: str | None) -> str:
    """Return the identity of a job: a digest of project, target and user (None: shared)."""
    return digest([project, address, user])[:32]


def build_settings(
    *,
    name: str,
    description: str,
    identity: str,
    root: str,
    wheel: StampedWheel,
    libraries: Sequence[tuple[StampedWheel, str]],
    placement: Placement,
    options: JobOptions,
) -> dict[str, Any]:
    """Return the whole settings of a job (docs/architecture.md, "Job").

    `wheel` is the user's, `libraries` are the wheels to install with their paths, leaves first,
    including `lakeflow_task`.
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
        **placement.task_fields(paths),
    }
    return {
        "name": name,
        "description": description,
        "tags": {**options.tags, IDENTITY_TAG: identity},
        "tasks": [task],
        "parameters": [{"name": CALL_PARAMETER, "default": encode_call([], {}, None)}],
        "max_concurrent_runs": MAX_CONCURRENT_RUNS,
        "queue": {"enabled": True},
        **placement.job_fields(paths),
        **_optional(options),
    }


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


_CODE_FIELDS = ("task_key", "python_wheel_task", *COMPUTE_TASK_FIELDS)
"""Fields of a task that say which code runs, and where."""


def replace_code(settings: Mapping[str, Any], existing: Job) -> dict[str, Any]:
    """Return the settings of an existing job with the code and compute of `settings`."""
    (task,) = settings["tasks"]
    old: Mapping[str, Any] = next(iter(existing.settings.get("tasks", [])), {})
    others = {name: value for name, value in old.items() if name not in _CODE_FIELDS}
    code = {name: task[name] for name in _CODE_FIELDS if name in task}
    left_out = ("environments", "job_clusters")
    found = {k: v for k, v in existing.settings.items() if k not in left_out}
    for name in ("name", "description", "parameters", "environments", "performance_target"):
        if name in settings:
            found[name] = settings[name]
    found["tags"] = {**(found.get("tags") or {}), **settings["tags"]}
    return {**found, "tasks": [{**others, **code}]}


def list_by_name(workspace: Workspace, name: str) -> list[Job]:
    """Return all jobs with exactly this name, whoever created them.

    The filter of the Jobs API ignores case (Jobs API, list).
    """
    options: dict[str, Any] = {"name": name, "expand_tasks": "true", "limit": 100}
    found = (_parse(raw) for raw in workspace.pages(f"{_API}/list", "jobs", **options))
    return [job for job in found if job.name == name]


def find_by_identity(jobs: Sequence[Job], identity: str) -> Job | None:
    """Return the job with this identity; None if not found.

    Raises Refused if there are several: nothing tells which one is meant.
    """
    ours = _with_identity(jobs, identity)
    if len(ours) > 1:
        ids = ", ".join(str(job.id) for job in sorted(ours, key=lambda job: job.id))
        raise Refused(
            f"{len(ours)} jobs named {ours[0].name!r} belong to this target: {ids}.\n"
            "hint: delete all but one of them in the workspace."
        )
    return ours[0] if ours else None


def _with_identity(jobs: Sequence[Job], identity: str) -> list[Job]:
    return [job for job in jobs if (job.settings.get("tags") or {}).get(IDENTITY_TAG) == identity]


def get(workspace: Workspace, job_id: int) -> Job:
    """Return the job with this id. Raises UsageError if not found."""
    try:
        raw = workspace.get(f"{_API}/get", job_id=job_id)
        workspace.member(raw, "job_id")
        return _parse(raw)
    except ApiError as error:
        if error.missing:
            raise UsageError(
                f"job {job_id} not found in {workspace.host}\nhint: lakeflow list-jobs"
            ) from error
        raise


def list_all(workspace: Workspace, *, expand: bool = False) -> Iterator[Job]:
    """Yield all visible jobs, newest first, with their tasks if `expand` is true."""
    options = {"limit": 100} | ({"expand_tasks": "true"} if expand else {})
    for raw in workspace.pages(f"{_API}/list", "jobs", **options):
        yield _parse(raw)


def delete(workspace: Workspace, job_id: int) -> None:
    """Delete a job and cancel its runs; a job that does not exist is no error."""
    try:
        workspace.post(f"{_API}/delete", {"job_id": job_id}, repeatable=True)
    except ApiError as error:
        if not error.missing:
            raise


def create(workspace: Workspace, settings: Mapping[str, Any]) -> int:
    """Create the job, once, and return its id.

    After a lost reply the job is looked up before it is created again. If several deploys create
    the job at the same time, the first one stays and the other deploys delete theirs.
    """
    identity = settings["tags"][IDENTITY_TAG]
    try:
        reply = workspace.post(f"{_API}/create", settings, repeatable=False)
    except ReplyLost:
        created = find_by_identity(list_by_name(workspace, settings["name"]), identity)
        if created is not None:
            return created.id
        reply = workspace.post(f"{_API}/create", settings, repeatable=False)
    job_id = int(reply["job_id"])
    duplicates = _with_identity(list_by_name(workspace, settings["name"]), identity)
    first = min(duplicates, key=lambda job: (job.created, job.id), default=None)
    if first is None or first.id == job_id:
        return job_id
    delete(workspace, job_id)
    reset(workspace, first.id, settings)
    return first.id


def reset(workspace: Workspace, job_id: int, settings: Mapping[str, Any]) -> None:
    """Replace the settings of a job; runs that were started keep theirs."""
    body = {"job_id": job_id, "new_settings": dict(settings)}
    workspace.post(f"{_API}/reset", body, repeatable=True)


def differences(
    settings: Mapping[str, Any], existing: Job | None
) -> dict[str, tuple[object, object]]:
    """Return the fields in which a job differs from `settings`, as pairs of old and new value.

    Defaults that Databricks adds when settings are read are no difference.
    """
    old = {} if existing is None else _plain(_comparable(existing.settings, settings))
    new = _plain(settings)
    found = diff(old, new)
    return found if found or old == new else {"settings": (old, new)}


def url_of(workspace: Workspace, job_id: int) -> str:
    """Return the address of a job's page."""
    return f"{workspace.host}/jobs/{job_id}"


def _comparable(existing: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as read, without what the cloud adds to a job cluster that we describe."""
    tasks = []
    for task in existing.get("tasks", []):
        own: Mapping[str, Any] = next(
            (t for t in ours["tasks"] if t["task_key"] == task.get("task_key")), {}
        )
        if "new_cluster" in task and "new_cluster" in own:
            task = {**task, "new_cluster": _kept(task["new_cluster"], own["new_cluster"])}
        tasks.append(task)
    found = {**existing, "tasks": tasks} if tasks else dict(existing)
    if "run_as" not in ours:  # not given: a job keeps its run-as principal
        found.pop("run_as", None)
    return found


def _kept(existing: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of `existing` that `ours` has, also of the cloud's attributes."""
    found = {k: v for k, v in existing.items() if k in ours}
    for name in CLOUD_ATTRIBUTES:
        if isinstance(found.get(name), Mapping):
            found[name] = {k: v for k, v in found[name].items() if k in ours[name]}
    if _NEVER_READ in ours:
        found[_NEVER_READ] = ours[_NEVER_READ]
    return found


_NEVER_READ = "apply_policy_default_values"
"""A setting of a cluster that is sent and never read back (databricks/cli, issue 5731)."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {k: _plain(v) for k, v in value.items() if v is not None}
        return {k: v for k, v in kept.items() if (k, v) not in _READ_DEFAULTS}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _parse(raw: Mapping[str, Any]) -> Job:
    settings = dict(raw.get("settings") or {})
    given = settings.get("run_as") or {}
    run_as = raw.get("run_as_user_name") or next(iter(given.values()), None)
    created = int(raw.get("created_time") or 0)
    return Job(int(raw["job_id"]), str(settings.get("name", "")), settings, run_as, created)
