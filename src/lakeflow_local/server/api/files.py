"""Files and directories on volumes: `/api/2.0/fs/{files,directories}/Volumes/...`.

Source: docs.databricks.com/api/workspace/files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse, Response

from lakeflow_local.server.api.authorization import on_volume_file
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.files import children
from lakeflow_local.storage.names import shown

MAX_FILE_BYTES = 5 * 1024**3


def find(request: ApiRequest, path: str | None = None) -> Path:
    """Return the path on disk. Raises the error of a volume that does not exist."""
    path = request.path if path is None else path
    names = [name for name in path.split("/") if name]
    if len(names) < 4 or names[0] != "Volumes":
        raise invalid(f"Invalid path {path}: it must begin with /Volumes/catalog/schema/volume.")
    volume = ".".join(names[1:4])
    if request.workspace.storage.volumes.get(volume) is None:
        raise ApiError(404, "NOT_FOUND", f"Volume '{volume}' does not exist.")
    return request.workspace.mount.real(path)


def no_file(path: str) -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        f"The file being accessed is not found: {path}",
        reason="FILES_API_FILE_NOT_FOUND",
    )


def _no_directory(request: ApiRequest) -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        f"The directory being accessed is not found: {request.path}",
        reason="FILES_API_DIRECTORY_IS_NOT_FOUND",
    )


def upload(request: ApiRequest) -> ApiResponse:
    """Write a file and create its parent folders, as an object store does."""
    assert request.content is not None
    if request.parameters.get("upload_type"):
        raise not_served("parts of an upload at the address of the file")
    place(request, request.content, find(request), overwrite=request.flag("overwrite"))
    return Response(status_code=204)


def place(request: ApiRequest, draft: Path, target: Path, *, overwrite: bool) -> None:
    """Move a complete temporary file to its target. Raises a 409 if that is occupied."""
    check_target(request, target, overwrite=overwrite)
    _make_folder(request, target.parent)
    request.workspace.mount.place(draft, target)


def check_target(request: ApiRequest, target: Path, *, overwrite: bool | None = None) -> None:
    """Raise a 400 or 409 if a file can't be written. `overwrite` is the request's by default."""
    request.workspace.mount.check_new(target)
    overwrite = request.flag("overwrite") if overwrite is None else overwrite
    if target.is_dir():
        raise ApiError(409, "ALREADY_EXISTS", f"A directory exists at {request.path}.")
    if target.exists() and not overwrite:
        raise ApiError(
            409,
            "ALREADY_EXISTS",
            f"The file being created already exists: {request.path}",
            reason="FILES_API_FILE_ALREADY_EXISTS",
        )


def download(request: ApiRequest) -> ApiResponse:
    """Send a file or a `Range` of it, unless it was modified since `If-Unmodified-Since`."""
    target = find(request)
    if not target.is_file():
        raise no_file(request.path)
    with suppress(ValueError, TypeError):  # an invalid date is ignored: RFC 9110
        limit = parsedate_to_datetime(request.headers.get("if-unmodified-since", ""))
        if int(target.stat().st_mtime) > limit.timestamp():
            raise ApiError(412, "PRECONDITION_FAILED", f"The file has changed: {request.path}")
    return FileResponse(target, media_type="application/octet-stream")


def head_file(request: ApiRequest) -> ApiResponse:
    target = find(request)
    if not target.is_file():
        raise no_file(request.path)
    stat = target.stat()
    return Response(
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(stat.st_size),
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        },
    )


def delete_file(request: ApiRequest) -> ApiResponse:
    target = find(request)
    if not target.is_file():
        raise no_file(request.path)
    request.workspace.mount.remove(target)
    return Response(status_code=204)


def make_directory(request: ApiRequest) -> ApiResponse:
    _make_folder(request, find(request))
    return Response(status_code=204)


def head_directory(request: ApiRequest) -> ApiResponse:
    if not find(request).is_dir():
        raise _no_directory(request)
    return Response(status_code=200)


def delete_directory(request: ApiRequest) -> ApiResponse:
    target = find(request)
    if not target.is_dir():
        raise _no_directory(request)
    if len([name for name in request.path.split("/") if name]) == 4:
        raise invalid("A volume is deleted through its own API.")
    if any(os.scandir(target)):
        raise ApiError(
            400,
            "INVALID_PARAMETER_VALUE",
            f"The directory being deleted is not empty: {request.path}",
            reason="FILES_API_DIRECTORY_IS_NOT_EMPTY",
        )
    request.workspace.mount.remove(target)
    return Response(status_code=204)


def list_directory(request: ApiRequest) -> ApiResponse:
    """List by name; `page_token` is the last name of the previous page."""
    target = find(request)
    if not target.is_dir():
        raise _no_directory(request)
    size, after = request.number("page_size", 1000) or 1000, request.text("page_token", "")
    if not 0 < size <= 1000:
        raise invalid(f"page_size must be between 1 and 1000, not {size}.")
    entries = [entry for entry in children(target) if shown(entry.name) > after]
    contents: list[dict[str, Any]] = []
    for entry in entries[:size]:
        stat = entry.stat()
        item: dict[str, Any] = {
            "name": shown(entry.name),
            "path": shown(f"{request.path.rstrip('/')}/{entry.name}"),
            "is_directory": entry.is_dir(),
            "last_modified": stat.st_mtime_ns // 1_000_000,
        }
        contents.append(item if entry.is_dir() else item | {"file_size": stat.st_size})
    more = len(entries) > size
    return {"contents": contents} | (
        {"next_page_token": shown(entries[size - 1].name)} if more else {}
    )


def _make_folder(request: ApiRequest, folder: Path) -> None:
    try:
        request.workspace.mount.make_folder(folder)
    except (FileExistsError, NotADirectoryError):
        raise ApiError(409, "ALREADY_EXISTS", f"A file is in the way of {request.path}.") from None


FILES, DIRECTORIES = "/api/2.0/fs/files{path}", "/api/2.0/fs/directories{path}"
ROUTES = (
    Route("PUT", FILES, upload, on_volume_file("WRITE_VOLUME"), body="file", limit=MAX_FILE_BYTES),
    Route("GET", FILES, download, on_volume_file("READ_VOLUME")),
    Route("HEAD", FILES, head_file, on_volume_file("READ_VOLUME")),
    Route("DELETE", FILES, delete_file, on_volume_file("WRITE_VOLUME")),
    Route("PUT", DIRECTORIES, make_directory, on_volume_file("WRITE_VOLUME")),
    Route("GET", DIRECTORIES, list_directory, on_volume_file("READ_VOLUME")),
    Route("HEAD", DIRECTORIES, head_directory, on_volume_file("READ_VOLUME")),
    Route("DELETE", DIRECTORIES, delete_directory, on_volume_file("WRITE_VOLUME")),
)
