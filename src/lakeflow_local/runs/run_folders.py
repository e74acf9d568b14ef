"""Folders of runs: the log and the working files of each task run."""

from __future__ import annotations

import shutil
from pathlib import Path

from lakeflow_local.storage.task_run_repository import TaskRun


class RunFolders:
    """`<root>/<job run id>/<task run id>/`, with standard output and error in `log`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of_run(self, job_run_id: int) -> Path:
        return self.root / str(job_run_id)

    def of_task(self, task: TaskRun) -> Path:
        return self.of_run(task.job_run_id) / str(task.run_id)

    def log_file(self, task: TaskRun) -> Path:
        return self.of_task(task) / "log"

    def remove(self, job_run_id: int) -> None:
        """Remove a run's folder, if it exists."""
        shutil.rmtree(self.of_run(job_run_id), ignore_errors=True)
