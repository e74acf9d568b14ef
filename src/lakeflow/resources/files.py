"""Files of the workspace, in its three stores, each with an API of its own.

`/Volumes/<catalog>/<schema>/<volume>/...` (Files API), `/Workspace/...` (Workspace API) and
`dbfs:/...` (DBFS API). Paths are absolute and name their store by how they begin.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import posixpath
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from lakeflow.client.workspace import ApiError, ReplyLost, Workspace
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.resources import multipart_upload

WORKSPACE_FILE_LIMIT = 10 * 1024 * 1024
"""Bytes that one workspace/import takes (Workspace API reference, MAX_NOTEBOOK_SIZE_EXCEEDED)."""

LARGE_WORKSPACE_FILE_LIMIT = 500 * 1024 * 1024
"""Bytes that a workspace file may have (docs: files/workspace)."""

VOLUME_FILE_LIMIT = 5 * 1024**3
"""Bytes that one PUT takes (Files API reference)."""

DBFS_BLOCK = 1024 * 1024
"""Bytes that one request of the DBFS API reads or writes (DBFS API reference)."""

Told = Callable[[int], None]
"""Called with the number of bytes that are done so far."""


@dataclass(frozen=True)
class Entry:
    """A file or a folder. `kind` is `file`, `folder`, or what else a workspace holds (`notebook`).

    `size` is in bytes, 0 for a folder; `modified` in Unix milliseconds, 0 where nobody knows.
    """

    path: str
    kind: str
    size: int = 0
    modified: int = 0

    @property
    def name(self) -> str:
        """The last part of its path."""
        return posixpath.basename(self.path)


def ignore(done: int) -> None:
    """Tell nobody about progress."""


def check_root(root: str) -> str:
    """The folder that artifacts and runs go to, without a trailing slash.

    Raises UsageError where LAKEFLOW_ROOT is neither a volume nor a workspace folder.
    """
    root = root.rstrip("/")
    parts = root.split("/")[1:]
    plain = root.startswith("/") and all(part not in ("", ".", "..") for part in parts)
    if plain and (
        (parts[0] == "Volumes" and len(parts) >= 4) or (parts[0] == "Workspace" and len(parts) >= 2)
    ):
        return root
    raise UsageError(
        f"LAKEFLOW_ROOT is {root!r}; it has to be a folder of a volume, such as "
        "/Volumes/main/default/lakeflow, or one under /Workspace"
    )


def is_remote(path: str) -> bool:
    """Whether a path is one of the workspace's, not one of this machine."""
    return path.startswith("dbfs:/") or path.split("/")[:2] in (["", "Volumes"], ["", "Workspace"])


def normal(path: str) -> str:
    """A path of the workspace in its one form: without `//` and a slash at the end.

    `dbfs:/Volumes/...` is the same as `/Volumes/...`. Raises UsageError for what is no such path.
    """
    if path.startswith(("dbfs:/Volumes/", "dbfs:/Workspace/")):
        path = path.removeprefix("dbfs:")
    if not is_remote(path):
        raise UsageError(
            f"{path!r} is no path of the workspace: these begin with dbfs:/, /Volumes/ or "
            "/Workspace/"
        )
    store, slash, rest = path.partition("/")
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") for part in parts) or "\0" in path:
        raise UsageError(f"{path!r} has to name its folders, without '.' and '..'")
    if parts[:1] == ["Volumes"] and not store and len(parts) < 4:
        raise UsageError(f"{path!r} names no volume: /Volumes/<catalog>/<schema>/<volume>/...")
    return store + slash + "/".join(parts)


def check_size(path: str, size: int) -> None:
    """Refuse a file of `size` bytes that cannot be stored at `path`."""
    name = posixpath.basename(path)
    if _on_volume(path):
        if size > VOLUME_FILE_LIMIT:
            raise Refused(f"{name} has {size:,} bytes; a file on a volume may have at most 5 GiB")
    elif not _on_dbfs(path) and size > LARGE_WORKSPACE_FILE_LIMIT:
        raise Refused(
            f"{name} has {size:,} bytes, and workspace files are limited to 500 MB. Take a folder "
            "of a volume, such as /Volumes/main/default/lakeflow, where a file may have 5 GiB (for "
            "wheels set LAKEFLOW_ROOT to it)."
        )


