"""Commands about jobs: list and delete them; the links of jobs and runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.option_types import Yes, confirmed, parse_id
from lakeflow.errors import Refused, UsageError

JobId = Annotated[int, typer.Argument(metavar="JOB", help="Id of the job.", parser=parse_id)]


def list_jobs(
    all_jobs: Annotated[
        bool, typer.Option("--all", help="Include jobs that lakeflow did not deploy.")
    ] = False,
    common: Common = Common(),
) -> None:
    """List the jobs deployed by lakeflow: id, name, link.

    \b
    Example:
      lakeflow list-jobs
    """
    launcher = common.launcher()
    jobs = launcher.jobs.list(all_jobs=all_jobs)
    rows = [(job.id, job.name, f"{launcher.workspace.host}/jobs/{job.id}") for job in jobs]
    width = max((len(name) for _, name, _ in rows), default=0)
    common.emit(
        [{"job_id": job_id, "name": name, "url": url} for job_id, name, url in rows],
        (f"{job_id}  {name:<{width}}  {url}" for job_id, name, url in rows),
    )


def delete_job(
    job: JobId,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """Delete a job, which cancels its runs. Its wheels stay until `lakeflow gc`.

    \b
    Example:
      lakeflow delete-job 123456 --yes
    """
    launcher = common.launcher()
    plan = launcher.jobs.plan_delete(job)
    runs = " Its active runs are cancelled." if plan.has_active_runs else ""
    if not confirmed(f"Delete the job {plan.job.name} ({job})?{runs}", yes):
        raise Refused(f"the job {plan.job.name} ({job}) was not deleted")
    deleted = launcher.apply(plan)
    common.emit({"job_id": deleted.id, "name": deleted.name})


def open_page(
    run: Annotated[
        int | None, typer.Argument(metavar="[RUN]", help="Id of the run.", parser=parse_id)
    ] = None,
    job: Annotated[
        int | None,
        typer.Option("--job", metavar="JOB", parser=parse_id, help="Open a job instead of a run."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Also open it in the web browser.")
    ] = False,
    common: Common = Common(),
) -> None:
    """Print the link of a run or a job in the web UI.

    \b
    Examples:
      lakeflow open 987654321
      lakeflow open --job 123456 --browser
    """
    launcher = common.launcher()
    if run is not None and job is None:
        url = launcher.runs.url(run)
    elif job is not None and run is None:
        url = launcher.jobs.url(job)
    else:
        raise UsageError("pass either a run, or a job with --job")
    common.emit({"url": url}, [url])
    if browser:
        typer.launch(url)
