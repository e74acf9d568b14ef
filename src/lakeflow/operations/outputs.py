"""List and download the output files of runs, written by tasks to `LAKEFLOW_OUTPUT_DIR`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lakeflow.client.http_errors import suppress_missing
from lakeflow.errors import LakeflowError, UsageError
from lakeflow.operations.download import download, path_within
from lakeflow.operations.session import Session
from lakeflow.resources import files, runs
from lakeflow.resources.runs import Run, Task


@dataclass(frozen=True)
class OutputFile:
    """An output file of a run. `name` is its path in the output folder.

    `size` is in bytes, None if the workspace does not tell. `path` is the file's path in the
    workspace, `local` where it was downloaded to.
    """

    task: str
    name: str
    size: int | None
    path: str
    local: str | None


def outputs(
    session: Session, run_id: int, *, download_to: Path | None = None
) -> tuple[OutputFile, ...]:
    """Return the output files of the last attempts of a run's tasks, and download them on request.

    They are downloaded to `<download_to>/<name>`, for a run with several tasks to
    `<download_to>/<task>/<name>`, replacing existing files. All names are checked before anything
    is written, and sizes after each download.

    Raises UsageError for an unknown run or one that lakeflow did not deploy, and LakeflowError if a
    name leads out of the folder or a file does not arrive completely.
    """
    run = runs.get(session.workspace, run_id)
    if not any(task.root for task in run.tasks):
        raise UsageError(
            f"run {run_id} has no output folder, since lakeflow did not deploy its job"
        )
    found = [
        (OutputFile(task.key, name, entry.size, entry.path, None), entry)
        for task in run.tasks
        for name, entry in _entries(session, run, task)
    ]
    if download_to is None:
        return tuple(file for file, _ in found)
    several = len(run.tasks) > 1
    targets = [
        path_within(download_to, f"{file.task}/{file.name}" if several else file.name)
        for file, _ in found
    ]
    for (file, entry), target in zip(found, targets, strict=True):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeflowError(f"cannot write {target}: {error.strerror}") from error
        with session.on_transfer(file.name, entry.size or 0) as on_progress:
            download(session.workspace, entry, target, on_progress=on_progress)
    return tuple(
        replace(file, local=str(target)) for (file, _), target in zip(found, targets, strict=True)
    )


def _entries(session: Session, run: Run, task: Task) -> Iterator[tuple[str, files.Entry]]:
    folder = f"{runs.folder_of(run, task)}/outputs"
    if task.root is None:
        return
    with suppress_missing():  # the task wrote no files
        for entry in files.walk(session.workspace, folder):
            if entry.kind == "file":
                yield entry.path[len(folder) + 1 :], entry
