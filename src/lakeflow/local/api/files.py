"""Files and directories on volumes: `/api/2.0/fs/{files,directories}/Volumes/...`.

Source: docs.databricks.com/api/workspace/files.
"""

from __future__ import annotations

import os
from email.utils import formatdate
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse, Response

from lakeflow.local.api.call import Answer, ApiError, Call, Route, invalid, not_served
from lakeflow.local.files import children

MAX_FILE_BYTES = 5 * 1024**3


def _find(call: Call) -> Path:
    """The real path below an existing volume, or the error of a missing one."""
    names = [name for name in call.path.split("/") if name]
    if len(names) < 4 or names[0] != "Volumes":
        raise invalid(
            f"Invalid path {call.path}: it must begin with /Volumes/catalog/schema/volume."
        )
    found = call.workspace.store.row(
        "SELECT 1 FROM volumes WHERE catalog = ? AND schema = ? AND name = ?", *names[1:4]
    )
    if found is None:
        volume = ".".join(names[1:4])
        raise ApiError(404, "NOT_FOUND", f"Volume '{volume}' does not exist.")
    return call.workspace.mount.real(call.path)


def _no_file(call: Call) -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        f"The file being accessed is not found: {call.path}",
        reason="FILES_API_FILE_NOT_FOUND",
    )


def _no_directory(call: Call) -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        f"The directory being accessed is not found: {call.path}",
        reason="FILES_API_DIRECTORY_IS_NOT_FOUND",
    )


def upload(call: Call) -> Answer:
    """Write a file, with the folders above it, as an object store does."""
    target = _find(call)
    assert call.content is not None
    if target.is_dir():
        raise ApiError(409, "ALREADY_EXISTS", f"A directory exists at {call.path}.")
    if target.exists() and not call.flag("overwrite"):
        raise ApiError(
            409,
            "ALREADY_EXISTS",
            f"The file being created already exists: {call.path}",
            reason="FILES_API_FILE_ALREADY_EXISTS",
        )
    _make_folder(call, target.parent)
    call.workspace.mount.place(call.content, target)
    return Response(status_code=204)


def download(call: Call) -> Answer:
    target = _find(call)
    if not target.is_file():
        raise _no_file(call)
    return FileResponse(target, media_type="application/octet-stream")


def head_file(call: Call) -> Answer:
    target = _find(call)
    if not target.is_file():
        raise _no_file(call)
    stat = target.stat()
    return Response(
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(stat.st_size),
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        },
    )


def delete_file(call: Call) -> Answer:
    target = _find(call)
    if not target.is_file():
        raise _no_file(call)
    call.workspace.mount.remove(target)
    return Response(status_code=204)


def make_directory(call: Call) -> Answer:
    _make_folder(call, _find(call))
    return Response(status_code=204)


def head_directory(call: Call) -> Answer:
    if not _find(call).is_dir():
        raise _no_directory(call)
    return Response(status_code=200)


def delete_directory(call: Call) -> Answer:
    target = _find(call)
    if not target.is_dir():
        raise _no_directory(call)
    if len([name for name in call.path.split("/") if name]) == 4:
        raise invalid("A volume is deleted through its own API.")
    if any(os.scandir(target)):
        raise ApiError(
            400,
            "INVALID_PARAMETER_VALUE",
            f"The directory being deleted is not empty: {call.path}",
            reason="FILES_API_DIRECTORY_IS_NOT_EMPTY",
        )
    call.workspace.mount.remove(target)
    return Response(status_code=204)


def list_directory(call: Call) -> Answer:
    """By name; `page_token` is the last name of the page before."""
    target = _find(call)
    if not target.is_dir():
        raise _no_directory(call)
    size, after = call.number("page_size", 1000) or 1000, call.text("page_token", "")
    if not 0 < size <= 1000:
        raise invalid(f"page_size must be between 1 and 1000, not {size}.")
    entries = [entry for entry in children(target) if entry.name > after]
    contents: list[dict[str, Any]] = []
    for entry in entries[:size]:
        stat = entry.stat()
        item: dict[str, Any] = {
            "name": entry.name,
            "path": f"{call.path.rstrip('/')}/{entry.name}",
            "is_directory": entry.is_dir(),
            "last_modified": stat.st_mtime_ns // 1_000_000,
        }
        contents.append(item if entry.is_dir() else item | {"file_size": stat.st_size})
    more = len(entries) > size
    return {"contents": contents} | ({"next_page_token": entries[size - 1].name} if more else {})


def begin_large_upload(call: Call) -> Answer:
    """Agree to take a file in parts, since clients have no way back from a refusal here."""
    _find(call)
    if call.text("action") != "initiate-upload":
        raise not_served(f"POST of files with the action '{call.text('action')}' yet")
    return {"multipart_upload": {"session_token": "none"}}


def refuse_parts(call: Call) -> Answer:
    """Refuse the parts' addresses: with this reason, clients send one PUT instead."""
    raise ApiError(
        403,
        "PERMISSION_DENIED",
        "The local workspace takes a file in one PUT.",
        reason="FILES_API_API_IS_NOT_ENABLED",
    )


def _make_folder(call: Call, folder: Path) -> None:
    try:
        call.workspace.mount.make_folder(folder)
    except (FileExistsError, NotADirectoryError):
        raise ApiError(409, "ALREADY_EXISTS", f"A file is in the way of {call.path}.") from None


FILES, DIRECTORIES = "/api/2.0/fs/files{path}", "/api/2.0/fs/directories{path}"
ROUTES = (
    Route("PUT", FILES, upload, body="file", limit=MAX_FILE_BYTES),
    Route("GET", FILES, download),
    Route("HEAD", FILES, head_file),
    Route("DELETE", FILES, delete_file),
    Route("POST", FILES, begin_large_upload),
    Route("POST", "/api/2.0/fs/create-upload-part-urls", refuse_parts),
    Route("PUT", DIRECTORIES, make_directory),
    Route("GET", DIRECTORIES, list_directory),
    Route("HEAD", DIRECTORIES, head_directory),
    Route("DELETE", DIRECTORIES, delete_directory),
)
