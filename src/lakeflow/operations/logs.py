"""Output of a run's tasks: shown, returned or written to files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakeflow.errors import LakeflowError
from lakeflow.operations.follow import Interrupted
from lakeflow.operations.observer import OutputSource
from lakeflow.operations.pending_invocations import follow_command
from lakeflow.operations.session import Session
from lakeflow.resources import run_now, runs
from lakeflow.resources.run_output import Output, TaskExit
from lakeflow.resources.runs import Run, Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskLog:
    """Output of an attempt of a task, in `text` or in the file `path`, and its outcome."""

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
    session: Session,
    run_id: int,
    *,
    follow: bool = False,
    tail: int | None = None,
    all_tasks: bool = False,
    download_to: Path | None = None,
    show: bool = True,
) -> RunLogs:
    """Return the output of a run so far, or with `follow` until it finishes.

    It is that of the failed tasks, or of all if none failed; `all_tasks` is every attempt of every
    task. `tail` is the number of each task's last lines to start with. The text goes to the
    session's observer as it arrives, or with `show=False` into the result, or is written to
    `<download_to>/<run id>/<task>.log`.

    Raises UsageError for an unknown run, and Interrupted on Ctrl-C while following.
    """
    workspace = session.workspace
    run = runs.get(workspace, run_id)
    sinks: dict[int, _Sink] = {}

    def sink_of(task: Task) -> _Sink:
        if task.run_id not in sinks:
            several = len(run.attempts) > 1
            sinks[task.run_id] = _Sink(session, run, task, several, download_to, show)
        return sinks[task.run_id]

    output = Output(workspace, lambda task, text: sink_of(task).take(text), tail)
    pause = threading.Event()
    try:
        while follow and run.state.outcome is None:
            output.pull(run, run.attempts if all_tasks else run.tasks)
            pause.wait(1.0)
            run = runs.get(workspace, run_id)
    except KeyboardInterrupt:
        stop = Interrupted([[run_now.still_running(run)]], 1)
        stop.hint = f"To follow it again: {follow_command(session, [run_id])}"
        raise stop from None
    finally:
        for sink in sinks.values():
            sink.close()
    chosen = _chosen(run, all_tasks)
    finished = [task for task in chosen if task.state.outcome is not None]
    output.pull(run, [task for task in chosen if task.state.outcome is None])
    worst = output.finish(run, finished)
    for task in chosen:
        sink_of(task).close()
        if len(chosen) > 1 and task in finished:
            source = sink_of(task).source
            session.observer.task_finished(source, task, output.exits[task.run_id])
    if run.state.outcome is None:
        _log.info(f"run {run.id} has not finished ({run.state.life})")
    else:
        task_exit = worst if len(chosen) == 1 else TaskExit()
        session.observer.finished(OutputSource(run.id, url=run.url), run, task_exit)
    logs = [sink_of(task).log(output.exits.get(task.run_id, TaskExit())) for task in chosen]
    return RunLogs(run, tuple(logs))


def _chosen(run: Run, all_tasks: bool) -> tuple[Task, ...]:
    if all_tasks:
        return run.attempts
    failed = tuple(task for task in run.tasks if task.state.outcome == "failed")
    return failed or run.tasks


class _Sink:
    """Where the output of one attempt of a task goes: to the observer, a text or a file."""

    def __init__(
        self,
        session: Session,
        run: Run,
        task: Task,
        several: bool,
        folder: Path | None,
        show: bool,
    ) -> None:
        number = f".{task.attempt}" if task.attempt else ""
        self.task = task
        self.source = OutputSource(task.run_id, f"{task.key}{number}" if several else "", task.url)
        self._observer = session.observer
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
            self._observer.output(self.source, text)
        else:
            self._text.append(text)

    def close(self) -> None:
        self._observer.paused(self.source)

    def log(self, task_exit: TaskExit) -> TaskLog:
        return TaskLog(
            task=self.task.key,
            run_id=self.task.run_id,
            attempt=self.task.attempt,
            outcome=self.task.state.outcome,
            exit_code=task_exit.exit_code,
            error=task_exit.error,
            text=None if self._show or self._path else "".join(self._text),
            path=str(self._path) if self._path else None,
        )


@contextmanager
def _to_write(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakeflowError(f"cannot write {path}: {error.strerror or error}") from error
