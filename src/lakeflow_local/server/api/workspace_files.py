"""Workspace files: `/api/2.0/workspace/` and `/api/2.0/workspace-files/`.

Only plain files and folders; notebooks are refused. The prefix `/Workspace` of paths is optional.
Source: docs.databricks.com/api/workspace/workspace.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse

from lakeflow_local.behaviors import LARGE_IMPORTS, SMALL_EXPORTS
from lakeflow_local.server.api.authorization import (
    below_workspace,
    import_file_permission,
    make_folders_permission,
    on_folder,
)
from lakeflow_local.server.api.errors import ApiError, invalid, missing, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.files import children
from lakeflow_local.storage.names import shown

MAX_IMPORT_BYTES = 10 * 1024 * 1024
MAX_FILE_BYTES = 500 * 1024 * 1024
NOTEBOOK_MARK = b"Databricks notebook source"


def import_file(request: ApiRequest) -> ApiResponse:
    """Serve `workspace/import`: base64 in JSON, or bytes in a multipart form."""
    if request.text("format", "SOURCE") not in ("AUTO", "RAW"):
        raise not_served("notebooks yet: import files with format AUTO")
    content = request.parameters.get("content", b"")
    if isinstance(content, str):
        try:
            content = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("content must be base64.") from None
    if not isinstance(content, bytes):
        raise missing("content")
    if len(content) > MAX_IMPORT_BYTES and LARGE_IMPORTS not in request.workspace.behaviors:
        raise _too_large(len(content))
    if request.text("format") == "AUTO" and NOTEBOOK_MARK in content[:60]:
        raise not_served("notebooks yet: format RAW imports this as a file")
    draft = request.workspace.mount.draft()
    try:
        draft.write_bytes(content)
        _place(request, request.text("path"), draft)
    finally:
        draft.unlink(missing_ok=True)
    return {}


def import_raw(request: ApiRequest) -> ApiResponse:
    """Serve `workspace-files/import-file/{path}`, whose body is the file."""
    assert request.content is not None
    if LARGE_IMPORTS in request.workspace.behaviors:
        raise not_served("workspace-files, as newer workspaces do not")
    _place(request, f"/{request.path.lstrip('/')}", request.content)
    return {}


def export(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    target = _existing(request, path)
    if target.is_dir():
        raise not_served("the export of folders yet")
    size, is_direct = target.stat().st_size, request.flag("direct_download")
    may_be_large = is_direct and SMALL_EXPORTS not in request.workspace.behaviors
    if size > MAX_IMPORT_BYTES and not may_be_large:
        raise _too_large(size)
    if is_direct:
        return FileResponse(target, media_type="application/octet-stream")
    content = base64.b64encode(target.read_bytes()).decode()
    return {"content": content, "file_type": target.suffix.lstrip(".")}


def get_status(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    return _view(path, _existing(request, path))


def list_folder(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    target = _existing(request, path)
    if not target.is_dir():
        return {"objects": [_view(path, target)]}
    below = f"{below_workspace(path).rstrip('/')}/"
    found = [
        _view(shown(f"{path.rstrip('/')}/{entry.name}"), Path(entry.path))
        for entry in children(target)
        if request.workspace.permissions.on_folder(request.principal, below + shown(entry.name))
    ]
    return {"objects": found} if found else {}


def make_folders(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    try:
        request.workspace.mount.make_folder(_real(request, path))
    except (FileExistsError, NotADirectoryError):
        raise ApiError(
            400, "RESOURCE_ALREADY_EXISTS", f"A file is in the way of the folder {path}."
        ) from None
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    target = _existing(request, path)
    if target == _real(request, "/"):
        raise invalid("The root folder cannot be deleted.")
    if target.is_dir() and not request.flag("recursive") and any(os.scandir(target)):
        raise ApiError(
            400,
            "DIRECTORY_NOT_EMPTY",
            f"Folder ({path}) is not empty",
        )
    request.workspace.mount.remove(target)
    return {}


def _too_large(size: int) -> ApiError:
    """Return the error that imports and exports share (databricks/cli issue 3691)."""
    text = f"File size imported is ({size} bytes), exceeded max size ({MAX_IMPORT_BYTES} bytes)"
    return ApiError(400, "BAD_REQUEST", text)


def _real(request: ApiRequest, path: str) -> Path:
    if not path.startswith("/"):
        raise invalid(f"Path ({path}) doesn't start with '/'")
    below = path.removeprefix("/Workspace") if path.startswith("/Workspace/") else path
    return request.workspace.mount.real(f"/Workspace{'' if below == '/Workspace' else below}")


def _existing(request: ApiRequest, path: str) -> Path:
    target = _real(request, path)
    if not target.exists():
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")
    return target


def _place(request: ApiRequest, path: str, draft: Path) -> None:
    target = _real(request, path)
    request.workspace.mount.check_new(target)
    if not target.parent.is_dir():
        parent = os.path.dirname(path.rstrip("/"))
        raise ApiError(
            404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({parent}) does not exist."
        )
    if target.is_dir() or (target.exists() and not request.flag("overwrite")):
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Path ({path}) already exists.")
    request.workspace.mount.place(draft, target)


def _view(path: str, target: Path) -> dict[str, Any]:
    """Describe a file or folder. Databricks tells no size (databricks/cli issues 1868 and 3691)."""
    stat = target.stat()
    folder = target.is_dir()
    view: dict[str, Any] = {
        "path": path,
        "object_type": "DIRECTORY" if folder else "FILE",
        "object_id": stat.st_ino,
        "resource_id": str(stat.st_ino),
    }
    if not folder:
        view["created_at"] = stat.st_ctime_ns // 1_000_000
        view["modified_at"] = stat.st_mtime_ns // 1_000_000
    return view


ROUTES = (
    Route(
        "POST",
        "/api/2.0/workspace/import",
        import_file,
        import_file_permission,
        body="form",
        limit=MAX_FILE_BYTES + 1024 * 1024,
    ),
    Route(
        "POST",
        "/api/2.0/workspace-files/import-file/{path}",
        import_raw,
        import_file_permission,
        body="file",
        limit=MAX_FILE_BYTES,
    ),
    Route("GET", "/api/2.0/workspace/export", export, on_folder("CAN_READ")),
    Route("GET", "/api/2.0/workspace/get-status", get_status, on_folder("CAN_READ")),
    Route("GET", "/api/2.0/workspace/list", list_folder, on_folder("CAN_READ")),
    Route("POST", "/api/2.0/workspace/mkdirs", make_folders, make_folders_permission),
    Route("POST", "/api/2.0/workspace/delete", delete, on_folder("CAN_MANAGE")),
)
