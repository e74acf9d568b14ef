"""Convert what the launcher returns into results: bounded, with a link and a next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from lakeflow.mcp import ownership, results
from lakeflow.mcp.gateway import Gateway
from lakeflow.mcp.sanitize import fence, short
from lakeflow.resources import field_diff

if TYPE_CHECKING:
    from lakeflow.mcp.requests import Request
    from lakeflow.operations.changes import Change
    from lakeflow.operations.report import Report, TargetReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.runs import Run, Task

NAME = 200
"""Characters shown of a name."""

_ARGUMENTS = 50
"""Arguments shown of a run, each cut at `NAME`."""

_MESSAGE = 2000
"""Characters shown of a message."""

_DETAILED = ("job", "cluster")
"""Kinds of resources whose changed fields a plan lists."""


def more(shown: int, offset: int, total: int) -> str | None:
    """Say how to get the next page of a list; None on the last one."""
    end = offset + shown
    return f"{total - end} more: repeat with offset={end}" if end < total else None


def link(gateway: Gateway, kind: str, number: int, url: str) -> str:
    """Return a resource of this server, or the page in the workspace if links are allowed."""
    return url if gateway.policy.links and url else f"lakeflow://{kind}/{number}"


def job_line(gateway: Gateway, job: Job) -> results.JobLine:
    return results.JobLine(str(job.id), short(job.name, NAME), job_link(gateway, job.id))


def job_link(gateway: Gateway, job_id: int) -> str:
    """Return the link to a job."""
    from lakeflow.resources import jobs

    return link(gateway, "jobs", job_id, jobs.url_of(gateway.launcher.workspace, job_id))


def job_detail(gateway: Gateway, job: Job) -> results.JobDetail:
    settings = job.settings
    schedule = settings.get("schedule") or {}
    cron = f"{schedule.get('quartz_cron_expression')} {schedule.get('timezone_id')}"
    tags = list((settings.get("tags") or {}).items())[:50]
    return results.JobDetail(
        id=str(job.id),
        name=short(job.name, NAME),
        link=job_link(gateway, job.id),
        created_by_lakeflow=ownership.created_job(job),
        takes_arguments=job.takes_calls,
        compute=_compute_of(job),
        wheels=[short(wheel, NAME) for wheel in _wheels_of(job)[:50]],
        schedule=short(cron, NAME) if schedule else None,
        run_as=None if job.run_as is None else short(job.run_as, NAME),
        tags={short(str(k), NAME): short(str(v), NAME) for k, v in tags},
        max_concurrent_runs=int(settings.get("max_concurrent_runs") or 1),
        next=f'start runs: trigger_runs (job_id "{job.id}"); list runs: list_runs',
    )


def _compute_of(job: Job) -> str:
    for task in job.settings.get("tasks", []):
        if task.get("existing_cluster_id"):
            return f"cluster {short(str(task['existing_cluster_id']), NAME)}"
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


def cluster_line(gateway: Gateway, cluster: Cluster) -> results.ClusterLine:
    return results.ClusterLine(
        id=cluster.id,
        name=short(cluster.name, NAME),
        state=cluster.state,
        runtime=cluster.runtime,
        node_type=cluster.driver_type,
        max_workers=cluster.max_workers,
        created_by_lakeflow=ownership.created_cluster(cluster),
    )


def run_line(gateway: Gateway, run: Run) -> results.RunLine:
    outcome = cast("results.Outcome | None", run.state.outcome)
    until = run.finished or datetime.now(timezone.utc).timestamp() * 1000
    return results.RunLine(
        id=str(run.id),
        job_id=str(run.job_id),
        state=run.state.life,
        outcome=outcome,
        arguments=None if run.argv is None else arguments(run.argv),
        started=timestamp(run.started),
        seconds=round(max(0.0, until - run.started) / 1000, 1) if run.started else None,
        link=link(gateway, "runs", run.id, run.url),
    )


def arguments(argv: Sequence[str]) -> list[str]:
    """Return the arguments of a run as they are shown."""
    shown = [word if len(word) <= NAME else word[: NAME - 1] + "…" for word in argv[:_ARGUMENTS]]
    left = len(argv) - len(shown)
    return [*shown, f"… {left} more"] if left else shown


def timestamp(milliseconds: int) -> str | None:
    """Convert Unix milliseconds to ISO 8601; 0 becomes None."""
    if not milliseconds:
        return None
    when = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def run_detail(gateway: Gateway, run: Run) -> results.RunDetail:
    from lakeflow.resources import termination_codes

    tasks = [
        results.TaskLine(
            task=short(task.key, NAME),
            state=task.state.life,
            outcome=cast("results.Outcome | None", task.state.outcome),
            attempt=task.attempt,
            message=_task_message(task),
        )
        for task in run.tasks[:100]
    ]
    is_fine = run.state.outcome in (None, "succeeded")
    return results.RunDetail(
        run=run_line(gateway, run),
        name=short(run.name, NAME),
        environment=[short(name, NAME) for name in run.env[:_ARGUMENTS]],
        tasks=tasks,
        message=message(run),
        meaning=None if is_fine else termination_codes.meaning_of(run.state.code),
        next=next_step(run),
    )


def _task_message(task: Task) -> str:
    """Return Databricks' message about a task, fenced, or an empty text."""
    text = short(task.state.message, NAME)
    return fence("message from Databricks", text) if text else ""


