"""List, read, create and remove files of the workspace."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

from lakeflow.errors import Refused, UsageError
from lakeflow.operations.changes import Change, Plan, Resource
from lakeflow.operations.session import Session
from lakeflow.resources import files
from lakeflow.resources.files import Entry

_SHARED_FOLDERS = ("dbfs:", "/Workspace", "/Workspace/Users")
"""Folders that hold the files of all users."""


@dataclass(frozen=True)
class FileRemovalPlan(Plan):
    """A file or folder to remove."""

    entry: Entry

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes."""
        before = {"kind": self.entry.kind, "size": self.entry.size}
        return (Change("delete", Resource("file", self.entry.path), before),)


def list_files(session: Session, path: str, *, recursive: bool) -> list[Entry]:
    """Return the content of a folder, or the file itself. Raises UsageError if not found."""
    entry = _existing(session, path)
    if entry.kind != "folder":
        return [entry]
    if recursive:
        return list(files.walk(session.workspace, entry.path))
    return files.list_folder(session.workspace, entry.path)


def read_file(
    session: Session, path: str, into: BinaryIO | None = None, *, max_bytes: int | None = None
) -> bytes:
    """Return the content of a file, or write it to `into` piece by piece and return nothing.

    Raises UsageError if not found, and Refused if it has more than `max_bytes`.
    """
    entry = _existing(session, path)
    if entry.kind != "file":
        raise UsageError(f"{entry.path} is not a file but a {entry.kind}")
    if into is not None:
        files.stream_to(session.workspace, entry.path, into)
        return b""
    with _LimitedBuffer(entry.path, max_bytes) as content:
        files.download(session.workspace, entry.path, content)
        return content.getvalue()


def create_folder(session: Session, path: str) -> str:
    """Create a folder and its parents. Returns its normalized path."""
    path = files.normalize(path)
    files.create_folder(session.workspace, path)
    return path


def plan_remove(session: Session, path: str, *, recursive: bool) -> FileRemovalPlan:
    """Find the file to remove, or with `recursive` the folder.

    Raises UsageError if not found, and Refused for a folder of all users.
    """
    entry = _existing(session, path)
    if entry.kind == "folder" and not recursive:
        raise UsageError(
            f"{entry.path} is a folder\nhint: pass --recursive to remove it with its content"
        )
    if entry.path.rstrip("/") in _SHARED_FOLDERS:
        raise Refused(
            f"{entry.path} holds the files of all users\nhint: name a file or folder in it"
        )
    return FileRemovalPlan(session.workspace.host, entry)


def apply(session: Session, plan: FileRemovalPlan) -> Entry:
    """Remove the file, or the folder with its content."""
    session.check_workspace(plan.workspace)
    files.remove(session.workspace, plan.entry)
    return plan.entry


def _existing(session: Session, path: str) -> Entry:
    entry = files.stat(session.workspace, files.normalize(path))
    if entry is None:
        raise UsageError(f"{files.normalize(path)} not found in {session.workspace.host}")
    return entry


class _LimitedBuffer(io.BytesIO):
    """A buffer that raises Refused when its content gets too large."""

    def __init__(self, path: str, max_bytes: int | None) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes

    def write(self, data: Any, /) -> int:
        written = super().write(data)
        if self._max_bytes is not None and self.tell() > self._max_bytes:
            raise Refused(f"{self._path} has more than {self._max_bytes:,} bytes")
        return written
