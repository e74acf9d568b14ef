"""The verbs about runs: trigger them, follow them, list them and show what they print."""

from __future__ import annotations

import json
import logging
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused, UsageError
from lakeflow.operations import follow
from lakeflow.operations.follow import Interrupted
from lakeflow.operations.session import Context
from lakeflow.resources import jobs, run_now, runs, secrets
from lakeflow.resources.run_now import RunResult
from lakeflow.resources.runs import Run
from lakeflow.state import invocations
from lakeflow.state.paths import state_dir
from lakeflow.wheels import compatibility
from lakeflow_task.protocol import CALL_LIMIT

_log = logging.getLogger(__name__)


def trigger_run(
    context: Context,
    job_id: int,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    secret_values: Mapping[str, str] | None = None,
    wait: bool = False,
) -> RunResult:
    """Start a run of a job with these arguments, and with `wait` follow it to its end.

    Raises UsageError for an unknown job and for arguments that cannot be sent.
    """
    job = jobs.get(context.workspace, job_id)
    private = secret_values or {}
    check_for(job, [argv], env or {}, private)
    key = [context.workspace.host, job_id, list(argv), dict(env or {}), sorted(private)]
    with begun(context, key, 1) as invocation:
        asked = asked_of(context, invocation, job, [argv], env or {}, private)
        if not wait:
            return run_now.start(context.workspace, asked, invocation)[0]
        with told_how_to_go_on(context):
            (result,) = follow.start_and_follow(
                context.workspace, asked, invocation, context.observer, in_flight=1, labels=[""]
            )
            return result


@dataclass(frozen=True)
class Requested:
    """The runs of a request, and whether an earlier call of it had started them all."""

    runs: tuple[RunResult, ...]
    repeated: bool


def trigger_runs(
    context: Context,
    job_id: int,
    calls: Sequence[Sequence[str]],
    *,
    request_id: str,
    env: Mapping[str, str] | None = None,
    secret_values: Mapping[str, str] | None = None,
    patience: float = 20.0,
    approve: Callable[[], None] = lambda: None,
) -> Requested:
    """Start a run of a job for each of `calls`, once for each `request_id` however often asked.

    The request is kept in the journal: asked again, at once or after a restart, it starts what is
    missing and answers with the runs that it has. An equal call that is under way is waited for,
    `patience` seconds at most. `approve` is called before the first run is started, and may raise.

    Raises UsageError for an unknown job and for arguments that cannot be sent, and Refused where
    the request id was used for something else, or is at work for longer than that.
    """
    job = jobs.get(context.workspace, job_id)
    private = secret_values or {}
    check_for(job, calls, env or {}, private)
    name = ["trigger-runs", context.workspace.host, request_id]
    asked = [job_id, [list(argv) for argv in calls], dict(env or {}), sorted(private)]
    invocation = invocations.begin_named(state_dir() / "journal", name, asked, patience)
    try:
        repeated = len(invocation.started) == len(calls)
        if not invocation.started:
            with _withdrawn_where_refused(invocation):
                approve()
        if repeated:
            wanted = run_now.numbered(job_id, calls, [{}] * len(calls))
        else:
            wanted = asked_of(context, invocation, job, calls, env or {}, private)
        return Requested(run_now.start(context.workspace, wanted, invocation), repeated)
    finally:
        invocation.close()


def list_job_runs(context: Context, job_id: int, *, limit: int) -> list[Run]:
    """The newest runs of a job. Raises UsageError for an unknown job."""
    found = runs.of_job(context.workspace, job_id, limit)
    if not found:
        jobs.get(context.workspace, job_id)
    return found


def get_run(context: Context, run_id: int) -> Run:
    """A run with its tasks. Raises UsageError for an unknown one."""
    return runs.get(context.workspace, run_id)