def message(run: Run) -> str | None:
    """Return Databricks' message about a run, fenced, or None."""
    text = run.state.message
    return fence("message from Databricks", text[:_MESSAGE]) if text else None


def next_step(run: Run) -> str:
    """Suggest what to do after looking at a run."""
    if run.state.outcome is None:
        return f'not finished: wait_for_runs (run_ids ["{run.id}"]); output so far: read_logs'
    if run.state.outcome == "failed":
        return f'find the cause: explain_failure (run_id "{run.id}"); retry: repair_run'
    return f'output: read_logs (run_id "{run.id}"); files: read_outputs'


def plan(gateway: Gateway, request: Request, changes: Sequence[Change]) -> results.Plan:
    """Store a plan and return it as a result."""
    token = gateway.plans.put(request, changes)
    following = "nothing was done: repeat the call with this plan_token to carry out the plan"
    return results.Plan(token, _cut(steps(changes)), _cut(field_changes(changes)), following)


def steps(changes: Sequence[Change]) -> list[str]:
    """Describe the changes of a plan, a line or more for each."""
    triggers = [change for change in changes if change.kind == "trigger"]
    if triggers:
        job = next(change.resource for change in changes if change.resource.kind == "job")
        return [f"start {counted(len(triggers))} of {short(str(job), NAME)}", *_calls(triggers)]
    return [_step(change) for change in changes]


def field_changes(changes: Sequence[Change]) -> list[str]:
    """List the changed settings of jobs and clusters, a line for each."""
    detailed = [change for change in changes if change.resource.kind in _DETAILED]
    return [
        f"{change.resource}: {line}"
        for change in detailed
        for line in field_diff.render(change.fields)
    ]


def _step(change: Change) -> str:
    after: Mapping[str, Any] = change.after or {}
    resource = change.resource
    if change.kind == "cancel":
        return f"cancel run {resource.id}"
    if change.kind == "repair":
        tasks = ", ".join(short(key, 100) for key in after["tasks"])
        return f"retry failed tasks of run {resource.id}: {tasks}"
    if resource.kind == "run":
        return f"run {resource.id} has finished: unchanged"
    if resource.kind == "compute":
        return short(str(resource), NAME)
    size = f" {after['bytes']:,} bytes" if change.kind == "upload" else ""
    return f"{short(str(resource), NAME)}: {change.kind}{size}"


def _calls(triggers: Sequence[Change]) -> list[str]:
    """Describe the runs to start; a variable has its own line, so that none hides another."""
    after: Mapping[str, Any] = triggers[0].after or {}
    lines = [f"variable {short(f'{k}={v!r}', 300)}" for k, v in sorted(after["env"].items())]
    if after["secrets"]:
        lines.append(f"secrets {', '.join(after['secrets'])}")
    calls = [(change.resource.name, (change.after or {})["argv"]) for change in triggers]
    return lines + [f"run {name}: {short(repr(argv), 300)}" for name, argv in calls]


def _cut(lines: Sequence[str], limit: int = 200) -> list[str]:
    shown = [short(line, 300) for line in lines[:limit]]
    left = len(lines) - len(shown)
    return [*shown, f"… {left} more lines"] if left else shown


def counted(count: int) -> str:
    """Return a number of runs in words."""
    return "1 run" if count == 1 else f"{count} runs"


def started(gateway: Gateway, runs: Sequence[RunResult]) -> list[results.StartedRun]:
    return [
        results.StartedRun(
            index=run.ordinal,
            id=str(run.run_id),
            arguments=arguments(run.argv),
            link=link(gateway, "runs", run.run_id, run.url),
        )
        for run in runs
    ]


def deployed(gateway: Gateway, report: Report) -> list[results.DeployedJob]:
    return [_deployed(gateway, target) for target in report.targets if target.job_id is not None]


def _deployed(gateway: Gateway, target: TargetReport) -> results.DeployedJob:
    assert target.job_id is not None
    wheels = [
        results.DeployedWheel(w.distribution, w.stamped_version, w.path, w.uploaded_bytes)
        for w in target.wheels
    ]
    return results.DeployedJob(
        id=str(target.job_id),
        name=short(target.job_name, NAME),
        link=link(gateway, "jobs", target.job_id, target.job_url or ""),
        cluster_id=target.cluster_id,
        wheels=wheels,
    )
