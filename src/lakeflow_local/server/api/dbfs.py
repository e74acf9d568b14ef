"""DBFS: `/api/2.0/dbfs/`. Source: docs.databricks.com/api/workspace/dbfs.

A file sent in blocks appears when it is closed. A handle does not outlive the server.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from lakeflow_local.server.api.call import Answer, ApiError, Call, Route, invalid
from lakeflow_local.storage.database import next_id
from lakeflow_local.storage.files import children

MAX_BLOCK_BYTES = 1024 * 1024


def create(call: Call) -> Answer:
    path = call.text("path")
    target = _real(call, path)
    _check_free(path, target, call.flag("overwrite"))
    draft = call.workspace.mount.draft()
    draft.touch()
    with call.workspace.store.transaction() as database:
        handle = next_id(database, "dbfs handles")
        database.execute("INSERT INTO dbfs_handles VALUES (?, ?, ?)", (handle, path, draft.name))
    return {"handle": handle}


def add_block(call: Call) -> Answer:
    _, draft = _handle(call)
    block = _decode(call.text("data"))
    with open(draft, "ab") as file:
        file.write(block)
    return {}


def close(call: Call) -> Answer:
    path, draft = _handle(call)
    target = _real(call, path)
    call.workspace.mount.make_folder(target.parent)
    call.workspace.mount.place(draft, target)
    with call.workspace.store.transaction() as database:
        database.execute("DELETE FROM dbfs_handles WHERE handle = ?", (call.number("handle"),))
    return {}


def put(call: Call) -> Answer:
    """A whole file: at most 1 MB in JSON with base64, or any size as the file of a form.

    Clients call the form's file `contents` (curl, in the documentation) or `file` (databricks-cli).
    """
    path = call.text("path")
    target = _real(call, path)
    content = None if call.content is not None else _decode(call.text("contents", ""))
    _check_free(path, target, call.flag("overwrite"))
    call.workspace.mount.make_folder(target.parent)
    if call.content is not None:
        call.workspace.mount.place(call.content, target)
    elif content is not None:
        call.workspace.mount.place_bytes(content, target)
    return {}


def read(call: Call) -> Answer:
    """At most 1 MB; past the end there is nothing, and that is no error."""
    target = _existing(call)
    offset, length = call.number("offset", 0), call.number("length", MAX_BLOCK_BYTES)
    if target.is_dir():
        raise invalid(f"{call.text('path')} is a directory.")
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


def get_status(call: Call) -> Answer:
    return _view(_absolute(call.text("path")), _existing(call))


def list_folder(call: Call) -> Answer:
    path, target = _absolute(call.text("path")), _existing(call)
    if not target.is_dir():
        return {"files": [_view(path, target)]}
    found = [
        _view(f"{path.rstrip('/')}/{entry.name}", Path(entry.path)) for entry in children(target)
    ]
    return {"files": found} if found else {}


def make_folders(call: Call) -> Answer:
    path = call.text("path")
    try:
        call.workspace.mount.make_folder(_real(call, path))
    except (FileExistsError, NotADirectoryError):
        raise _exists(path) from None
    return {}


def delete(call: Call) -> Answer:
    """What is missing is no error."""
    target = _real(call, call.text("path"))
    if target == _real(call, "/"):
        raise invalid("The root folder can not be deleted.")
    if not target.exists():
        return {}
    if target.is_dir() and not call.flag("recursive") and any(os.scandir(target)):
        raise ApiError(
            400,
            "IO_ERROR",
            "Directory is not empty. Use recursive delete or remove contents first.",
        )
    call.workspace.mount.remove(target)
    return {}


def move(call: Call) -> Answer:
    source = _real(call, call.text("source_path"))
    path = call.text("destination_path")
    target = _real(call, path)
    if not source.exists():
        raise _missing(call.text("source_path"))
    _check_free(path, target, overwrite=False)
    if not target.parent.is_dir():
        raise _missing(os.path.dirname(path))
    if target.is_relative_to(source):
        raise invalid(f"{path} is below what is moved.")
    os.rename(source, target)
    return {}


def _absolute(path: str) -> str:
    return path.removeprefix("dbfs:")


def _real(call: Call, path: str) -> Path:
    absolute = _absolute(path)
    if not absolute.startswith("/"):
        raise invalid(f"Path must be absolute: {path}")
    return call.workspace.mount.real(f"/dbfs{absolute}")


def _existing(call: Call) -> Path:
    target = _real(call, call.text("path"))
    if not target.exists():
        raise _missing(call.text("path"))
    return target


def _check_free(path: str, target: Path, overwrite: bool) -> None:
    if target.is_dir() or (target.exists() and not overwrite):
        raise _exists(path)


def _handle(call: Call) -> tuple[str, Path]:
    handle = call.number("handle")
    row = call.workspace.store.row("SELECT * FROM dbfs_handles WHERE handle = ?", handle)
    if row is None:
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"No stream with the handle {handle}.")
    return row["path"], call.workspace.mount.drafts / row["draft"]


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
    Route("POST", "/api/2.0/dbfs/create", create),
    Route("POST", "/api/2.0/dbfs/add-block", add_block),
    Route("POST", "/api/2.0/dbfs/close", close),
    Route("POST", "/api/2.0/dbfs/put", put, body="form-file"),
    Route("GET", "/api/2.0/dbfs/read", read),
    Route("GET", "/api/2.0/dbfs/get-status", get_status),
    Route("GET", "/api/2.0/dbfs/list", list_folder),
    Route("POST", "/api/2.0/dbfs/mkdirs", make_folders),
    Route("POST", "/api/2.0/dbfs/delete", delete),
    Route("POST", "/api/2.0/dbfs/move", move),
)
