"""The verbs about runs: trigger them, follow them, list them and show what they print."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lakeflow import jobs, journal, preflight, runs, secrets
from lakeflow.console import Labelled
from lakeflow.context import Context
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.local.daemon import state_dir
from lakeflow.logs import Ending
from lakeflow.runs import Interrupted, Run, RunResult, Task
from lakeflow_task.protocol import CALL_LIMIT


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
    if not job.takes_calls:
        foreign = _foreign(job, argv, env or {}, private)
    else:
        check_calls([argv], env or {}, private)
    key = [context.workspace.host, job_id, list(argv), dict(env or {}), sorted(private)]
    with begun(context, key, 1) as invocation:
        if job.takes_calls:
            scope = hand_over(context, invocation, private, job)
            encoded = preflight.encode_calls([argv], env or {}, scope)
            parameters = runs.call_parameters(encoded[0])
        else:
            parameters = {"python_params": foreign}
        asked = [runs.Asked(job_id, 0, tuple(argv), parameters)]
        if not wait:
            return runs.start(context.workspace, asked, invocation)[0]
        with following(context):
            screen = Labelled(context.console, [""])
            return runs.start_and_follow(context.workspace, asked, invocation, screen, in_flight=1)[
                0
            ]


def list_job_runs(context: Context, job_id: int, *, limit: int) -> list[Run]:
    """The newest runs of a job. Raises UsageError for an unknown job."""
    found = runs.of_job(context.workspace, job_id, limit)
    if not found:
        jobs.get(context.workspace, job_id)
    return found


@dataclass(frozen=True)
class TaskLog:
    """What an attempt of a task has printed, in `text` or in the file `path`, and how it ended."""

    task: str
    run_id: int
    attempt: int
    outcome: str | None
    exit_code: int | None
    error: str | None
    text: str | None
    path: str | None


@dataclass(frozen=True)
class RunLogs:
    """The logs of a run's tasks."""

    run: Run
    tasks: tuple[TaskLog, ...]


def get_run_logs(
    context: Context,
    run_id: int,
    *,
    follow: bool = False,
    tail: int | None = None,
    all_tasks: bool = False,
    download_to: Path | None = None,
    show: bool = True,
) -> RunLogs:
    """What a run has printed so far, or with `follow` until its end.

    Of several tasks those that failed are shown, or all where none has; `all_tasks` is every
    attempt of every task. `tail` is the number of last lines of each to begin with. The text is
    shown as it comes, or where `show` is false kept in the answer, or written to
    `<download_to>/<run id>/<task>.log`.

    Raises UsageError for an unknown run, and Interrupted on Ctrl-C while it follows.
    """
    workspace = context.workspace
    run = runs.get(workspace, run_id)
    sinks: dict[int, _Sink] = {}

    def sink_of(task: Task) -> _Sink:
        if task.run_id not in sinks:
            several = len(run.attempts) > 1
            sinks[task.run_id] = _Sink(context, run, task, several, download_to, show)
        return sinks[task.run_id]

    output = runs.Output(workspace, lambda task, text: sink_of(task).take(text), tail)
    pause = threading.Event()
    try:
        while follow and run.state.outcome is None:
            output.pull(run, run.attempts if all_tasks else run.tasks)
            pause.wait(1.0)
            run = runs.get(workspace, run_id)
    except KeyboardInterrupt:
        context.console.close()
        result = RunResult(0, run.argv or (), run_id, run.url, "running", None, None)
        stop = Interrupted([result], 1)
        stop.advice = f"To follow it again: {how_to_follow(context, [run_id])}"
        raise stop from None
    finally:
        for sink in sinks.values():
            sink.close()
    chosen = _chosen(run, all_tasks)
    ended = [task for task in chosen if task.state.outcome is not None]
    output.pull(run, [task for task in chosen if task.state.outcome is None])
    worst = output.finish(run, ended)
    for task in chosen:
        sink_of(task).close()
        if len(chosen) > 1 and task in ended:
            sink_of(task).screen.task_ended(0, task, output.endings[task.run_id])
    if run.state.outcome is None:
        context.console.say(f"run {run.id} is not at its end ({run.state.life})")
    else:
        Labelled(context.console, [""]).ended(0, run, worst if len(chosen) == 1 else Ending())
    logs = [sink_of(task).log(output.endings.get(task.run_id, Ending())) for task in chosen]
    return RunLogs(run, tuple(logs))


def _chosen(run: Run, all_tasks: bool) -> tuple[Task, ...]:
    if all_tasks:
        return run.attempts
    failed = tuple(task for task in run.tasks if task.state.outcome == "failed")
    return failed or run.tasks


