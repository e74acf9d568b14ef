"""Lists of runs and jobs, and a job with its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from lakeflow_local.runs.conditions import dependencies
from lakeflow_local.server.ui.graph import Box, lay_out
from lakeflow_local.server.ui.page_request import PageRequest
from lakeflow_local.storage.database import now

JOBS_PER_PAGE = 50
SHOWN_LATEST_RUNS = 12


def show_runs(page: PageRequest) -> Response:
    """Show the runs of all jobs, latest first; with `active` only those that are not finished."""
    is_active = "active" in page.request.query_params
    response = _list_runs(page, active_only=is_active, **page.page_token())
    return page.render(
        "runs.html",
        runs=response.get("runs", []),
        active=is_active,
        next_page=page.next_page(response),
        now=now(),
    )


def show_jobs(page: PageRequest) -> Response:
    """Show the jobs with their latest runs."""
    response = page.call_api("GET", "/api/2.2/jobs/list", limit=JOBS_PER_PAGE, **page.page_token())
    rows = []
    for job in response.get("jobs", []):
        runs = _list_runs(page, job_id=job["job_id"]).get("runs", [])
        rows.append({"job": job, "runs": runs[:SHOWN_LATEST_RUNS]})
    return page.render("jobs.html", rows=rows, next_page=page.next_page(response), now=now())


def show_job(page: PageRequest) -> Response:
    """Show a job: its runs, the graph of its tasks, and its settings."""
    job_id = page.number("job")
    job = page.call_api("GET", "/api/2.2/jobs/get", job_id=job_id)
    response = _list_runs(page, job_id=job_id, **page.page_token())
    tasks = job["settings"].get("tasks", ())
    return page.render(
        "job.html",
        job=job,
        graph=lay_out(Box(task["task_key"], dependencies(task)) for task in tasks),
        runs=response.get("runs", []),
        next_page=page.next_page(response),
        now=now(),
    )


def _list_runs(page: PageRequest, **parameters: Any) -> Mapping[str, Any]:
    """Return a page of runs, latest first, as many as the API returns at once."""
    return page.call_api("GET", "/api/2.2/jobs/runs/list", limit=0, **parameters)
