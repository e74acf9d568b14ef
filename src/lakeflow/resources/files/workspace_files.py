"""Files below `/Workspace`, through the Workspace API."""

from __future__ import annotations

import posixpath
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from lakeflow.client.http_errors import ApiError
from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused
from lakeflow.resources.files.store import (
    Entry,
    KnownSize,
    OnProgress,
    SourceFile,
    TooLargeToRead,
    UnknownSize,
    refused_for_size,
    size_from,
)

_API = "/api/2.0/workspace"

MAX_BYTES = 500 * 1024 * 1024
"""The largest workspace file (documentation, "What are workspace files?")."""


class WorkspaceFileStore:
    """The files below `/Workspace`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def check_size(path: str, size: int) -> None:
        if size > MAX_BYTES:
            raise Refused(
                f"{posixpath.basename(path)} has {size:,} bytes, and workspace files are limited "
                "to 500 MB\nhint: use a folder on a volume, such as "
                "/Volumes/main/default/lakeflow, where a file can have 5 GiB (for wheels set "
                "LAKEFLOW_ROOT to it)"
            )

    def size_of(self, path: str) -> KnownSize | UnknownSize:
        raw = self._status(path)
        size = size_from(raw.get("size"))
        return UnknownSize(_identity(raw)) if size is None else KnownSize(size)

    def stat(self, path: str) -> Entry:
        return _entry(self._status(path))

    def list_folder(self, path: str) -> list[Entry]:
        reply = self._workspace.get(f"{_API}/list", path=path)
        return [_entry(item) for item in reply.get("objects", [])]

    def read(self, path: str) -> bytes:
        with _readable(path):
            return self._workspace.read(f"{_API}/export", **_download(path))

    def download(self, path: str, target: BinaryIO, on_progress: OnProgress) -> None:
        url = f"{_API}/export"
        with _readable(path):
            self._workspace.download(url, target, on_progress=on_progress, **_download(path))

    def create_folder(self, path: str) -> None:
        self._workspace.post(f"{_API}/mkdirs", {"path": path}, repeatable=True)

    def remove(self, entry: Entry) -> None:
        body = {"path": entry.path, "recursive": entry.kind == "folder"}
        self._workspace.post(f"{_API}/delete", body, repeatable=True)

    def put(self, path: str, source: SourceFile, *, replace: bool) -> None:
        fields = {"path": path, "format": "AUTO"} | ({"overwrite": "true"} if replace else {})
        try:
            self._workspace.post_form(f"{_API}/import", fields, source)
        except ApiError as error:
            if not refused_for_size(error):
                raise
            # Where imports are small, databricks/cli uses import-file, which is deprecated.
            url = f"/api/2.0/workspace-files/import-file{urllib.parse.quote(path)}"
            overwrite = "true" if replace else "false"
            self._workspace.post_stream(url, source, overwrite=overwrite)

    def _status(self, path: str) -> dict[str, Any]:
        return self._workspace.get(f"{_API}/get-status", path=path)


def _download(path: str) -> dict[str, str]:
    return {"path": path, "direct_download": "true"}


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if not refused_for_size(error):
            raise
        raise TooLargeToRead(
            f"{path} is larger than this workspace lets workspace files be read: {error}\n"
            "hint: keep large files on a volume (for wheels and outputs set LAKEFLOW_ROOT to it)"
        ) from error


def _identity(raw: Mapping[str, Any]) -> str:
    """Return what changes with a file, empty unless the reply holds all of it."""
    known = [raw.get(name) for name in ("object_id", "modified_at")]
    return " ".join(map(str, known)) if all(known) else ""


def _entry(raw: Mapping[str, Any]) -> Entry:
    kinds = {"FILE": "file", "DIRECTORY": "folder", "REPO": "folder"}
    kind = kinds.get(raw["object_type"], str(raw["object_type"]).lower())
    path = str(raw["path"]).rstrip("/")
    if path.split("/")[:2] != ["", "Workspace"]:  # Databricks replies with paths relative to it
        path = f"/Workspace{path}"
    size = 0 if kind == "folder" else size_from(raw.get("size"))
    return Entry(path, kind, size, int(raw.get("modified_at") or 0))
