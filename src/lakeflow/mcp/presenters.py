"""What the launcher knows, as tools answer it: bounded, dated, with a link and a next step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from lakeflow.mcp import results as answers
from lakeflow.mcp.guard import Guard
from lakeflow.mcp.plans import Planned
from lakeflow.mcp.sanitize import fenced, short

if TYPE_CHECKING:
    from lakeflow.operations.report import Report, TargetReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.runs import Run, Task

NAME = 200
"""Characters that are shown of a name."""

_ARGUMENTS = 50
"""Arguments that are shown of a run, each cut at `NAME`."""

_MESSAGE = 2000
"""Characters that are shown of a message."""


def more(shown: int, offset: int, total: int) -> str | None:
    """How to get the rest of a list; None where there is none."""
    end = offset + shown
    return f"{total - end} more: the same with offset={end}" if end < total else None


def link(guard: Guard, kind: str, number: int, url: str) -> str:
    """A resource of this server, or where links are allowed the page in the workspace."""
    return url if guard.limits.links and url else f"lakeflow://{kind}/{number}"


def job_line(guard: Guard, job: Job) -> answers.JobLine:
    return answers.JobLine(str(job.id), short(job.name, NAME), job_link(guard, job.id))


def job_link(guard: Guard, job_id: int) -> str:
    """The link to a job."""
    return link(guard, "jobs", job_id, guard.page_of_job(job_id))


def job_detail(guard: Guard, job: Job) -> answers.JobDetail:
    settings = job.settings
    schedule = settings.get("schedule") or {}
    cron = f"{schedule.get('quartz_cron_expression')} {schedule.get('timezone_id')}"
    tags = list((settings.get("tags") or {}).items())[:50]
    return answers.JobDetail(
        id=str(job.id),
        name=short(job.name, NAME),
        link=job_link(guard, job.id),
        made_by_lakeflow=guard.is_ours(job),
        takes_arguments=job.takes_calls,
        compute=_compute_of(job),
        wheels=[short(wheel, NAME) for wheel in _wheels_of(job)[:50]],
        schedule=short(cron, NAME) if schedule else None,
        run_as=None if job.run_as is None else short(job.run_as, NAME),
        tags={short(str(k), NAME): short(str(v), NAME) for k, v in tags},
        max_concurrent_runs=int(settings.get("max_concurrent_runs") or 1),
        next=f'start runs with trigger_runs (job_id "{job.id}"), or look at list_runs',
    )


def _compute_of(job: Job) -> str:
    for task in job.settings.get("tasks", []):
        if task.get("existing_cluster_id"):
            return f"the cluster {short(str(task['existing_cluster_id']), NAME)}"
        if task.get("environment_key"):
            return "serverless"
        if task.get("new_cluster") or task.get("job_cluster_key"):
            return "a cluster for each run"
    return "unknown"


def _wheels_of(job: Job) -> list[str]:
    settings = job.settings
    found = [
        str(library["whl"])
        for task in settings.get("tasks", [])
        for library in task.get("libraries") or []
        if library.get("whl")
    ]
    for environment in settings.get("environments") or []:
        found += map(str, (environment.get("spec") or {}).get("dependencies") or [])
    return [path.rpartition("/")[2] for path in dict.fromkeys(found)]


def cluster_line(guard: Guard, cluster: Cluster) -> answers.ClusterLine:
    return answers.ClusterLine(
        id=cluster.id,
        name=short(cluster.name, NAME),
        state=cluster.state,
        runtime=cluster.runtime,
        node_type=cluster.driver_type,
        max_workers=cluster.max_workers,
        made_by_lakeflow=guard.is_our_cluster(cluster),
    )


def run_line(guard: Guard, run: Run) -> answers.RunLine:
    outcome = cast("answers.Outcome | None", run.state.outcome)
    until = run.ended or datetime.now(timezone.utc).timestamp() * 1000
    return answers.RunLine(
        id=str(run.id),
        job_id=str(run.job_id),
        state=run.state.life,
        outcome=outcome,
        arguments=None if run.argv is None else arguments(run.argv),
        started=moment(run.started),
        seconds=round(max(0.0, until - run.started) / 1000, 1) if run.started else None,
        link=link(guard, "runs", run.id, run.url),
    )


def arguments(argv: Sequence[str]) -> list[str]:
    """The arguments of a run, as far as they are shown."""
    shown = [word if len(word) <= NAME else word[: NAME - 1] + "…" for word in argv[:_ARGUMENTS]]
    left = len(argv) - len(shown)
    return [*shown, f"… {left} more"] if left else shown


def moment(milliseconds: int) -> str | None:
    """Unix milliseconds as ISO 8601; None where it has not come to that."""
    if not milliseconds:
        return None
    when = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def run_detail(guard: Guard, run: Run) -> answers.RunDetail:
    from lakeflow.resources import termination_codes

    tasks = [
        answers.TaskLine(
            task=short(task.key, NAME),
            state=task.state.life,
            outcome=cast("answers.Outcome | None", task.state.outcome),
            attempt=task.attempt,
            message=_said_of(task),
        )
        for task in run.tasks[:100]
    ]
    ended_well = run.state.outcome in (None, "succeeded")
    return answers.RunDetail(
        run=run_line(guard, run),
        name=short(run.name, NAME),
        environment=[short(name, NAME) for name in run.env[:_ARGUMENTS]],
        tasks=tasks,
        message=message(run),
        meaning=None if ended_well else termination_codes.meaning_of(run.state.code),
        next=next_step(run),
    )


def _said_of(task: Task) -> str:
    """Databricks' own words about a task, fenced; empty where it says nothing."""
    said = short(task.state.message, NAME)
    return fenced("Databricks about the task", said) if said else ""


