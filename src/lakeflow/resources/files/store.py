"""What the file stores have in common: entries, sizes, sources of uploads, and the protocol."""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from lakeflow.client.http_errors import ApiError
from lakeflow.errors import WorkspaceError

OnProgress = Callable[[int], None]
"""Called with the number of bytes transferred so far."""


def ignore_progress(done: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Entry:
    """A file or folder. `kind` is `file`, `folder` or another object type such as `notebook`.

    `size` is in bytes, 0 for a folder and None if the workspace does not tell. `modified` is in
    Unix milliseconds, 0 if unknown.
    """

    path: str
    kind: str
    size: int | None = 0
    modified: int = 0

    @property
    def name(self) -> str:
        """The last component of the path."""
        return posixpath.basename(self.path)


@dataclass(frozen=True)
class KnownSize:
    """A file exists and has this size."""

    bytes: int


@dataclass(frozen=True)
class UnknownSize:
    """A file exists, but the workspace does not tell its size.

    `identity` is another one after each change of the file, empty if the workspace tells none.
    """

    identity: str = ""


@dataclass(frozen=True)
class NoFile:
    """No file exists."""


FileSize = KnownSize | UnknownSize | NoFile
"""The size of a file as the workspace reports it."""


class TooLargeToRead(WorkspaceError):
    """The workspace does not let files of this size be read."""


def refused_for_size(error: ApiError) -> bool:
    """Return whether a workspace file is too large for `import` or `export`.

    The code is often BAD_REQUEST (databricks/cli issue 3691, databrickslabs/migrate PR 292).
    """
    return error.code == "MAX_NOTEBOOK_SIZE_EXCEEDED" or bool(_TOO_LARGE.search(str(error)))


_TOO_LARGE = re.compile(r"exceeded max size|[Ss]ize exceeds|size exceeded limit|exceeded the limit")


def size_from(raw: object) -> int | None:
    """Return the size in a reply, in bytes; None if the reply has none, or no number."""
    text = str(raw)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


class SourceFile(io.BufferedReader):
    """A local file to upload that reports how far it has been read. `size` is in bytes."""

    def __init__(self, path: Path, on_progress: OnProgress) -> None:
        super().__init__(io.FileIO(path))
        status = os.fstat(self.fileno())
        self.path = path
        self.size = status.st_size
        self.identity = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
        self.on_progress = on_progress

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.on_progress(self.tell())
        return data


class FileStore(Protocol):
    """One of a workspace's file stores, each with its own API.

    Paths are absolute and normalized (`paths.normalize`). Methods raise ApiError, with `missing`
    set if the path does not exist.
    """

    @staticmethod
    def check_size(path: str, size: int) -> None:
        """Raise Refused if the store takes no file of `size` bytes."""

    def size_of(self, path: str) -> KnownSize | UnknownSize:
        """Return the size of a file."""

    def stat(self, path: str) -> Entry:
        """Return the entry of a file or folder."""

    def list_folder(self, path: str) -> list[Entry]:
        """Return the entries of a folder, in no particular order."""

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises TooLargeToRead as well."""

    def download(self, path: str, target: BinaryIO, on_progress: OnProgress) -> None:
        """Append to `target` the part of a file that it does not have yet.

        Raises TooLargeToRead as well.
        """

    def create_folder(self, path: str) -> None:
        """Create a folder and its parents, unless they exist."""

    def remove(self, entry: Entry) -> None:
        """Remove a file, or a folder with its content."""

    def put(self, path: str, source: SourceFile, *, replace: bool) -> None:
        """Store a file in an existing folder, visible only once it is complete.

        Raises ApiError with `exists` set if a file exists and `replace` is false.
        """
