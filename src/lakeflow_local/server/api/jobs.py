"""Jobs: `/api/2.{0,1,2}/jobs/`. Source: docs.databricks.com/api/workspace/jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, cast

from lakeflow_local.runs import schedules
from lakeflow_local.server.api import permissions
from lakeflow_local.server.api.authorization import anyone, on_job
from lakeflow_local.server.api.errors import ApiError, invalid
from lakeflow_local.server.api.job_settings import MERGED_BY, change_task, check_settings
from lakeflow_local.server.api.paging import after, page, page_limit, slice_tasks, with_next_page
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import versioned
from lakeflow_local.storage.database import now
from lakeflow_local.storage.job_repository import Job
from lakeflow_local.storage.settings import JobSettings, TaskSettings

VERSIONS = ("2.2", "2.1", "2.0")
MAX_JOBS = 12_000
"""Saved jobs of a workspace: docs.databricks.com/resources/limits."""

QUOTA_MESSAGE = (
    f"The quota for the number of jobs has been reached. The current quota is {MAX_JOBS}. This"
    " quota is only applied to jobs created through the UI or the /jobs/create endpoint, which are"
    " displayed in the Jobs UI."
)


def create(request: ApiRequest, *, queues: bool = False) -> ApiResponse:
    """Create a job. `queues`: runs queue by default, as in API 2.2."""
    settings = check_settings(request, dict(request.parameters), queues=queues)
    acl = permissions.read_acl(request, "jobs")
    storage, owner = request.workspace.storage, request.principal.name
    with storage.transaction():
        if storage.jobs.count() >= MAX_JOBS:
            raise ApiError(400, "QUOTA_EXCEEDED", QUOTA_MESSAGE)
        job_id = storage.jobs.create(settings, owner, now())
        schedules.change(storage, job_id, settings, {}, now())
        permissions.store_acl(
            storage, "jobs", str(job_id), acl, owner=request.principal.name, is_whole=True
        )
    request.workspace.scheduler.wake()
    return {"job_id": job_id}


def reset(request: ApiRequest, *, queues: bool = False) -> ApiResponse:
    given = dict(request.mapping("new_settings"))
    with request.workspace.storage.transaction():
        job = find_job(request)
        run_as = _kept_run_as(given, job.settings)
        settings = check_settings(request, given, queues=queues)
        _replace(request, job, {**settings, **run_as})
    request.workspace.scheduler.wake()
    return {}


def update(request: ApiRequest) -> ApiResponse:
    """Merge settings: replace top-level fields, merge tasks and parameters by their keys."""
    changes = dict(request.mapping("new_settings"))
    with request.workspace.storage.transaction():
        job = find_job(request)
        settings = cast(dict[str, Any], deepcopy(job.settings))
        is_single = settings["format"] == "SINGLE_TASK" and "tasks" not in changes
        if is_single:
            settings["tasks"] = [change_task(settings["tasks"][0], changes)]
        for path in request.parameters.get("fields_to_remove") or []:
            _remove_field(settings, str(path))
        for name, value in changes.items():
            key = MERGED_BY.get(name)
            if key and isinstance(value, list):
                merged = {item.get(key): item for item in settings.get(name, [])}
                merged.update({item.get(key): item for item in value if isinstance(item, dict)})
                value = list(merged.values())
            settings[name] = value
        run_as = _kept_run_as(settings, job.settings) if "run_as" in settings else {}
        checked: JobSettings = {**check_settings(request, settings), **run_as}
        if is_single:
            checked["format"] = "SINGLE_TASK"
        _replace(request, job, checked)
    request.workspace.scheduler.wake()
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Delete a job and cancel its runs, which stay listed."""
    storage = request.workspace.storage
    with storage.transaction():
        job = find_job(request)
        storage.jobs.delete(job.job_id)
        active = storage.runs.active_ids(job.job_id)
    for run_id in active:
        request.workspace.scheduler.cancel(run_id)
    return {}


def get(request: ApiRequest, *, is_paged: bool = True) -> ApiResponse:
    """Return a job; API 2.2 returns 100 of its tasks per page."""
    job = find_job(request)
    settings: dict[str, Any] = {**job.settings, "tasks": _shown_tasks(job.settings["tasks"])}
    if not is_paged:
        return _job_view(request, job, settings)
    settings["tasks"], start, next_token = slice_tasks(request, settings["tasks"])
    if start:
        settings.pop("parameters", None)
    return with_next_page(_job_view(request, job, settings), next_token)


