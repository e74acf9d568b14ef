"""What runs leave behind: the files that tasks wrote into their `LAKEFLOW_OUTPUT_DIR`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lakeflow.client.http_errors import ApiError
from lakeflow.errors import LakeflowError, UsageError
from lakeflow.operations import copy
from lakeflow.operations.session import Context
from lakeflow.resources import files, runs
from lakeflow.resources.runs import Run, Task


@dataclass(frozen=True)
class OutputFile:
    """A file that a run left; `name` is its path in the output folder, `size` in bytes.

    `path` is where it is in the workspace, `local` where it was downloaded to.
    """

    task: str
    name: str
    size: int | None
    path: str
    local: str | None


def outputs(
    context: Context, run_id: int, *, download_to: Path | None = None
) -> tuple[OutputFile, ...]:
    """The files that the last attempts of a run's tasks have left, downloaded where that is asked.

    They go to `<download_to>/<name>`, and for a run of several tasks to
    `<download_to>/<task>/<name>`; files that are there are replaced. All names are checked before
    anything is written, and the sizes of the files afterwards.

    Raises UsageError for an unknown run or one that lakeflow did not deploy, and LakeflowError
    where a name leads out of the folder or a file did not arrive whole.
    """
    run = runs.get(context.workspace, run_id)
    if not any(task.root for task in run.tasks):
        raise UsageError(
            f"run {run_id} is of a job that lakeflow did not deploy: it has no folder for outputs"
        )
    found = [
        (OutputFile(task.key, name, entry.size, entry.path, None), entry)
        for task in run.tasks
        for name, entry in _entries(context, run, task)
    ]
    if download_to is None:
        return tuple(file for file, _ in found)
    several = len(run.tasks) > 1
    targets = [
        copy.confined(download_to, f"{file.task}/{file.name}" if several else file.name)
        for file, _ in found
    ]
    for (file, entry), target in zip(found, targets, strict=True):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeflowError(f"cannot write {target}: {error.strerror}") from error
        with context.on_transfer(file.name, entry.size or 0) as on_progress:
            copy.download(context.workspace, entry, target, on_progress)
    return tuple(
        replace(file, local=str(target)) for (file, _), target in zip(found, targets, strict=True)
    )


def _entries(context: Context, run: Run, task: Task) -> Iterator[tuple[str, files.Entry]]:
    folder = f"{runs.folder_of(run, task)}/outputs"
    if task.root is None:
        return
    try:
        for entry in files.walk(context.workspace, folder):
            if entry.kind == "file":
                yield entry.path[len(folder) + 1 :], entry
    except ApiError as error:
        if not error.missing:  # it left nothing
            raise
