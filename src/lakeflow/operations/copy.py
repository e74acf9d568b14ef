"""Copy files and folders between this machine and the workspace."""

from __future__ import annotations

import posixpath
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lakeflow.errors import Refused, UsageError
from lakeflow.operations.copy_endpoints import (
    End,
    Item,
    RemoteEnd,
    end_of,
    existing_items,
    parent_of,
    path_of,
    source_items,
)
from lakeflow.operations.download import download
from lakeflow.operations.session import Session
from lakeflow.resources import files
from lakeflow.resources.files import Entry, OnProgress

_CONCURRENCY = 8
"""Concurrent files; the Files API allows ten requests (databricks/cli, files_client.go)."""


@dataclass(frozen=True)
class Copied:
    """A file that was copied, or `skipped` since it exists. `size` is in bytes, None if unknown."""

    source: str
    target: str
    size: int | None
    skipped: bool


@dataclass(frozen=True)
class _Step:
    """An item, and whether it is skipped."""

    item: Item
    skipped: bool


def copy(
    session: Session,
    source: str,
    target: str,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> tuple[Copied, ...]:
    """Copy a file, or with `recursive` the content of a folder, to or from the workspace.

    A file goes into a target that is a folder or ends with a slash. Existing files are refused,
    unless `overwrite` replaces them or `resume` skips those of the same size that are not older. No
    file is visible before it is complete. Interrupted large downloads are resumed.

    Raises UsageError for impossible paths and Refused for what cannot be copied, both before
    anything is copied; LakeflowError if another number of bytes arrives.
    """
    if overwrite and resume:
        raise UsageError("--overwrite and --resume contradict each other: pass only one of them")
    start, end = end_of(session.workspace, source), end_of(session.workspace, target)
    if not start.is_remote and not end.is_remote:
        raise UsageError(
            f"{source} and {target} are both on this machine\n"
            "hint: workspace paths begin with dbfs:/, /Volumes/ or /Workspace/"
        )
    items = source_items(start, recursive=recursive)
    if items[0].entry.kind == "file" and (target.endswith("/") or _is_folder(end)):
        end = end.join(posixpath.basename(start.path))
    _refuse_within(start, end)
    existing = {item.relative: item.entry for item in existing_items(end)}
    steps = []
    for item in items:
        found = existing.get(item.relative)
        if found is not None and found.kind != item.entry.kind:
            raise Refused(f"{path_of(end, item)} already exists and is a {found.kind}")
        end.check_target(item)
        skipped = resume and found is not None and _is_copy(found, item.entry)
        if item.entry.kind == "file" and found is not None and not (overwrite or resume):
            raise Refused(
                f"{path_of(end, item)} already exists\n"
                "hint: pass --overwrite to replace existing files, or --resume to continue an "
                "interrupted copy"
            )
        steps.append(_Step(item, skipped))
    return _carry_out(session, start, end, steps)


def _is_folder(end: End) -> bool:
    entry = end.stat()
    return entry is not None and entry.kind == "folder"


def _refuse_within(start: End, end: End) -> None:
    """Refuse to copy something into itself."""
    is_within = f"{end.path}/".startswith(f"{start.path.rstrip('/')}/")
    if start.is_remote == end.is_remote and is_within:
        raise UsageError(f"{end.path} is {start.path} itself, or in it")


def _is_copy(found: Entry, source: Entry) -> bool:
    """Return whether an existing file has the size of the source and is not older.

    Where the workspace does not tell the size, the time decides.
    """
    if found.size is None or source.size is None:
        return 0 < source.modified <= found.modified
    return found.size == source.size and found.modified >= source.modified


def _carry_out(
    session: Session, start: End, end: End, steps: Sequence[_Step]
) -> tuple[Copied, ...]:
    for step in steps:
        if step.item.entry.kind == "folder":
            end.create_folder(path_of(end, step.item))
    if steps[0].item.entry.kind == "file":
        end.create_folder(parent_of(end))
    file_steps = [step for step in steps if step.item.entry.kind == "file"]
    size = sum(step.item.entry.size or 0 for step in file_steps if not step.skipped)
    with session.on_transfer(posixpath.basename(start.path), size) as on_progress:
        total = _Total(on_progress)

        def one(step: _Step) -> Copied:
            item = step.item
            if not step.skipped:
                _copy_file(start, end, item, total.part(item.relative))
            return Copied(path_of(start, item), path_of(end, item), item.entry.size, step.skipped)

        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            running = [pool.submit(one, step) for step in file_steps]
            try:
                return tuple(future.result() for future in running)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                total.stop()
                raise


def _copy_file(start: End, end: End, item: Item, on_progress: OnProgress) -> None:
    source, target = path_of(start, item), path_of(end, item)
    if isinstance(start, RemoteEnd) and isinstance(end, RemoteEnd):
        with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
            local = Path(folder, "file")
            download(start.workspace, item.entry, local, on_progress=on_progress)
            files.put(end.workspace, target, local, replace=True)
    elif isinstance(start, RemoteEnd):
        download(start.workspace, item.entry, Path(target), on_progress=on_progress)
    elif isinstance(end, RemoteEnd):
        files.put(end.workspace, target, Path(source), replace=True, on_progress=on_progress)


class _Total:
    """Adds up the progress of several files."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._done: dict[str, int] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def part(self, name: str) -> OnProgress:
        """Return the progress callback of one file."""

        def add(done: int) -> None:
            with self._lock:
                if self._stopped:
                    raise _Stopped
                self._done[name] = done
                self._on_progress(sum(self._done.values()))

        return add

    def stop(self) -> None:
        """Stop the copies in progress, each at its next piece."""
        with self._lock:
            self._stopped = True


class _Stopped(Exception):
    """A copy stops, since another one failed or Ctrl-C was pressed."""