def list_jobs(request: ApiRequest) -> ApiResponse:
    """List jobs, newest first. `name` ignores case; `expand_tasks` adds tasks and parameters."""
    limit = page_limit(request, 20, 100)
    found = request.workspace.storage.jobs.list(
        request.workspace.permissions.viewer(request.principal),
        before=after(request, 2**62),
        name=request.text("name") if request.parameters.get("name") else None,
        limit=limit + 1,
        offset=request.number("offset", 0),
    )
    jobs = []
    for job in found[:limit]:
        settings: dict[str, Any] = {**job.settings}
        has_more = len(settings["tasks"]) > 100
        if request.flag("expand_tasks"):
            settings["tasks"] = _shown_tasks(settings["tasks"])[:100]
        else:
            settings.pop("tasks")
            settings.pop("parameters", None)
        jobs.append(_job_view(request, job, settings) | {"has_more": has_more})
    return page("jobs", jobs, len(found) > limit, lambda view: [view["job_id"]])


def _kept_run_as(settings: dict[str, Any], before: JobSettings) -> JobSettings:
    """Take an unchanged run-as principal out of new settings, and return it.

    So changing a job does not take the permission to name that principal.
    """
    if settings.get("run_as", before.get("run_as")) != before.get("run_as"):
        return {}
    settings.pop("run_as", None)
    return {"run_as": before["run_as"]} if "run_as" in before else {}


def stored_format(request: ApiRequest, job_id: int) -> str:
    """Return `SINGLE_TASK` for a job that was sent in the format of API 2.0."""
    job = request.workspace.storage.jobs.get(job_id)
    return "" if job is None else job.settings["format"]


def find_job(request: ApiRequest) -> Job:
    """Return the job that the request names, by its `job_id`."""
    return existing_job(request, request.number("job_id"))


def existing_job(request: ApiRequest, job_id: int) -> Job:
    """Return a job. Raises the error of one that does not exist."""
    job = request.workspace.storage.jobs.get(job_id)
    if job is None:
        raise invalid(f"Job {job_id} does not exist.")
    return job


def _replace(request: ApiRequest, job: Job, settings: JobSettings) -> None:
    storage = request.workspace.storage
    schedules.change(storage, job.job_id, settings, job.settings, now())
    storage.jobs.change(job.job_id, settings)
    # A changed timeout is the only change that holds for active runs too.
    storage.runs.set_timeout_of_active(job.job_id, settings["timeout_seconds"])


def _remove_field(settings: dict[str, Any], path: str) -> None:
    """Remove a field by its path: `name`, or `tasks/task_key`."""
    name, _, key = path.partition("/")
    if not key:
        settings.pop(name, None)
    elif name in MERGED_BY and name in settings:
        by = MERGED_BY[name]
        settings[name] = [item for item in settings[name] if item.get(by) != key]
    elif isinstance(settings.get(name), dict):
        settings[name].pop(key, None)


def _job_view(request: ApiRequest, job: Job, settings: Mapping[str, Any]) -> dict[str, Any]:
    creator = job.creator or request.workspace.user
    return {
        "job_id": job.job_id,
        "creator_user_name": creator,
        "run_as_user_name": job.run_as or creator,
        "created_time": job.created,
        "settings": {**settings, "format": "MULTI_TASK"},
    }


def _shown_tasks(tasks: Sequence[TaskSettings]) -> list[dict[str, Any]]:
    defaults = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}}
    return [{**defaults, **task} for task in tasks]


ROUTES = (
    *versioned(["2.2"], "POST", "jobs/create", partial(create, queues=True), anyone),
    *versioned(["2.1", "2.0"], "POST", "jobs/create", create, anyone),
    *versioned(["2.2"], "POST", "jobs/reset", partial(reset, queues=True), on_job("CAN_MANAGE")),
    *versioned(["2.1", "2.0"], "POST", "jobs/reset", reset, on_job("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "jobs/update", update, on_job("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "jobs/delete", delete, on_job("CAN_MANAGE")),
    *versioned(["2.2"], "GET", "jobs/get", get, on_job("CAN_VIEW")),
    *versioned(["2.1"], "GET", "jobs/get", partial(get, is_paged=False), on_job("CAN_VIEW")),
    *versioned(["2.2", "2.1"], "GET", "jobs/list", list_jobs, anyone),
)