class _Sink:
    """Where the output of one attempt of a task goes: the screen, a text or a file."""

    def __init__(
        self,
        context: Context,
        run: Run,
        task: Task,
        several: bool,
        folder: Path | None,
        show: bool,
    ) -> None:
        number = f".{task.attempt}" if task.attempt else ""
        self.task = task
        self.screen = Labelled(context.console, [f"[{task.key}{number}] " if several else ""])
        self._show = show
        self._text: list[str] = []
        self._path: Path | None = None
        if folder is not None:
            self._path = folder / str(run.id) / f"{task.key}{number}.log"
            with _to_write(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_bytes(b"")

    def take(self, text: str) -> None:
        if self._path is not None:
            with _to_write(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        elif self._show:
            self.screen.output(0, text)
        else:
            self._text.append(text)

    def close(self) -> None:
        self.screen.flush(0)

    def log(self, ending: Ending) -> TaskLog:
        return TaskLog(
            task=self.task.key,
            run_id=self.task.run_id,
            attempt=self.task.attempt,
            outcome=self.task.state.outcome,
            exit_code=ending.exit_code,
            error=ending.error,
            text=None if self._show or self._path else "".join(self._text),
            path=str(self._path) if self._path else None,
        )


@contextmanager
def _to_write(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakeflowError(f"cannot write {path}: {error.strerror or error}") from error


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
            context.console.say(f"run {run.id} has ended already ({run.state.outcome})")
        else:
            runs.cancel(workspace, run.id)
            context.console.say(f"run {run.id} is told to end")
    pause = threading.Event()
    for index, run in enumerate(found):
        while wait and found[index].state.outcome is None:
            found[index] = runs.get(workspace, run.id)
            if found[index].state.outcome is None:
                pause.wait(1.0)
    return tuple(found)


def repair_run(
    context: Context, run_id: int, *, with_current: bool = False, wait: bool = False
) -> RunResult:
    """Run again what failed of a run that has ended, with the arguments it was started with.

    The run keeps its id. Databricks takes the settings that its job has now; where these name
    other code than the run had, that is refused unless `with_current` is true.

    Raises UsageError for an unknown run or job and Refused where there is nothing to repair.
    """
    workspace = context.workspace
    run = runs.get(workspace, run_id)
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
        parameters = runs.call_parameters(run.call)
    else:
        parameters = {"python_params": list(run.argv)} if run.argv else {}
    runs.repair(workspace, run_id, parameters)
    again = ", ".join(task.key for task in failed)
    context.console.say(f"run {run_id} goes on with what failed of it ({again}): {run.url}")
    if wait:
        with following(context):
            return runs.follow(workspace, [run_id], Labelled(context.console, [""]))[0]
    return RunResult(0, run.argv or (), run_id, run.url, "running", None, None)


def list_jobs(context: Context, *, all_jobs: bool) -> list[jobs.Job]:
    """The jobs that lakeflow deployed, or all that there are, by name."""
    found = jobs.every(context.workspace)
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
    context.console.say(f"job {job.name} ({job_id}) is deleted")
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
    names = [f"[{run_id}] " if len(run_ids) > 1 else "" for run_id in run_ids]
    with following(context):
        return runs.follow(context.workspace, run_ids, Labelled(context.console, names))


@contextmanager
def begun(context: Context, key: object, count: int) -> Iterator[journal.Invocation]:
    """The invocation that starts so many runs; resumed where one was not finished.

    `key` is a JSON value: what makes a command typed again the same command.
    """
    invocation = journal.begin(state_dir() / "journal", key)
    if invocation.resumed:
        when = datetime.fromtimestamp(invocation.begun).strftime("%Y-%m-%d %H:%M:%S")
        context.console.say(
            f"resuming the same command of {when}, which did not come to its end: "
            f"{len(invocation.started)} of {counted(count)} known to be started"
        )
    try:
        yield invocation
    finally:
        invocation.close()


@contextmanager
def following(context: Context, command: str | None = None) -> Iterator[None]:
    """Say after Ctrl-C how to go on; `command` is the start of what deploys the same again."""
    try:
        yield
    except Interrupted as stop:
        context.console.close()
        if not stop.all_started:
            stop.advice = "Type the same command again to start the missing ones."
        elif stop.going:
            again = how_to_follow(context, stop.going, command)
            stop.advice = f"To follow them again: {again}"
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
    preflight.encode_calls(calls, env, secrets.any_scope() if private else None)


def hand_over(
    context: Context, invocation: journal.Invocation, private: Mapping[str, str], job: jobs.Job
) -> str | None:
    """Put an invocation's secrets where its runs find them; the scope's name, None without any."""
    if not private:
        return None
    scope = secrets.scope_of(invocation)
    secrets.store(context.workspace, scope, private, job)
    context.console.say(f"secrets {', '.join(private)}: in the scope {scope}")
    for old in secrets.expired(context.workspace):
        if secrets.remove(context.workspace, old, context.console.say):
            context.console.say(f"scope {old.name}: removed, its runs ended long ago")
    return scope


def _foreign(
    job: jobs.Job, argv: Sequence[str], env: Mapping[str, str], private: Mapping[str, str]
) -> list[str]:
    """The arguments as `python_params`, for a job that lakeflow did not deploy."""
    if env or private:
        option = "--env" if env else "a secret"
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: {option} cannot reach it"
        )
    size = len(json.dumps(list(argv)))
    if size > CALL_LIMIT or not all(word.isascii() for word in argv):
        raise UsageError(
            f"job {job.id} ({job.name}) was not deployed by lakeflow: its arguments have to be "
            f"ASCII and at most {CALL_LIMIT} bytes as JSON; these take {size}"
        )
    return list(argv)


def counted(count: int) -> str:
    """A number of runs, in words."""
    return "1 run" if count == 1 else f"{count} runs"
