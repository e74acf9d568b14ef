"""Copies between this machine and the workspace: single files, and folders with all in them."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.operations.session import Context
from lakeflow.resources import files
from lakeflow.resources.files import Entry

_AT_ONCE = 8
"""Files side by side; the Files API allows ten requests (databricks/cli, files_client.go)."""


@dataclass(frozen=True)
class Copied:
    """A file that was copied, or `skipped` because it is there already. `size` is in bytes."""

    source: str
    target: str
    size: int | None
    skipped: bool


@dataclass(frozen=True)
class _Item:
    """A file or folder to copy, `below` the source; "" is the source itself."""

    below: str
    entry: Entry


def copy(
    context: Context,
    source: str,
    target: str,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> tuple[Copied, ...]:
    """Copy a file, or with `recursive` what is in a folder, to or from the workspace.

    A file goes into a target that is a folder or ends with a slash. Files that are there are
    refused, unless `overwrite` replaces them or `resume` skips those that are as large and not
    older. No file shows before it is whole. A large download that was broken off goes on where it
    was.

    Raises UsageError for paths that make no sense and Refused for what cannot be copied, both
    before anything was copied; LakeflowError where another number of bytes has arrived.
    """
    if overwrite and resume:
        raise UsageError("--overwrite and --resume contradict each other: say one of them")
    workspace = context.workspace
    start, end = _End(workspace, source), _End(workspace, target)
    if not start.remote and not end.remote:
        raise UsageError(
            f"{source} and {target} are both on this machine. Paths of the workspace begin with "
            "dbfs:/, /Volumes/ or /Workspace/."
        )
    items = start.items(recursive)
    if items[0].entry.kind == "file" and (target.endswith("/") or end.is_folder()):
        end = end.below(posixpath.basename(start.path))
    end.refuse_within(start)
    there = {item.below: item.entry for item in end.listed_or_empty()}
    plan: list[tuple[_Item, bool]] = []
    for item in items:
        found = there.get(item.below)
        end.check(item, found)
        skip = False
        if item.entry.kind == "file" and found is not None:
            as_large = found.size is not None and found.size == item.entry.size
            skip = resume and as_large and found.modified >= item.entry.modified
            if not skip and not overwrite and not resume:
                raise Refused(
                    f"{end.name_of(item)} is there already. Say --overwrite to replace what is "
                    "there, or --resume to go on with a copy that was broken off."
                )
        plan.append((item, skip))
    return _carry_out(context, start, end, plan)


def list_files(context: Context, path: str, *, recursive: bool) -> list[Entry]:
    """What is in a folder of the workspace, or the file itself. Raises UsageError for none."""
    entry = _there(context, path)
    if entry.kind != "folder":
        return [entry]
    if recursive:
        return list(files.walk(context.workspace, entry.path))
    return files.list_folder(context.workspace, entry.path)


def read_file(
    context: Context, path: str, into: BinaryIO | None = None, *, max_bytes: int | None = None
) -> bytes:
    """Return the content of a file, or write it to `into` piece by piece and return nothing.

    Raises UsageError if it does not exist, and Refused if it has more than `max_bytes`.
    """
    entry = _there(context, path)
    if entry.kind != "file":
        raise UsageError(f"{entry.path} is no file but a {entry.kind}")
    if into is not None:
        files.stream_to(context.workspace, entry.path, into)
        return b""
    with _Limited(entry.path, max_bytes) as content:
        files.download(context.workspace, entry.path, content)
        return content.getvalue()


def make_folder(context: Context, path: str) -> str:
    """Make a folder of the workspace and those above it; returns its path in full."""
    path = files.normalize(path)
    files.create_folder(context.workspace, path)
    return path


def remove(
    context: Context, path: str, *, recursive: bool, confirm: Callable[[str], bool]
) -> Entry:
    """Remove a file of the workspace, or with `recursive` a folder with all that is in it.

    Raises UsageError where there is nothing, and Refused where it is not confirmed.
    """
    entry = _there(context, path)
    if entry.kind == "folder" and not recursive:
        raise UsageError(f"{entry.path} is a folder: say --recursive to remove all that is in it")
    with_all = " with all that is in it" if entry.kind == "folder" else ""
    what = f"{entry.kind} {entry.path}{with_all}"
    if entry.path.rstrip("/") in ("dbfs:", "/Workspace", "/Workspace/Users"):
        raise Refused(f"{entry.path} holds everybody's files: name what is to be removed of it")
    if not confirm(f"Remove the {what}?"):
        raise Refused(f"{entry.path} was not removed")
    files.remove(context.workspace, entry)
    return entry


def _there(context: Context, path: str) -> Entry:
    entry = files.stat(context.workspace, files.normalize(path))
    if entry is None:
        raise UsageError(f"there is no {files.normalize(path)} in {context.workspace.host}")
    return entry


def _carry_out(
    context: Context, start: _End, end: _End, plan: Sequence[tuple[_Item, bool]]
) -> tuple[Copied, ...]:
    for item, _ in plan:
        if item.entry.kind == "folder":
            end.make_folder(end.name_of(item))
    if plan[0][0].entry.kind == "file":
        end.make_folder(end.parent())
    wanted = [(item, skip) for item, skip in plan if item.entry.kind == "file"]
    size = sum(item.entry.size or 0 for item, skip in wanted if not skip)
    with context.on_transfer(posixpath.basename(start.path), size) as on_progress:
        meter = _Meter(on_progress)

        def one(job: tuple[_Item, bool]) -> Copied:
            item, skip = job
            if not skip:
                _copy_file(start, end, item, meter.of(item.below))
            return Copied(start.name_of(item), end.name_of(item), item.entry.size, skip)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = [pool.submit(one, job) for job in wanted]
            try:
                return tuple(future.result() for future in running)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                meter.stop()
                raise


def _copy_file(start: _End, end: _End, item: _Item, told: files.OnProgress) -> None:
    source, target = start.name_of(item), end.name_of(item)
    if not end.remote:
        download(start.workspace, item.entry, Path(target), told)
    elif not start.remote:
        files.put(end.workspace, target, Path(source), replace=True, on_progress=told)
    else:
        with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
            local = Path(folder, "file")
            download(start.workspace, item.entry, local, told)
            files.put(end.workspace, target, local, replace=True)


def download(
    workspace: Workspace, entry: Entry, target: Path, told: files.OnProgress = files.ignore_progress
) -> None:
    """Fetch a file and put it at `target` when it is whole, replacing what is there.

    Until then it grows beside it under a name made of what it is; where that is found the download
    goes on from there. Raises LakeflowError where it cannot be written or has another size.
    """
    identity = f"{workspace.host} {entry.path} {entry.size} {entry.modified}"
    mark = hashlib.sha256(identity.encode()).hexdigest()[:12]
    part = target.with_name(f".{target.name}.{mark}.part")
    try:
        with part.open("ab+") as file:
            if entry.size is None:  # nothing tells whether the part that exists is whole
                file.truncate(0)
            if os.fstat(file.fileno()).st_size != entry.size:
                files.download(workspace, entry.path, file, on_progress=told)
            file.flush()
            size = os.fstat(file.fileno()).st_size
        if entry.size is not None and size != entry.size:
            part.unlink()
            raise LakeflowError(
                f"{size} bytes of {entry.path} have arrived, which had {entry.size}. It may have "
                "been changed meanwhile: run the command again."
            )
        part.replace(target)
    except OSError as error:
        raise LakeflowError(f"cannot write {target}: {error.strerror or error}") from error


def confined(folder: Path, below: str) -> Path:
    """The path of a part of `folder`, whatever the workspace calls it.

    Raises LakeflowError for a name that leads elsewhere, through `..` or through a link.
    """
    parts = below.split("/")
    path = folder.joinpath(*parts)
    plain = all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    if not plain or not path.parent.resolve().is_relative_to(folder.resolve()) or path.is_symlink():
        raise LakeflowError(f"{below!r} would be written outside of {folder}: nothing was copied")
    return path


class _End:
    """One end of a copy, here or in the workspace."""

    def __init__(self, workspace: Workspace, path: str) -> None:
        self.workspace = workspace
        self.remote = files.is_remote(path)
        self.path = files.normalize(path) if self.remote else path.removeprefix("file:")

    def below(self, name: str) -> _End:
        return _End(self.workspace, f"{self.path.rstrip('/')}/{name}")

    def parent(self) -> str:
        return posixpath.dirname(self.path) or "."

    def name_of(self, item: _Item) -> str:
        return f"{self.path.rstrip('/')}/{item.below}" if item.below else self.path

    def look(self) -> Entry | None:
        if self.remote:
            return files.stat(self.workspace, self.path)
        path = Path(self.path)
        return _local_entry(path) if path.exists() else None

    def is_folder(self) -> bool:
        found = self.look()
        return found is not None and found.kind == "folder"

    def items(self, recursive: bool) -> list[_Item]:
        """What there is to copy, folders before what is in them."""
        found = self.look()
        if found is None:
            raise UsageError(f"there is no {self.path}")
        if found.kind == "folder" and not recursive:
            raise UsageError(f"{self.path} is a folder: say --recursive to copy what is in it")
        items = [_Item("", found), *(self._below(found) if found.kind == "folder" else ())]
        for item in items:
            if item.entry.kind not in ("file", "folder"):
                raise Refused(f"{item.entry.path} is no file but a {item.entry.kind}")
        return items

    def listed_or_empty(self) -> list[_Item]:
        """What is there already."""
        found = self.look()
        if found is None:
            return []
        return [_Item("", found), *(self._below(found) if found.kind == "folder" else ())]

    def _below(self, found: Entry) -> Iterable[_Item]:
        if self.remote:
            for entry in files.walk(self.workspace, found.path):
                yield _Item(entry.path[len(found.path.rstrip("/")) + 1 :], entry)
        else:
            for path in sorted(Path(found.path).rglob("*")):
                yield _Item(path.relative_to(found.path).as_posix(), _local_entry(path))

    def check(self, item: _Item, found: Entry | None) -> None:
        """Refuse what cannot be put here."""
        if found is not None and found.kind != item.entry.kind:
            raise Refused(f"{self.name_of(item)} is there already, and is a {found.kind}")
        if self.remote and item.entry.kind == "file":
            files.check_size(self.name_of(item), item.entry.size or 0)
        elif not self.remote and item.below:
            confined(Path(self.path), item.below)

    def refuse_within(self, start: _End) -> None:
        """Refuse a copy of something into itself."""
        same = self.remote == start.remote
        if same and f"{self.path}/".startswith(f"{start.path.rstrip('/')}/"):
            raise UsageError(f"{self.path} is {start.path} itself, or in it")

    def make_folder(self, path: str) -> None:
        if self.remote:
            if path.rstrip("/") not in ("dbfs:", "/Workspace"):
                files.create_folder(self.workspace, path)
            return
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeflowError(f"cannot make the folder {path}: {error.strerror}") from error


def _local_entry(path: Path) -> Entry:
    if not path.exists():
        return Entry(str(path), "link to nothing")
    status = path.stat()
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
    if kind == "folder":
        kind = "link to a folder" if path.is_symlink() else kind
        return Entry(str(path), kind)
    return Entry(str(path), kind, status.st_size, int(status.st_mtime * 1000))


class _Meter:
    """Adds up what was done of several files."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._done: dict[str, int] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def of(self, name: str) -> files.OnProgress:
        def told(done: int) -> None:
            with self._lock:
                if self._stopped:
                    raise _Stopped
                self._done[name] = done
                self._told(sum(self._done.values()))

        return told

    def stop(self) -> None:
        """End the copies that are under way, at the next piece of each."""
        with self._lock:
            self._stopped = True


class _Limited(io.BytesIO):
    """Content in memory, of limited size."""

    def __init__(self, path: str, max_bytes: int | None) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes

    def write(self, data: Any, /) -> int:
        written = super().write(data)
        if self._max_bytes is not None and self.tell() > self._max_bytes:
            raise Refused(f"{self._path} has more than {self._max_bytes:,} bytes")
        return written


class _Stopped(Exception):
    """A copy is given up, since another one failed or Ctrl-C was pressed."""
