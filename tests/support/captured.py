"""A launcher whose output, progress and log are captured."""

from __future__ import annotations

import io
import logging
from typing import Any

from lakeflow import Launcher
from lakeflow.cli.output import Output


class CapturedLauncher:
    """A launcher and what it has written so far, as the command would.

    The log is the process's own: of several captured launchers each has the progress of all since
    it was created.
    """

    def __init__(
        self, progress: io.StringIO | None = None, level: int = logging.INFO, **settings: Any
    ) -> None:
        self.out = io.StringIO()
        self.progress = progress or io.StringIO()
        output = Output(self.out, self.progress, level)
        self.launcher = Launcher(observer=output.observer, on_transfer=output.transfer, **settings)

    @property
    def lines(self) -> list[str]:
        """The lines of progress."""
        return self.progress.getvalue().splitlines()
