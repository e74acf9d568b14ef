"""What people see: results and the output of runs on one stream, progress on another."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from typing import TextIO

from lakeflow.logs import Ending
from lakeflow.runs import Run

_LABEL_WIDTH = 28
"""Characters of a run's arguments that its label shows."""


class Console:
    """Writes whole lines from several threads; after `close` nothing is written any more."""

    def __init__(self, out: TextIO, progress: TextIO) -> None:
        self._out = out
        self._progress = progress
        self._lock = threading.Lock()
        self._closed = False

    def say(self, text: str) -> None:
        """A line of progress."""
        self._write(self._progress, text + "\n")

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

    def ended(self, index: int, run: Run, ending: Ending) -> None:
        """Show the line that was begun, and say how the run ended."""
        if self._begun[index]:
            self.output(index, "\n")
        label, seconds = self._labels[index], max(0, run.ended - run.started) / 1000
        if run.state.outcome == "succeeded":
            self._console.say(f"{label}run {run.id} succeeded after {seconds:.1f} s")
            return
        code = "" if ending.exit_code is None else f" with exit code {ending.exit_code}"
        said = ending.traceback or ending.error or run.state.message or ""
        told = "".join(f"{label}{line}\n" for line in said.rstrip().split("\n")) if said else ""
        self._console.say(
            f"{told}{label}run {run.id} {run.state.outcome}{code} after {seconds:.1f} s: {run.url}"
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
