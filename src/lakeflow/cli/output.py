"""Where a command writes: results and run output on stdout, progress on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lakeflow.cli.escaping import escaped
from lakeflow.operations.observer import OnProgress, RunPrinter

_BAR_BYTES = 1024 * 1024
"""Size from which a transfer gets a progress bar."""

_BAR_LABEL_WIDTH = 28
"""Characters of a file's name beside its progress bar."""


class Output:
    """The streams of one command. Attached to the logger `lakeflow` until it is closed.

    `level` is the lowest log level shown: INFO is progress, DEBUG adds every request.
    """

    def __init__(self, results: TextIO, progress: TextIO, level: int = logging.INFO) -> None:
        self.observer = RunPrinter(results)
        self._progress = progress
        self._level = level
        self._logger = logging.getLogger("lakeflow")
        self._handler = _ProgressHandler(progress, level)
        self._level_before = self._logger.level
        self._logger.addHandler(self._handler)
        self._logger.setLevel(level)

    @contextmanager
    def transfer(self, name: str, size: int) -> Iterator[OnProgress]:
        """Show a progress bar for a transfer of 1 MB or more, if stderr is a terminal."""
        if self._level > logging.INFO or size < _BAR_BYTES or not self._progress.isatty():
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
            short = name if len(name) <= _BAR_LABEL_WIDTH else f"{name[: _BAR_LABEL_WIDTH - 1]}…"
            bar = bars.add_task(short, total=size)
            yield lambda done: bars.update(bar, completed=done)

    def close(self) -> None:
        """Show no more progress, also of threads that are still running."""
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level_before)
        self._handler.close()


class _ProgressHandler(logging.Handler):
    """Prints the bare message of a record, with the time before a request."""

    def __init__(self, stream: TextIO, level: int) -> None:
        super().__init__(level)
        self._stream: TextIO | None = stream
        self._requests = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")

    def emit(self, record: logging.LogRecord) -> None:
        if self._stream is None:
            return
        request = record.levelno < logging.INFO
        text = self._requests.format(record) if request else record.getMessage()
        self._stream.write(escaped(text, keep="\n\t") + "\n")
        self._stream.flush()

    def close(self) -> None:
        # `emit` runs under the same lock, so no thread that outlives the command can hold the
        # stream while Python exits.
        self.acquire()
        try:
            self._stream = None
        finally:
            self.release()
        super().close()
