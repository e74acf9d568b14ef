"""Jobs and runs as API 2.0 shows them: of one task, whose fields stand beside the job's own.

Those of several tasks, which 2.0 does not know, look as in 2.1. What 2.0 is sent in this format is
understood by every version (job_settings.py). Source: docs.databricks.com/reference/jobs-2.0-api.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeflow_local.server.api import jobs, runs
from lakeflow_local.server.api.call import Answer, Call
from lakeflow_local.server.api.job_settings import COMPUTE
from lakeflow_local.server.api.jobs import versions
from lakeflow_local.server.api.paging import page_limit
from lakeflow_local.storage.records import TASK_KINDS

MAX_RUNS = 1000
ONLY_IN_TASKS = ("task_key", "run_if", "timeout_seconds", "email_notifications")


def get(call: Call) -> Answer:
    return _flat_job(call, _mapping(jobs.get(call, is_paged=False)))


def list_jobs(call: Call) -> Answer:
    """All of them, on one page."""
    found: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"limit": 100, "expand_tasks": True}
    while True:
        answer = _mapping(jobs.list_jobs(call.within(parameters)))
        found.extend(_flat_job(call, job) for job in answer.get("jobs", ()))
        if not answer["has_more"]:
            return {"jobs": found} if found else {}
        parameters["page_token"] = answer["next_page_token"]


def get_run(call: Call) -> Answer:
    return _flat_run(call, _mapping(runs.get(call, is_paged=False)))


def get_output(call: Call) -> Answer:
    return {**_mapping(runs.get_output(call)), "metadata": get_run(call)}


def list_runs(call: Call) -> Answer:
    """Up to 1000 at once, from `offset` on; without page tokens."""
    limit = page_limit(call, 20, MAX_RUNS, zero_is_most=True)
    parameters: dict[str, Any] = {**call.parameters, "expand_tasks": True}
    found: list[dict[str, Any]] = []
    while True:
        parameters["limit"] = min(limit - len(found), runs.MAX_LISTED)
        answer = _mapping(runs.list_runs(call.within(parameters)))
        found.extend(_flat_run(call, run) for run in answer.get("runs", ()))
        if len(found) == limit or not answer["has_more"]:
            return {"has_more": answer["has_more"]} | ({"runs": found} if found else {})
        parameters |= {"page_token": answer["next_page_token"], "offset": 0}


def _flat_job(call: Call, view: Mapping[str, Any]) -> dict[str, Any]:
    """A job with the fields of its one task, where 2.0 was sent it so."""
    if jobs.stored_format(call, view["job_id"]) != "SINGLE_TASK":
        return dict(view)
    settings = {**view["settings"], "format": "SINGLE_TASK"}
    (task,) = settings.pop("tasks")
    own = {name: value for name, value in task.items() if name not in ONLY_IN_TASKS}
    return {**view, "settings": {**own, **settings}}


def _flat_run(call: Call, view: Mapping[str, Any]) -> dict[str, Any]:
    """A job run with the fields of the last attempt of its one task."""
    run, tasks, task = runs.find_run(call, view["run_id"])
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


def _mapping(answer: Answer) -> Mapping[str, Any]:
    assert isinstance(answer, Mapping)
    return answer


ROUTES = (
    *versions("GET", "get", get, ["2.0"]),
    *versions("GET", "list", list_jobs, ["2.0"]),
    *versions("GET", "runs/get", get_run, ["2.0"]),
    *versions("GET", "runs/get-output", get_output, ["2.0"]),
    *versions("GET", "runs/list", list_runs, ["2.0"]),
)
