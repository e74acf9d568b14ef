"""DBFS: `/api/2.0/dbfs/`. Source: docs.databricks.com/api/workspace/dbfs.

A file sent in blocks appears when its handle is closed. Handles end with the server.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.errors import ApiError, invalid
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.files import children
from lakeflow_local.storage.names import shown

MAX_BLOCK_BYTES = 1024 * 1024


def create(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    target = _real(request, path)
    _check_free(request, path, target, request.flag("overwrite"))
    draft = request.workspace.mount.draft()
    draft.touch()
    return {"handle": request.workspace.storage.dbfs_handles.create(path, draft.name)}


def add_block(request: ApiRequest) -> ApiResponse:
    _, draft = _handle(request)
    block = _decode(request.text("data"))
    with open(draft, "ab") as file:
        file.write(block)
    return {}


def close(request: ApiRequest) -> ApiResponse:
    path, draft = _handle(request)
    target = _real(request, path)
    request.workspace.mount.make_folder(target.parent)
    request.workspace.mount.place(draft, target)
    request.workspace.storage.dbfs_handles.delete(request.number("handle"))
    return {}


def put(request: ApiRequest) -> ApiResponse:
    """Write a file: at most 1 MB as base64 in JSON, or any size as the file of a form.

    The form's file is named `contents` (curl, in the documentation) or `file` (databricks-cli).
    """
    path = request.text("path")
    target = _real(request, path)
    content = None if request.content is not None else _decode(request.text("contents", ""))
    _check_free(request, path, target, request.flag("overwrite"))
    request.workspace.mount.make_folder(target.parent)
    if request.content is not None:
        request.workspace.mount.place(request.content, target)
    elif content is not None:
        request.workspace.mount.place_bytes(content, target)
    return {}


def read(request: ApiRequest) -> ApiResponse:
    """Read at most 1 MB; nothing past the end, which is not an error."""
    target = _existing(request)
    offset, length = request.number("offset", 0), request.number("length", MAX_BLOCK_BYTES)
    if target.is_dir():
        raise invalid(f"{request.text('path')} is a directory.")
    if length > MAX_BLOCK_BYTES:
        raise ApiError(
            400, "MAX_READ_SIZE_EXCEEDED", f"At most {MAX_BLOCK_BYTES} bytes can be read at once."
        )
    if offset < 0 or length < 0:
        raise invalid("offset and length must not be negative.")
    with open(target, "rb") as file:
        file.seek(offset)
        data = file.read(length)
    return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}


def get_status(request: ApiRequest) -> ApiResponse:
    return _view(_absolute(request.text("path")), _existing(request))


def list_folder(request: ApiRequest) -> ApiResponse:
    path, target = _absolute(request.text("path")), _existing(request)
    if not target.is_dir():
        return {"files": [_view(path, target)]}
    found = [
        _view(shown(f"{path.rstrip('/')}/{entry.name}"), Path(entry.path))
        for entry in children(target)
    ]
    return {"files": found} if found else {}


def make_folders(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    try:
        request.workspace.mount.make_folder(_real(request, path))
    except (FileExistsError, NotADirectoryError):
        raise _exists(path) from None
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Delete a file or folder; a missing one is not an error."""
    target = _real(request, request.text("path"))
    if target == _real(request, "/"):
        raise invalid("The root folder cannot be deleted.")
    if not target.exists():
        return {}
    if target.is_dir() and not request.flag("recursive") and any(os.scandir(target)):
        raise ApiError(
            400,
            "IO_ERROR",
            "Directory is not empty. Use recursive delete or remove contents first.",
        )
    request.workspace.mount.remove(target)
    return {}


def move(request: ApiRequest) -> ApiResponse:
    source = _real(request, request.text("source_path"))
    path = request.text("destination_path")
    target = _real(request, path)
    if not source.exists():
        raise _missing(request.text("source_path"))
    _check_free(request, path, target, overwrite=False)
    if not target.parent.is_dir():
        raise _missing(os.path.dirname(path))
    if target.is_relative_to(source):
        raise invalid(f"{path} is below what is moved.")
    os.rename(source, target)
    return {}


def _absolute(path: str) -> str:
    return path.removeprefix("dbfs:")


def _real(request: ApiRequest, path: str) -> Path:
    absolute = _absolute(path)
    if not absolute.startswith("/"):
        raise invalid(f"Path must be absolute: {path}")
    return request.workspace.mount.real(f"/dbfs{absolute}")


def _existing(request: ApiRequest) -> Path:
    target = _real(request, request.text("path"))
    if not target.exists():
        raise _missing(request.text("path"))
    return target


def _check_free(request: ApiRequest, path: str, target: Path, overwrite: bool) -> None:
    request.workspace.mount.check_new(target)
    if target.is_dir() or (target.exists() and not overwrite):
        raise _exists(path)


def _handle(request: ApiRequest) -> tuple[str, Path]:
    handle = request.number("handle")
    found = request.workspace.storage.dbfs_handles.get(handle)
    if found is None:
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"No stream with the handle {handle}.")
    return found.path, request.workspace.mount.drafts / found.draft


def _decode(data: str) -> bytes:
    try:
        block = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise invalid("The data must be base64.") from None
    if len(block) > MAX_BLOCK_BYTES:
        raise ApiError(
            400, "MAX_BLOCK_SIZE_EXCEEDED", f"A block has at most {MAX_BLOCK_BYTES} bytes."
        )
    return block


def _missing(path: str) -> ApiError:
    message = f"No file or directory exists on path {path}."
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def _exists(path: str) -> ApiError:
    return ApiError(
        400,
        "RESOURCE_ALREADY_EXISTS",
        f"A file or directory already exists at the input path {path}.",
    )


def _view(path: str, target: Path) -> dict[str, Any]:
    stat = target.stat()
    return {
        "path": path,
        "is_dir": target.is_dir(),
        "file_size": 0 if target.is_dir() else stat.st_size,
        "modification_time": stat.st_mtime_ns // 1_000_000,
    }


ROUTES = (
    Route("POST", "/api/2.0/dbfs/create", create, anyone),
    Route("POST", "/api/2.0/dbfs/add-block", add_block, anyone),
    Route("POST", "/api/2.0/dbfs/close", close, anyone),
    Route("POST", "/api/2.0/dbfs/put", put, anyone, body="form-file"),
    Route("GET", "/api/2.0/dbfs/read", read, anyone),
    Route("GET", "/api/2.0/dbfs/get-status", get_status, anyone),
    Route("GET", "/api/2.0/dbfs/list", list_folder, anyone),
    Route("POST", "/api/2.0/dbfs/mkdirs", make_folders, anyone),
    Route("POST", "/api/2.0/dbfs/delete", delete, anyone),
    Route("POST", "/api/2.0/dbfs/move", move, anyone),
)