def cancel_runs(context: Context, run_ids: Sequence[int], *, wait: bool) -> tuple[Run, ...]:
    """Ask for the end of runs, and with `wait` see them end. Those that have ended stay as is.

    All are looked up first: raises UsageError where one is unknown, before any is cancelled.
    """
    workspace = context.workspace
    found = [runs.get(workspace, run_id) for run_id in run_ids]
    for run in found:
        if run.state.outcome is not None:
            _log.info(f"run {run.id} has ended already ({run.state.outcome})")
        else:
            runs.cancel(workspace, run.id)
            _log.info(f"run {run.id} is told to end")
    pause = threading.Event()
    for index, run in enumerate(found):
        if not wait or run.state.outcome is not None:
            continue
        while found[index].state.outcome is None:
            found[index] = runs.get(workspace, run.id)
            if found[index].state.outcome is None:
                pause.wait(1.0)
        _log.info(f"run {run.id} has ended ({found[index].state.outcome})")
    return tuple(found)


def repair_run(
    context: Context, run_id: int, *, with_current: bool = False, wait: bool = False
) -> RunResult:
    """Run again what failed of a run that has ended, with the arguments it was started with.

    The run keeps its id. Databricks takes the settings that its job has now; where these name
    other code than the run had, that is refused unless `with_current` is true. A command that was
    killed and is typed again repairs once.

    Raises UsageError for an unknown run or job and Refused where there is nothing to repair.
    """
    workspace = context.workspace
    run = runs.get(workspace, run_id)
    invocation = invocations.begin(
        state_dir() / "journal", ["repair-run", workspace.host, run_id, with_current]
    )
    try:
        before = runs.last_repair(workspace, run_id) or 0
        if invocation.started.get((run_id, 0), before) == before:
            try:
                failed, parameters = to_repair(workspace, run, with_current=with_current)
            except (Refused, UsageError):
                invocation.finish()
                raise
            invocation.record(run_id, 0, before)
            runs.repair(workspace, run_id, parameters)
            _log.info(f"run {run_id} goes on with what failed of it ({failed}): {run.url}")
        else:
            _log.info(f"run {run_id} was told already to go on: {run.url}")
        invocation.finish()
    finally:
        invocation.close()
    if wait:
        with told_how_to_go_on(context):
            return follow.follow(workspace, [run_id], context.observer, [""])[0]
    return run_now.going_on(run)


def to_repair(workspace: Workspace, run: Run, *, with_current: bool) -> tuple[str, dict[str, Any]]:
    """What of a run is to be repaired, in words, and the parameters to send.

    Raises UsageError for an unknown job, and Refused where there is nothing to repair.
    """
    run_id = run.id
    if run.state.outcome is None:
        raise Refused(f"run {run_id} has not ended: wait for it, or end it with cancel-run")
    failed = [task for task in run.tasks if task.state.outcome != "succeeded"]
    if not failed:
        raise Refused(f"nothing of run {run_id} has failed, so there is nothing to repair")
    job = jobs.get(workspace, run.job_id)
    now = {task["task_key"]: runs.code_of(task) for task in job.settings.get("tasks", [])}
    changed = [task.key for task in failed if now.get(task.key) != task.code]
    if changed and not with_current:
        raise Refused(
            f"the job {job.name} ({job.id}) was deployed anew since run {run_id}: its code for "
            f"{', '.join(changed)} is another. Say --with-current to run what failed with the "
            "code of now, or start a new run with trigger-run."
        )
    if run.call is not None:
        parameters = run_now.call_parameters(run.call)
    else:
        parameters = {"python_params": list(run.argv)} if run.argv else {}
    return ", ".join(task.key for task in failed), parameters


