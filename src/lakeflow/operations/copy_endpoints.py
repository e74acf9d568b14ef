"""The two ends of a copy: a path on this machine or in the workspace."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.operations.download import path_within
from lakeflow.resources import files
from lakeflow.resources.files import Entry


@dataclass(frozen=True)
class Item:
    """A file or folder to copy. `relative` is its path below the source, "" for the source."""

    relative: str
    entry: Entry


class End(Protocol):
    """A source or target of a copy."""

    @property
    def path(self) -> str:
        """The path of the file or folder."""

    @property
    def is_remote(self) -> bool:
        """Whether it is in the workspace."""

    def join(self, name: str) -> End:
        """Return the end of a file in this folder."""

    def stat(self) -> Entry | None:
        """Return the entry, None if it does not exist."""

    def walk(self) -> Iterable[Item]:
        """Yield all items below this folder, each folder before its content."""

    def check_target(self, item: Item) -> None:
        """Raise Refused or LakeflowError if an item cannot be stored here."""

    def create_folder(self, path: str) -> None:
        """Create a folder and its parents, unless they exist."""


@dataclass(frozen=True)
class RemoteEnd:
    """A path in the workspace."""

    workspace: Workspace
    path: str
    is_remote: bool = True

    def join(self, name: str) -> RemoteEnd:
        return RemoteEnd(self.workspace, f"{self.path.rstrip('/')}/{name}")

    def stat(self) -> Entry | None:
        return files.stat(self.workspace, self.path)

    def walk(self) -> Iterable[Item]:
        for entry in files.walk(self.workspace, self.path):
            yield Item(entry.path[len(self.path.rstrip("/")) + 1 :], entry)

    def check_target(self, item: Item) -> None:
        if item.entry.kind == "file":
            files.check_size(path_of(self, item), item.entry.size or 0)

    def create_folder(self, path: str) -> None:
        if path.rstrip("/") not in ("dbfs:", "/Workspace"):  # these exist, and cannot be created
            files.create_folder(self.workspace, path)


@dataclass(frozen=True)
class LocalEnd:
    """A path on this machine."""

    path: str
    is_remote: bool = False

    def join(self, name: str) -> LocalEnd:
        return LocalEnd(f"{self.path.rstrip('/')}/{name}")

    def stat(self) -> Entry | None:
        path = Path(self.path)
        return _local_entry(path) if path.exists() else None

    def walk(self) -> Iterable[Item]:
        for path in sorted(Path(self.path).rglob("*")):
            yield Item(path.relative_to(self.path).as_posix(), _local_entry(path))

    def check_target(self, item: Item) -> None:
        if item.relative:
            path_within(Path(self.path), item.relative)

    def create_folder(self, path: str) -> None:
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeflowError(f"cannot create the folder {path}: {error.strerror}") from error


def end_of(workspace: Workspace, path: str) -> End:
    """Return the end for a path; `file:` marks a local one that looks like the workspace's."""
    if files.is_remote(path):
        return RemoteEnd(workspace, files.normalize(path))
    return LocalEnd(path.removeprefix("file:"))


def path_of(end: End, item: Item) -> str:
    """Return the path of an item at an end."""
    return f"{end.path.rstrip('/')}/{item.relative}" if item.relative else end.path


def parent_of(end: End) -> str:
    """Return the folder of an end."""
    return posixpath.dirname(end.path) or "."


def existing_items(end: End) -> list[Item]:
    """Return the items that exist at an end, folders before their content."""
    entry = end.stat()
    if entry is None:
        return []
    return [Item("", entry), *(end.walk() if entry.kind == "folder" else ())]


def source_items(end: End, *, recursive: bool) -> list[Item]:
    """Return the items to copy.

    Raises UsageError if not found or a folder, unless `recursive`; Refused for special files.
    """
    entry = end.stat()
    if entry is None:
        raise UsageError(f"{end.path} not found")
    if entry.kind == "folder" and not recursive:
        raise UsageError(f"{end.path} is a folder\nhint: pass --recursive to copy its content")
    items = [Item("", entry), *(end.walk() if entry.kind == "folder" else ())]
    for item in items:
        if item.entry.kind not in ("file", "folder"):
            raise Refused(f"{item.entry.path} is not a file but a {item.entry.kind}")
    return items


def _local_entry(path: Path) -> Entry:
    if not path.exists():
        return Entry(str(path), "dangling link")
    status = path.stat()
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
    if kind == "folder":
        kind = "link to a folder" if path.is_symlink() else kind
        return Entry(str(path), kind)
    return Entry(str(path), kind, status.st_size, int(status.st_mtime * 1000))
