"""Jobs and runs as API 2.0 returns them: with the fields of their one task among the job's own.

Those with several tasks, which 2.0 does not support, look as in 2.1. Every version accepts settings
in the format of 2.0 (job_settings.py). Source: docs.databricks.com/reference/jobs-2.0-api.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeflow_local.server.api import jobs, runs
from lakeflow_local.server.api.authorization import anyone, on_job, on_run
from lakeflow_local.server.api.job_settings import COMPUTE
from lakeflow_local.server.api.paging import page_limit
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import versioned
from lakeflow_local.storage.settings import TASK_KINDS

MAX_RUNS = 1000
ONLY_IN_TASKS = ("task_key", "run_if", "timeout_seconds", "email_notifications")


def get(request: ApiRequest) -> ApiResponse:
    return _flat_job(request, _mapping(jobs.get(request, is_paged=False)))


def list_jobs(request: ApiRequest) -> ApiResponse:
    """List all jobs on one page."""
    found: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"limit": 100, "expand_tasks": True}
    while True:
        response = _mapping(jobs.list_jobs(request.within(parameters)))
        found.extend(_flat_job(request, job) for job in response.get("jobs", ()))
        if not response["has_more"]:
            return {"jobs": found} if found else {}
        parameters["page_token"] = response["next_page_token"]


def get_run(request: ApiRequest) -> ApiResponse:
    return _flat_run(request, _mapping(runs.get(request, is_paged=False)))


def get_output(request: ApiRequest) -> ApiResponse:
    return {**_mapping(runs.get_output(request)), "metadata": get_run(request)}


def list_runs(request: ApiRequest) -> ApiResponse:
    """List up to 1000 runs from `offset`, without page tokens."""
    limit = page_limit(request, 20, MAX_RUNS, zero_is_most=True)
    parameters: dict[str, Any] = {**request.parameters, "expand_tasks": True}
    found: list[dict[str, Any]] = []
    while True:
        parameters["limit"] = min(limit - len(found), runs.MAX_LISTED)
        response = _mapping(runs.list_runs(request.within(parameters)))
        found.extend(_flat_run(request, run) for run in response.get("runs", ()))
        if len(found) == limit or not response["has_more"]:
            return {"has_more": response["has_more"]} | ({"runs": found} if found else {})
        parameters |= {"page_token": response["next_page_token"], "offset": 0}


def _flat_job(request: ApiRequest, view: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job with the fields of its one task, if it was sent in the format of 2.0."""
    if jobs.stored_format(request, view["job_id"]) != "SINGLE_TASK":
        return dict(view)
    settings = {**view["settings"], "format": "SINGLE_TASK"}
    (task,) = settings.pop("tasks")
    own = {name: value for name, value in task.items() if name not in ONLY_IN_TASKS}
    return {**view, "settings": {**own, **settings}}


def _flat_run(request: ApiRequest, view: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job run with the fields of the last attempt of its one task."""
    run, tasks, task = runs.find_run(request, view["run_id"])
    if run.settings["format"] != "SINGLE_TASK" or not (tasks or task):
        return dict(view)
    shown = view if task is not None else view["tasks"][-1]
    flat = {name: value for name, value in view.items() if name not in ("tasks", *ONLY_IN_TASKS)}
    for name in (*TASK_KINDS, *COMPUTE, "libraries"):
        flat.pop(name, None)
    spec = {name: shown[name] for name in (*COMPUTE, "libraries") if name in shown}
    for name in ("setup_duration", "execution_duration", "cluster_instance"):
        if name in shown:
            flat[name] = shown[name]
    return {
        **flat,
        "format": "SINGLE_TASK",
        "attempt_number": shown["attempt_number"],
        "task": {name: shown[name] for name in TASK_KINDS if name in shown},
        "cluster_spec": spec,
    }


def _mapping(response: ApiResponse) -> Mapping[str, Any]:
    assert isinstance(response, Mapping)
    return response


ROUTES = (
    *versioned(["2.0"], "GET", "jobs/get", get, on_job("CAN_VIEW")),
    *versioned(["2.0"], "GET", "jobs/list", list_jobs, anyone),
    *versioned(["2.0"], "GET", "jobs/runs/get", get_run, on_run("CAN_VIEW")),
    *versioned(["2.0"], "GET", "jobs/runs/get-output", get_output, on_run("CAN_VIEW")),
    *versioned(["2.0"], "GET", "jobs/runs/list", list_runs, anyone),
)