def size_of(workspace: Workspace, path: str) -> int | None:
    """The size of a file in bytes; None where there is none."""
    try:
        if _on_volume(path):
            return workspace.size_of_file(path)
        if _on_dbfs(path):
            return int(_dbfs(workspace, "get-status", path)["file_size"])
        status = workspace.get("/api/2.0/workspace/get-status", path=path)
        return int(status.get("size") or 0)
    except ApiError as error:
        if error.missing:
            return None
        raise


def look(workspace: Workspace, path: str) -> Entry | None:
    """What is at a path; None where there is nothing."""
    try:
        if _on_dbfs(path):
            return _dbfs_entry(_dbfs(workspace, "get-status", path))
        if not _on_volume(path):
            return _workspace_entry(workspace.get("/api/2.0/workspace/get-status", path=path))
        return _volume_file(workspace, path) or _volume_folder(workspace, path)
    except ApiError as error:
        if error.missing:
            return None
        raise


def children(workspace: Workspace, path: str) -> list[Entry]:
    """What is in a folder, by name. Raises ApiError where there is no folder."""
    if _on_volume(path):
        items = workspace.pages(_url("directories", path), "contents")
        found = [_volume_entry(item) for item in items]
    elif _on_dbfs(path):
        found = [_dbfs_entry(item) for item in _dbfs(workspace, "list", path).get("files", [])]
    else:
        reply = workspace.get("/api/2.0/workspace/list", path=path)
        found = [_workspace_entry(item) for item in reply.get("objects", [])]
    for entry in found:
        if posixpath.dirname(entry.path) != path.rstrip("/"):
            raise LakeflowError(f"the workspace lists {entry.path!r} as a part of {path}")
    return sorted(found, key=lambda entry: entry.path)


def walk(workspace: Workspace, path: str) -> Iterator[Entry]:
    """All that is below a folder, each folder before what is in it."""
    for entry in children(workspace, path):
        yield entry
        if entry.kind == "folder":
            yield from walk(workspace, entry.path)


def read(workspace: Workspace, path: str) -> bytes | None:
    """The bytes of a file; None where there is none."""
    try:
        if _on_volume(path):
            return workspace.read_file(path)
        if _on_dbfs(path):
            with io.BytesIO() as held:
                _read_dbfs(workspace, path, held, ignore)
                return held.getvalue()
        return workspace.export_file(path)
    except ApiError as error:
        if error.missing:
            return None
        raise


def fetch(workspace: Workspace, path: str, target: BinaryIO, told: Told = ignore) -> None:
    """Append to `target` what it does not have of a file yet."""
    if _on_volume(path):
        workspace.append_to(target, _url("files", path), {}, told)
    elif _on_dbfs(path):
        _read_dbfs(workspace, path, target, told)
    else:
        query = {"path": path, "direct_download": "true"}
        workspace.append_to(target, "/api/2.0/workspace/export", query, told)


def pass_on(workspace: Workspace, path: str, target: BinaryIO) -> None:
    """Write a file to a stream that only goes forward, holding a piece of it at a time.

    Raises LakeflowError where a connection breaks and the workspace cannot go on after it.
    """
    fetch(workspace, path, cast("BinaryIO", _Forward(target)))


def make_folder(workspace: Workspace, path: str) -> None:
    """Make a folder and those above it, where they are missing."""
    if _on_volume(path):
        workspace.make_directory(path)
    elif _on_dbfs(path):
        workspace.post("/api/2.0/dbfs/mkdirs", {"path": _plain(path)}, repeatable=True)
    else:
        workspace.post("/api/2.0/workspace/mkdirs", {"path": path}, repeatable=True)


