"""Events of followed runs and of file transfers, and an observer that prints runs."""

from __future__ import annotations

import logging
import shlex
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from lakeflow.resources.run_output import TaskExit
    from lakeflow.resources.runs import Run, Task

_log = logging.getLogger(__name__)

_LABEL_WIDTH = 28
"""Characters of a run's arguments that its label shows."""

OnProgress = Callable[[int], None]
"""Receives the number of bytes transferred so far."""

OnTransfer = Callable[[str, int], AbstractContextManager[OnProgress]]
"""Entered for each transfer with what is transferred and its size in bytes."""


@dataclass(frozen=True)
class OutputSource:
    """A followed run, or a task of it. `label` tells it from the others; empty if it is alone."""

    run_id: int
    label: str = ""
    url: str = ""


class RunObserver(Protocol):
    """Receives the events of followed runs. Called from several threads, one call at a time."""

    def started(self, source: OutputSource) -> None:
        """A run was started, now or by an earlier invocation."""

    def output(self, source: OutputSource, text: str) -> None:
        """A piece of output, which may begin and end within a line."""

    def paused(self, source: OutputSource) -> None:
        """No more output follows for now: show a line that has no end yet."""

    def finished(self, source: OutputSource, run: Run, task_exit: TaskExit) -> None:
        """A run has finished; `task_exit` is that of the first task that failed."""

    def task_finished(self, source: OutputSource, task: Task, task_exit: TaskExit) -> None:
        """A task of a run whose tasks are shown apart has finished."""


class NullObserver:
    """Ignores all events. A base for observers that need only some of them."""

    def started(self, source: OutputSource) -> None:
        """See RunObserver."""

    def output(self, source: OutputSource, text: str) -> None:
        """See RunObserver."""

    def paused(self, source: OutputSource) -> None:
        """See RunObserver."""

    def finished(self, source: OutputSource, run: Run, task_exit: TaskExit) -> None:
        """See RunObserver."""

    def task_finished(self, source: OutputSource, task: Task, task_exit: TaskExit) -> None:
        """See RunObserver."""


class RunPrinter:
    """Prints the output of runs, prefixed with their labels; logs when they start and finish."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._partial: defaultdict[OutputSource, str] = defaultdict(str)

    def started(self, source: OutputSource) -> None:
        """Log the run's id and URL."""
        _log.info(f"{_prefix(source)}run {source.run_id} started: {source.url}")

    def output(self, source: OutputSource, text: str) -> None:
        """Print whole lines and keep the rest."""
        *lines, self._partial[source] = (self._partial[source] + text).split("\n")
        if lines:
            prefix = _prefix(source)
            self._stream.write("".join(f"{prefix}{line}\n" for line in lines))
            self._stream.flush()

    def paused(self, source: OutputSource) -> None:
        """Print the line that has no end yet."""
        if self._partial[source]:
            self.output(source, "\n")

    def finished(self, source: OutputSource, run: Run, task_exit: TaskExit) -> None:
        """Print the rest, and log the outcome."""
        self._finished(source, f"run {run.id}", run, task_exit)

    def task_finished(self, source: OutputSource, task: Task, task_exit: TaskExit) -> None:
        """Print the rest, and log the outcome."""
        self._finished(source, f"task {task.key} (run {task.run_id})", task, task_exit)

    def _finished(self, source: OutputSource, name: str, it: Run | Task, exit: TaskExit) -> None:
        from lakeflow.resources import termination_codes

        self.paused(source)
        prefix, seconds, state = _prefix(source), max(0, it.finished - it.started) / 1000, it.state
        if state.outcome == "succeeded":
            _log.info(f"{prefix}{name} succeeded after {seconds:.1f} s")
            return
        reason = exit.traceback or exit.error or state.message or ""
        lines = reason.rstrip().split("\n")
        meaning = termination_codes.meaning_of(state.code, state.message)
        if meaning and not exit.traceback:
            lines.append(f"({meaning})")
        code = "" if exit.exit_code is None else f" with exit code {exit.exit_code}"
        lines.append(f"{name} {state.outcome}{code} after {seconds:.1f} s: {it.url}")
        _log.warning("\n".join(f"{prefix}{line}" for line in lines if line))


class Gate:
    """Passes events to an observer, one at a time, until it is closed."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Pass on no more: threads that are still running must not write while Python exits."""
        with self._lock:
            self._closed = True

    def started(self, source: OutputSource) -> None:
        """See RunObserver."""
        self._pass(lambda: self._observer.started(source))

    def output(self, source: OutputSource, text: str) -> None:
        """See RunObserver."""
        self._pass(lambda: self._observer.output(source, text))

    def finished(self, source: OutputSource, run: Run, task_exit: TaskExit) -> None:
        """See RunObserver."""
        self._pass(lambda: self._observer.finished(source, run, task_exit))

    def _pass(self, event: Callable[[], None]) -> None:
        with self._lock:
            if not self._closed:
                event()


@contextmanager
def unseen_transfer(name: str, size: int) -> Iterator[OnProgress]:
    """Show nothing of a transfer."""
    yield lambda done: None


def labels_of(calls: Sequence[Sequence[str]]) -> list[str]:
    """Return a label for each call: its number and the beginning of its arguments."""
    width = len(str(len(calls)))
    labels = []
    for number, argv in enumerate(calls, 1):
        words = "".join(c if c.isprintable() else "·" for c in shlex.join(argv))
        if len(words) > _LABEL_WIDTH:
            words = words[: _LABEL_WIDTH - 1] + "…"
        labels.append(f"{number:>{width}}/{len(calls)} {words}".rstrip())
    return labels


def _prefix(source: OutputSource) -> str:
    return f"[{source.label}] " if source.label else ""
