"""Files of the workspace, in three stores with an API each.

`/Volumes/<catalog>/<schema>/<volume>/...` (`volumes`), `/Workspace/...` (`workspace_files`) and
`dbfs:/...` (`dbfs`). Paths are absolute, and their beginning names the store. The functions here
work on any of them.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

from lakeflow.client.http_errors import ApiError, suppress_missing
from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.resources.files.dbfs import DbfsStore
from lakeflow.resources.files.paths import (
    check_root,
    is_on_dbfs,
    is_on_volume,
    is_remote,
    normalize,
)
from lakeflow.resources.files.store import (
    Entry,
    FileSize,
    FileStore,
    KnownSize,
    NoFile,
    OnProgress,
    SourceFile,
    TooLargeToRead,
    UnknownSize,
    ignore_progress,
)
from lakeflow.resources.files.volumes import VolumeStore
from lakeflow.resources.files.workspace_files import WorkspaceFileStore

__all__ = [
    "Entry",
    "FileSize",
    "FileStore",
    "KnownSize",
    "NoFile",
    "OnProgress",
    "TooLargeToRead",
    "UnknownSize",
    "check_root",
    "check_size",
    "create_folder",
    "download",
    "ignore_progress",
    "is_remote",
    "list_folder",
    "normalize",
    "put",
    "read",
    "remove",
    "size_of",
    "stat",
    "store_for",
    "stream_to",
    "upload",
    "walk",
]


def store_for(workspace: Workspace, path: str) -> FileStore:
    """Return the store that a path belongs to."""
    return _store_class(path)(workspace)


def check_size(path: str, size: int) -> None:
    """Raise Refused if a file of `size` bytes cannot be stored at `path`."""
    _store_class(path).check_size(path, size)


def size_of(workspace: Workspace, path: str) -> FileSize:
    """Return the size of a file: known, unknown, or that there is no file."""
    with suppress_missing():
        return store_for(workspace, path).size_of(path)
    return NoFile()


def stat(workspace: Workspace, path: str) -> Entry | None:
    """Return the entry of a file or folder, None if it does not exist."""
    with suppress_missing():
        return store_for(workspace, path).stat(path)
    return None


def list_folder(workspace: Workspace, path: str) -> list[Entry]:
    """Return the entries of a folder by name. Raises ApiError if it does not exist."""
    entries = store_for(workspace, path).list_folder(path)
    for entry in entries:
        # A download writes files of these names: the reply must not lead out of its folder.
        if posixpath.dirname(entry.path) != path.rstrip("/"):
            raise LakeflowError(f"the workspace lists {entry.path!r} as part of {path}")
    return sorted(entries, key=lambda entry: entry.path)


def walk(workspace: Workspace, path: str) -> Iterator[Entry]:
    """Yield all entries below a folder, each folder before its content."""
    for entry in list_folder(workspace, path):
        yield entry
        if entry.kind == "folder":
            yield from walk(workspace, entry.path)


def read(workspace: Workspace, path: str) -> bytes | None:
    """Return the content of a file, None if it does not exist."""
    with suppress_missing():
        return store_for(workspace, path).read(path)
    return None


def download(
    workspace: Workspace,
    path: str,
    target: BinaryIO,
    *,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Append to `target` the part of a file that it does not have yet."""
    store_for(workspace, path).download(path, target, on_progress)


def stream_to(workspace: Workspace, path: str, target: BinaryIO) -> None:
    """Write a file to a stream that cannot seek, holding one piece in memory at a time.

    Raises LakeflowError if the connection breaks and the workspace cannot resume.
    """
    download(workspace, path, cast("BinaryIO", _AppendOnly(target)))


def create_folder(workspace: Workspace, path: str) -> None:
    """Create a folder and its parents, unless they exist."""
    store_for(workspace, path).create_folder(path)


def remove(workspace: Workspace, entry: Entry) -> None:
    """Remove a file, or a folder with its content, unless it is gone already."""
    with suppress_missing():
        store_for(workspace, entry.path).remove(entry)


def upload(
    workspace: Workspace,
    path: str,
    source: Path,
    *,
    replace: bool,
    on_progress: OnProgress = ignore_progress,
) -> int:
    """Store a file at a path named after its content. Returns the number of bytes.

    Creates the folder. Use `replace` to repair a broken upload; without it, a file that exists has
    the same content and stays. Raises LakeflowError if the file there has another size afterwards.
    """
    create_folder(workspace, posixpath.dirname(path))
    try:
        return put(workspace, path, source, replace=replace, on_progress=on_progress)
    except ApiError as error:
        if not error.exists:  # somebody stored the same content first, or a reply was lost
            raise
    size = source.stat().st_size
    _check_arrived(workspace, path, size)
    return size


def put(
    workspace: Workspace,
    path: str,
    source: Path,
    *,
    replace: bool,
    on_progress: OnProgress = ignore_progress,
) -> int:
    """Store a file in an existing folder. Returns the number of bytes.

    Raises ApiError if a file exists and `replace` is false, and LakeflowError if another number of
    bytes has arrived.
    """
    with closing(SourceFile(source, on_progress)) as content:
        size = content.size
        store_for(workspace, path).put(path, content, replace=replace)
    _check_arrived(workspace, path, size)
    return size


def _check_arrived(workspace: Workspace, path: str, size: int) -> None:
    """Raise LakeflowError if a file is missing or has another size than was sent."""
    match size_of(workspace, path):
        case KnownSize(bytes=arrived) if arrived != size:
            found = f"has {arrived} bytes"
        case NoFile():
            found = "does not exist"
        case _:  # the same size, or one that the workspace does not tell
            return
    raise LakeflowError(
        f"{path} {found} after {size} bytes were uploaded\n"
        "hint: run the command again; if it happens again, remove that file"
    )


def _store_class(path: str) -> type[VolumeStore | WorkspaceFileStore | DbfsStore]:
    if is_on_volume(path):
        return VolumeStore
    return DbfsStore if is_on_dbfs(path) else WorkspaceFileStore


class _AppendOnly:
    """A stream that cannot seek, in the shape of a file that is appended to."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._written = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_END:
            raise LakeflowError(
                f"the connection broke after {self._written} bytes, and the workspace starts over\n"
                "hint: copy the file with `lakeflow fs cp`, which can start over too"
            )
        return self._written

    def tell(self) -> int:
        return self._written

    def write(self, data: bytes) -> int:
        self._target.write(data)
        self._written += len(data)
        return len(data)