def remove(workspace: Workspace, entry: Entry) -> None:
    """Remove a file, or a folder with all that is in it. What is gone already is no error."""
    try:
        if not _on_volume(entry.path):
            area = "dbfs" if _on_dbfs(entry.path) else "workspace"
            body = {"path": _plain(entry.path), "recursive": entry.kind == "folder"}
            workspace.post(f"/api/2.0/{area}/delete", body, repeatable=True)
        elif entry.kind == "folder":
            for below in children(workspace, entry.path):  # the Files API removes empty ones only
                remove(workspace, below)
            workspace.delete(_url("directories", entry.path))
        else:
            workspace.delete(_url("files", entry.path))
    except ApiError as error:
        if not error.missing:
            raise


def write(
    workspace: Workspace, path: str, source: Path, *, replace: bool, told: Told = ignore
) -> int:
    """Store a file whose path says what it holds; returns the bytes that were sent.

    `replace` is for a broken upload; without it a file that appeared meanwhile holds the same
    bytes and is left alone. The size is looked at afterwards: raises LakeflowError where it
    differs.
    """
    make_folder(workspace, posixpath.dirname(path))
    try:
        return store(workspace, path, source, replace=replace, told=told)
    except ApiError as error:
        if not error.exists:  # somebody else stored the same bytes first, or a reply was lost
            raise
    size = source.stat().st_size
    _check_arrived(workspace, path, size)
    return size


def store(
    workspace: Workspace, path: str, source: Path, *, replace: bool, told: Told = ignore
) -> int:
    """Store a file in a folder that is there; returns the bytes that were sent.

    Raises ApiError where there is a file and it is not to be replaced, and LakeflowError where
    another number of bytes has arrived.
    """
    with closing(_Counted(source, told)) as content:
        size = content.size
        if _on_volume(path):
            _write_volume(workspace, path, source, content, replace, told)
        elif _on_dbfs(path):
            _write_dbfs(workspace, path, content, replace)
        elif size > WORKSPACE_FILE_LIMIT:
            workspace.put_workspace_file(path, content, overwrite=replace)
        else:
            workspace.import_file(path, content, overwrite=replace)
    _check_arrived(workspace, path, size)
    return size


def _check_arrived(workspace: Workspace, path: str, size: int) -> None:
    arrived = size_of(workspace, path)
    if arrived != size:
        raise LakeflowError(
            f"{path} has {arrived} bytes after {size} were uploaded. Run the command again; if it "
            "happens again, remove that file."
        )


class _Counted(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, told: Told) -> None:
        super().__init__(io.FileIO(path))
        status = os.fstat(self.fileno())
        self.size = status.st_size
        self.identity = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._told(self.tell())
        return data


