"""What people see: results and the output of runs on one stream, progress on another."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from lakeflow.resources import termination_codes
from lakeflow.resources.run_output import Ending
from lakeflow.resources.runs import Run, State, Task

_LABEL_WIDTH = 28
"""Characters that a label shows of a run's arguments, or of a file's name."""


_BAR_BYTES = 1024 * 1024
"""What is at least to be sent before a bar shows how far it is."""


class Console:
    """Writes whole lines from several threads; after `close` nothing is written any more.

    A `quiet` one says nothing of progress.
    """

    def __init__(self, out: TextIO, progress: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._progress = progress
        self._quiet = quiet
        self._lock = threading.Lock()
        self._closed = False

    def say(self, text: str) -> None:
        """A line of progress."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A line that has to be seen, also where progress is not."""
        self._write(self._progress, text + "\n")

    @contextmanager
    def bar(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show how many of `size` bytes are done, on a terminal and from 1 MB; takes how many."""
        if self._quiet or size < _BAR_BYTES or not self._progress.isatty():
            yield lambda done: None
            return
        from rich import console, progress

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        screen = console.Console(file=self._progress)
        with progress.Progress(*columns, console=screen, transient=True) as bars:
            short = what if len(what) <= _LABEL_WIDTH else f"{what[: _LABEL_WIDTH - 1]}…"
            bar = bars.add_task(short, total=size)
            yield lambda done: bars.update(bar, completed=done)

    def show(self, text: str) -> None:
        """A piece of a result, as it is."""
        self._write(self._out, text)

    def close(self) -> None:
        """Write no more: threads that go on must not hold a stream when the process ends."""
        with self._lock:
            self._closed = True

    def _write(self, stream: TextIO, text: str) -> None:
        with self._lock:
            if not self._closed:
                stream.write(text)
                stream.flush()


class Labelled:
    """Shows followed runs, each line under its run's label."""

    def __init__(self, console: Console, labels: Sequence[str]) -> None:
        self._console = console
        self._labels = labels
        self._begun = [""] * len(labels)

    def started(self, index: int, run_id: int, url: str) -> None:
        """Say that a run was triggered, or found to have been."""
        self._console.say(f"{self._labels[index]}run {run_id} started: {url}")

    def output(self, index: int, text: str) -> None:
        """Show the lines that are whole, and keep the one that is not."""
        *lines, self._begun[index] = (self._begun[index] + text).split("\n")
        if lines:
            label = self._labels[index]
            self._console.show("".join(f"{label}{line}\n" for line in lines))

    def flush(self, index: int) -> None:
        """Show the line that was begun."""
        if self._begun[index]:
            self.output(index, "\n")

    def ended(self, index: int, run: Run, ending: Ending) -> None:
        """Show the line that was begun, and say how the run ended."""
        self._ended(index, f"run {run.id}", run, run.state, ending)

    def task_ended(self, index: int, task: Task, ending: Ending) -> None:
        """The same of one task of several."""
        self._ended(index, f"task {task.key} (run {task.run_id})", task, task.state, ending)

    def _ended(self, index: int, what: str, it: Run | Task, state: State, ending: Ending) -> None:
        self.flush(index)
        label, seconds = self._labels[index], max(0, it.ended - it.started) / 1000
        if state.outcome == "succeeded":
            self._console.say(f"{label}{what} succeeded after {seconds:.1f} s")
            return
        code = "" if ending.exit_code is None else f" with exit code {ending.exit_code}"
        said = ending.traceback or ending.error or state.message or ""
        meaning = (
            None if ending.traceback else termination_codes.meaning_of(state.code, state.message)
        )
        lines = [*said.rstrip().split("\n"), *([f"({meaning})"] if meaning else [])]
        told = "".join(f"{label}{line}\n" for line in lines if line)
        self._console.warn(
            f"{told}{label}{what} {state.outcome}{code} after {seconds:.1f} s: {it.url}"
        )


def labels_of(calls: Sequence[Sequence[str]]) -> list[str]:
    """A label for each call: its number, and the beginning of its arguments."""
    width = len(str(len(calls)))
    labels = []
    for number, argv in enumerate(calls, 1):
        words = "".join(c if c.isprintable() else "·" for c in shlex.join(argv))
        if len(words) > _LABEL_WIDTH:
            words = words[: _LABEL_WIDTH - 1] + "…"
        labels.append(f"[{number:>{width}}/{len(calls)}{' ' + words if words else ''}] ")
    return labels