def message(run: Run) -> str | None:
    """Databricks' own words about where a run is, fenced."""
    said = run.state.message
    return fenced("Databricks about the run", said[:_MESSAGE]) if said else None


def next_step(run: Run) -> str:
    """What to do after a look at a run."""
    if run.state.outcome is None:
        return f'it goes on: wait_for_runs (run_ids ["{run.id}"]), or read_logs meanwhile'
    if run.state.outcome == "failed":
        return f'explain_failure (run_id "{run.id}") says why; repair_run runs what failed again'
    return f'read_logs (run_id "{run.id}") shows what it printed, read_outputs what it left'


def plan(token: str, planned: Planned) -> answers.Plan:
    steps, changes = _cut(planned.steps), _cut(planned.changes)
    told = "nothing was done. The same call with this plan_token does exactly this"
    return answers.Plan(token, steps, changes, told)


def _cut(lines: Sequence[str], most: int = 200) -> list[str]:
    shown = [short(line, 300) for line in lines[:most]]
    left = len(lines) - len(shown)
    return [*shown, f"… {left} lines more"] if left else shown


def started(guard: Guard, results: Sequence[RunResult]) -> list[answers.StartedRun]:
    return [
        answers.StartedRun(
            index=result.ordinal,
            id=str(result.run_id),
            arguments=arguments(result.argv),
            link=link(guard, "runs", result.run_id, result.url),
        )
        for result in results
    ]


def deployed(guard: Guard, report: Report) -> list[answers.DeployedJob]:
    return [_deployed(guard, target) for target in report.targets if target.job_id is not None]


def _deployed(guard: Guard, target: TargetReport) -> answers.DeployedJob:
    assert target.job_id is not None
    wheels = [
        answers.DeployedWheel(w.distribution, w.stamped_version, w.path, w.uploaded_bytes)
        for w in target.wheels
    ]
    return answers.DeployedJob(
        id=str(target.job_id),
        name=short(target.job_name, NAME),
        link=link(guard, "jobs", target.job_id, target.job_url or ""),
        cluster_id=target.cluster_id,
        wheels=wheels,
    )