class _Forward:
    """A stream that only goes forward, as a file that is appended to."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._written = 0

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_END:
            raise LakeflowError(
                f"the connection broke after {self._written} bytes, and the workspace begins anew: "
                "copy the file with `lakeflow fs cp`, which can"
            )
        return self._written

    def tell(self) -> int:
        return self._written

    def write(self, data: bytes) -> int:
        self._target.write(data)
        self._written += len(data)
        return len(data)


def _read_dbfs(workspace: Workspace, path: str, target: BinaryIO, told: Told) -> None:
    start = target.seek(0, os.SEEK_END)
    while True:
        block = _dbfs(workspace, "read", path, offset=start, length=DBFS_BLOCK)
        if not block["bytes_read"]:
            return
        start += target.write(base64.b64decode(block["data"]))
        told(start)


def _write_volume(
    workspace: Workspace, path: str, source: Path, content: _Counted, replace: bool, told: Told
) -> None:
    if content.size >= multipart_upload.FROM_BYTES:
        with suppress(multipart_upload.NotOffered):
            multipart_upload.send(workspace, path, source, replace=replace, told=told)
            return
    workspace.put_file(path, content, overwrite=replace)


def _write_dbfs(workspace: Workspace, path: str, content: _Counted, replace: bool) -> None:
    """Write a file in blocks under another name, since one that was lost must not show.

    The same copy typed again writes under the same name, so that one that was killed leaves none.
    """
    if content.size <= DBFS_BLOCK:
        body = {"path": _plain(path), "contents": _text(content.read()), "overwrite": replace}
        workspace.post("/api/2.0/dbfs/put", body, repeatable=True)
        return
    folder, name = posixpath.split(_plain(path))
    identity = f"{path} {content.identity}"
    draft = f"{folder}/.{name}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}.part"
    try:
        _write_blocks(workspace, draft, content)
        if replace:
            workspace.post("/api/2.0/dbfs/delete", {"path": _plain(path)}, repeatable=True)
        body = {"source_path": draft, "destination_path": _plain(path)}
        workspace.post("/api/2.0/dbfs/move", body, repeatable=False)
    except ReplyLost:
        if size_of(workspace, path) != content.size:
            raise
    except BaseException:
        workspace.post("/api/2.0/dbfs/delete", {"path": draft}, repeatable=True)
        raise


def _write_blocks(workspace: Workspace, path: str, content: _Counted) -> None:
    for attempt in range(3):  # a block whose reply was lost may be there: begin again
        content.seek(0)
        body: dict[str, Any] = {"path": path, "overwrite": True}
        handle = workspace.post("/api/2.0/dbfs/create", body, repeatable=True)["handle"]
        try:
            while data := content.read(DBFS_BLOCK):
                block = {"handle": handle, "data": _text(data)}
                workspace.post("/api/2.0/dbfs/add-block", block, repeatable=False)
            workspace.post("/api/2.0/dbfs/close", {"handle": handle}, repeatable=False)
        except ReplyLost:
            if attempt == 2:
                raise
        else:
            return


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _dbfs(workspace: Workspace, call: str, path: str, **query: object) -> dict[str, Any]:
    return workspace.get(f"/api/2.0/dbfs/{call}", path=_plain(path), **query)


def _dbfs_entry(raw: Mapping[str, Any]) -> Entry:
    kind = "folder" if raw.get("is_dir") else "file"
    path, modified = f"dbfs:{raw['path']}", int(raw.get("modification_time") or 0)
    return Entry(path, kind, int(raw.get("file_size") or 0), modified)


def _workspace_entry(raw: Mapping[str, Any]) -> Entry:
    kinds = {"FILE": "file", "DIRECTORY": "folder", "REPO": "folder"}
    kind = kinds.get(raw["object_type"], str(raw["object_type"]).lower())
    path = str(raw["path"]).rstrip("/")
    if path.split("/")[:2] != ["", "Workspace"]:  # Databricks answers with paths below it
        path = f"/Workspace{path}"
    return Entry(path, kind, int(raw.get("size") or 0), int(raw.get("modified_at") or 0))


def _volume_entry(raw: Mapping[str, Any]) -> Entry:
    kind = "folder" if raw.get("is_directory") else "file"
    path = str(raw["path"]).rstrip("/")
    return Entry(path, kind, int(raw.get("file_size") or 0), int(raw.get("last_modified") or 0))


def _volume_file(workspace: Workspace, path: str) -> Entry | None:
    try:
        headers = workspace.head(_url("files", path), "content-length", "last-modified")
    except ApiError as error:
        if error.missing:
            return None
        raise
    when = headers.get("last-modified")
    modified = int(parsedate_to_datetime(when).timestamp() * 1000) if when else 0
    return Entry(path, "file", int(headers["content-length"]), modified)


def _volume_folder(workspace: Workspace, path: str) -> Entry:
    workspace.head(_url("directories", path))
    return Entry(path, "folder")


def _on_volume(path: str) -> bool:
    return path.startswith("/Volumes/")


def _on_dbfs(path: str) -> bool:
    return path.startswith("dbfs:/")


def _plain(path: str) -> str:
    return path.removeprefix("dbfs:")


def _url(area: str, path: str) -> str:
    return f"/api/2.0/fs/{area}{urllib.parse.quote(path)}"
