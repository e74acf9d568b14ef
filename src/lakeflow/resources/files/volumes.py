"""Files on Unity Catalog volumes, through the Files API."""

from __future__ import annotations

import posixpath
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from lakeflow.client.http_errors import ApiError, suppress_missing
from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.resources import multipart_upload
from lakeflow.resources.files.store import (
    Entry,
    KnownSize,
    OnProgress,
    SourceFile,
    UnknownSize,
    size_from,
)

MAX_BYTES = 5 * 1024**3
"""The largest file that one PUT takes (Files API reference)."""


class VolumeStore:
    """The files below `/Volumes`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def check_size(path: str, size: int) -> None:
        if size > MAX_BYTES:
            name = posixpath.basename(path)
            raise Refused(f"{name} has {size:,} bytes; a file on a volume can have at most 5 GiB")

    def size_of(self, path: str) -> KnownSize | UnknownSize:
        size = self._file(path).size
        return UnknownSize() if size is None else KnownSize(size)

    def stat(self, path: str) -> Entry:
        try:
            return self._file(path)
        except ApiError as error:
            if not error.missing:
                raise
        self._workspace.head(folder_url(path))
        return Entry(path, "folder")

    def list_folder(self, path: str) -> list[Entry]:
        items = self._workspace.pages(folder_url(path), "contents")
        return [_entry(item) for item in items]

    def read(self, path: str) -> bytes:
        return self._workspace.read(file_url(path))

    def download(self, path: str, target: BinaryIO, on_progress: OnProgress) -> None:
        self._workspace.download(file_url(path), target, on_progress=on_progress)

    def create_folder(self, path: str) -> None:
        self._workspace.put(folder_url(path))

    def remove(self, entry: Entry) -> None:
        if entry.kind != "folder":
            self._workspace.delete(file_url(entry.path))
            return
        for child in self.list_folder(entry.path):  # the Files API only deletes empty folders
            with suppress_missing():
                self.remove(child)
        self._workspace.delete(folder_url(entry.path))

    def put(self, path: str, source: SourceFile, *, replace: bool) -> None:
        if source.size >= multipart_upload.MIN_BYTES:
            with suppress(multipart_upload.NotAvailable):
                multipart_upload.send(
                    self._workspace,
                    path,
                    source.path,
                    replace=replace,
                    on_progress=source.on_progress,
                )
                return
        self._workspace.put(file_url(path), source, overwrite=replace)

    def _file(self, path: str) -> Entry:
        headers = self._workspace.head(file_url(path), "content-length", "last-modified")
        modified = _milliseconds(headers.get("last-modified"))
        return Entry(path, "file", size_from(headers.get("content-length")), modified)


def _milliseconds(when: str | None) -> int:
    """Return an HTTP date in Unix milliseconds; 0 if it is missing or malformed."""
    try:
        return max(0, int(parsedate_to_datetime(when).timestamp() * 1000)) if when else 0
    except (ValueError, TypeError, OverflowError):
        return 0


def _entry(raw: Mapping[str, Any]) -> Entry:
    path, modified = str(raw["path"]).rstrip("/"), int(raw.get("last_modified") or 0)
    if raw.get("is_directory"):
        return Entry(path, "folder", modified=modified)
    return Entry(path, "file", size_from(raw.get("file_size")), modified)


def file_url(path: str) -> str:
    """Return the Files API's address of a file."""
    return f"/api/2.0/fs/files{urllib.parse.quote(path)}"


def folder_url(path: str) -> str:
    """Return the Files API's address of a folder."""
    return f"/api/2.0/fs/directories{urllib.parse.quote(path)}"
