"""Files on DBFS, through the DBFS API, which reads and writes in blocks."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import posixpath
from collections.abc import Mapping
from typing import Any, BinaryIO

from lakeflow.client.http_errors import ReplyLost
from lakeflow.client.workspace import Workspace
from lakeflow.resources.files.store import (
    Entry,
    KnownSize,
    OnProgress,
    SourceFile,
    UnknownSize,
    ignore_progress,
    size_from,
)

_API = "/api/2.0/dbfs"

BLOCK_BYTES = 1024 * 1024
"""The most that one request reads or writes (DBFS API reference)."""

_WRITE_ATTEMPTS = 3


class DbfsStore:
    """The files below `dbfs:/`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @staticmethod
    def check_size(path: str, size: int) -> None:
        """Accept any size: DBFS documents no limit."""

    def size_of(self, path: str) -> KnownSize | UnknownSize:
        size = size_from(self._get("get-status", path).get("file_size"))
        return UnknownSize() if size is None else KnownSize(size)

    def stat(self, path: str) -> Entry:
        return _entry(self._get("get-status", path))

    def list_folder(self, path: str) -> list[Entry]:
        return [_entry(item) for item in self._get("list", path).get("files", [])]

    def read(self, path: str) -> bytes:
        with io.BytesIO() as content:
            self.download(path, content, ignore_progress)
            return content.getvalue()

    def download(self, path: str, target: BinaryIO, on_progress: OnProgress) -> None:
        start = target.seek(0, os.SEEK_END)
        while True:
            block = self._get("read", path, offset=start, length=BLOCK_BYTES)
            if not int(block["bytes_read"]):
                return
            try:
                data = base64.b64decode(block["data"], validate=True)
            except ValueError:
                data = b""
            if not data:
                raise self._workspace.malformed(f"{_API}/read", "it has no data in base64")
            start += target.write(data)
            on_progress(start)

    def create_folder(self, path: str) -> None:
        self._post("mkdirs", {"path": _plain(path)})

    def remove(self, entry: Entry) -> None:
        self._post("delete", {"path": _plain(entry.path), "recursive": entry.kind == "folder"})

    def put(self, path: str, source: SourceFile, *, replace: bool) -> None:
        if source.size <= BLOCK_BYTES:
            contents = _encoded(source.read())
            body = {"path": _plain(path), "contents": contents, "overwrite": replace}
            self._post("put", body)
        else:
            self._put_blocks(path, source, replace)

    def _put_blocks(self, path: str, source: SourceFile, replace: bool) -> None:
        """Write blocks to a draft and move it, since a partial file must not be visible.

        The draft's name depends on the source, so the same upload overwrites what one that was
        killed left behind.
        """
        folder, name = posixpath.split(_plain(path))
        identity = f"{path} {source.identity}"
        draft = f"{folder}/.{name}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}.part"
        try:
            self._write_draft(draft, source)
            if replace:
                self._post("delete", {"path": _plain(path)})
            body = {"source_path": draft, "destination_path": _plain(path)}
            self._post("move", body, repeatable=False)
        except ReplyLost:
            if self.size_of(path) != KnownSize(source.size):
                raise
        except BaseException:
            self._post("delete", {"path": draft})
            raise

    def _write_draft(self, path: str, source: SourceFile) -> None:
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            source.seek(0)
            handle = self._post("create", {"path": path, "overwrite": True})["handle"]
            try:
                while data := source.read(BLOCK_BYTES):
                    block = {"handle": handle, "data": _encoded(data)}
                    self._post("add-block", block, repeatable=False)
                self._post("close", {"handle": handle}, repeatable=False)
            except ReplyLost:  # the block may have been written: start over
                if attempt == _WRITE_ATTEMPTS:
                    raise
            else:
                return

    def _get(self, call: str, path: str, **query: object) -> dict[str, Any]:
        return self._workspace.get(f"{_API}/{call}", path=_plain(path), **query)

    def _post(
        self, call: str, body: Mapping[str, Any], *, repeatable: bool = True
    ) -> dict[str, Any]:
        return self._workspace.post(f"{_API}/{call}", body, repeatable=repeatable)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _plain(path: str) -> str:
    return path.removeprefix("dbfs:")


def _entry(raw: Mapping[str, Any]) -> Entry:
    path, modified = f"dbfs:{raw['path']}", int(raw.get("modification_time") or 0)
    if raw.get("is_dir"):
        return Entry(path, "folder", modified=modified)
    return Entry(path, "file", size_from(raw.get("file_size")), modified)