def repair_once(
    context: Context,
    run_id: int,
    *,
    request_id: str,
    with_current: bool = False,
    patience: float = 20.0,
    approve: Callable[[], None] = lambda: None,
) -> Requested:
    """Repair a run once for each `request_id`, however often asked (see `trigger_runs`).

    The journal has the run's newest repair before it and after it.
    Raises what `repair_run` raises, and Refused where the request id was used for something else.
    """
    workspace = context.workspace
    name, asked = ["repair-run", workspace.host, request_id], [run_id, with_current]
    invocation = invocations.begin_named(state_dir() / "journal", name, asked, patience)
    before, after = (run_id, 0), (run_id, 1)
    try:
        now = runs.last_repair(workspace, run_id) or 0
        if before not in invocation.started:
            with _withdrawn_where_refused(invocation):
                approve()
            invocation.record(*before, now)
        done = after in invocation.started or now != invocation.started[before]
        if done:
            result = run_now.going_on(runs.get(workspace, run_id))
        else:
            with _withdrawn_where_refused(invocation):
                result = repair_run(context, run_id, with_current=with_current)
            invocation.record(*after, runs.last_repair(workspace, run_id) or 0)
        return Requested((result,), done)
    finally:
        invocation.close()


@contextmanager
def _withdrawn_where_refused(invocation: invocations.Invocation) -> Iterator[None]:
    """Let a request be as if it had not been made, where it is refused."""
    try:
        yield
    except (Refused, UsageError):
        invocation.withdraw()
        raise


def list_jobs(context: Context, *, all_jobs: bool) -> list[jobs.Job]:
    """The jobs that lakeflow deployed, or all that there are, by name."""
    found = jobs.list_all(context.workspace)
    ours = (
        job for job in found if all_jobs or jobs.IDENTITY_TAG in (job.settings.get("tags") or {})
    )
    return sorted(ours, key=lambda job: (job.name.casefold(), job.id))


def delete_job(context: Context, job_id: int, *, confirm: Callable[[str], bool]) -> jobs.Job:
    """Delete a job, which ends its runs; `confirm` is asked with what that means.

    Its wheels stay until `lakeflow gc`, its cluster ends itself. Raises UsageError for an unknown
    job, and Refused where it is not confirmed.
    """
    job = jobs.get(context.workspace, job_id)
    active = runs.any_active(context.workspace, job_id)
    ends = ", which has active runs that end with it" if active else ""
    if not confirm(f"Delete the job {job.name} ({job_id}){ends}?"):
        raise Refused(f"the job {job.name} ({job_id}) was not deleted")
    jobs.delete(context.workspace, job_id)
    _log.info(f"job {job.name} ({job_id}) is deleted")
    return job


def page_of(context: Context, *, run_id: int | None = None, job_id: int | None = None) -> str:
    """The address of the page of a run or of a job. Raises UsageError for an unknown one."""
    if run_id is not None:
        run = runs.get(context.workspace, run_id)
        return run.url or runs.url_of(context.workspace, run.job_id, run.id)
    assert job_id is not None
    return jobs.url_of(context.workspace, jobs.get(context.workspace, job_id).id)


def wait(context: Context, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
    """Follow runs that were started before to their end.

    Raises UsageError for an unknown run and Interrupted on Ctrl-C.
    """
    labels = [str(run_id) if len(run_ids) > 1 else "" for run_id in run_ids]
    with told_how_to_go_on(context):
        return follow.follow(context.workspace, run_ids, context.observer, labels)


@contextmanager
def begun(context: Context, key: object, count: int) -> Iterator[invocations.Invocation]:
    """The invocation that starts so many runs; resumed where one was not finished.

    `key` is a JSON value: what makes a command typed again the same command.
    """
    invocation = invocations.begin(state_dir() / "journal", key)
    if invocation.resumed:
        when = datetime.fromtimestamp(invocation.begun).strftime("%Y-%m-%d %H:%M:%S")
        _log.info(
            f"resuming the same command of {when}, which did not come to its end: "
            f"{len(invocation.started)} of {counted(count)} known to be started"
        )
    try:
        yield invocation
    finally:
        invocation.close()


@contextmanager
def told_how_to_go_on(context: Context, command: str | None = None) -> Iterator[None]:
    """Say after Ctrl-C how to go on; `command` is the start of what deploys the same again."""
    try:
        yield
    except Interrupted as stop:
        if not stop.all_started:
            stop.hint = "Type the same command again to start the missing ones."
        elif stop.running:
            again = how_to_follow(context, stop.running, command)
            stop.hint = f"To follow them again: {again}"
        raise


def how_to_follow(context: Context, run_ids: Sequence[int], command: str | None = None) -> str:
    """The command that follows these runs to their end."""
    ids = [str(run_id) for run_id in run_ids]
    if command:
        attach = [word for run_id in ids for word in ("--attach", run_id)]
        return f"{command} {shlex.join([*attach, *context.where])}"
    return shlex.join(["lakeflow", "wait", *ids, *context.where])


def check_calls(
    calls: Sequence[Sequence[str]], env: Mapping[str, str], private: Mapping[str, str]
) -> None:
    """Raises UsageError for calls that cannot be sent, before anything is."""
    both = sorted(env.keys() & private.keys())
    if both:
        raise UsageError(f"{', '.join(both)}: with --env or as a secret, not both")
    compatibility.encode_calls(calls, env, secrets.any_scope() if private else None)


def check_for(
    job: jobs.Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    private: Mapping[str, str],
) -> None:
    """Raises UsageError for calls that cannot be sent to this job, before anything is."""
    if job.takes_calls:
        check_calls(calls, env, private)
        return
    for argv in calls:
        _foreign(job, argv, env, private)


def asked_of(
    context: Context,
    invocation: invocations.Invocation,
    job: jobs.Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    private: Mapping[str, str],
) -> list[run_now.RunRequest]:
    """The runs that an invocation asks for, its secrets put where they find them."""
    if job.takes_calls:
        return calls_of(context, invocation, job, calls, env, private)
    sent = [_foreign(job, argv, env, private) for argv in calls]
    return run_now.numbered(job.id, calls, sent)


def calls_of(
    context: Context,
    invocation: invocations.Invocation,
    job: jobs.Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    private: Mapping[str, str],
) -> list[run_now.RunRequest]:
    """The same of a job that lakeflow deploys, whatever its settings are seen to be."""
    scope = _hand_over(context, invocation, private, job)
    encoded = compatibility.encode_calls(calls, env, scope)
    return run_now.numbered(job.id, calls, map(run_now.call_parameters, encoded))


def _hand_over(
    context: Context, invocation: invocations.Invocation, private: Mapping[str, str], job: jobs.Job
) -> str | None:
    """Put an invocation's secrets where its runs find them; the scope's name, None without any."""
    if not private:
        return None
    scope = secrets.scope_of(invocation)
    secrets.store(context.workspace, scope, private, job)
    _log.info(f"secrets {', '.join(private)}: in the scope {scope}")
    for old in secrets.expired(context.workspace):
        if secrets.remove(context.workspace, old):
            _log.info(f"scope {old.name}: removed, its runs ended long ago")
    return scope


def _foreign(
    job: jobs.Job, argv: Sequence[str], env: Mapping[str, str], private: Mapping[str, str]
) -> dict[str, list[str]]:
    """The parameters of run-now for a job that lakeflow did not deploy; its own without `argv`."""
    what = f"job {job.id} ({job.name}) was not deployed by lakeflow"
    if env or private:
        raise UsageError(f"{what}: {'--env' if env else 'a secret'} cannot reach it")
    if not argv:
        return {}
    size = len(json.dumps(list(argv)))
    if size > CALL_LIMIT or not all(word.isascii() for word in argv):
        raise UsageError(
            f"{what}: its arguments have to be ASCII and at most {CALL_LIMIT} bytes as JSON; these "
            f"take {size}"
        )
    tasks = job.settings.get("tasks", [])
    wheels = [task["python_wheel_task"] for task in tasks if "python_wheel_task" in task]
    if any(wheel.get("named_parameters") for wheel in wheels):
        raise UsageError(
            f"{what}: its task takes named parameters, which cannot be mixed with arguments. "
            "Trigger it without any, or change the job to take a list."
        )
    if not wheels and not any("spark_python_task" in task for task in tasks):
        raise UsageError(f"{what}: none of its tasks takes arguments. Trigger it without any.")
    return {"python_params": list(argv)}


def counted(count: int) -> str:
    """A number of runs, in words."""
    return "1 run" if count == 1 else f"{count} runs"
