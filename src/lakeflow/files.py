"""Files of the workspace: volumes through the Files API, workspace files through the Workspace API.

Both are absolute paths, `/Volumes/<catalog>/<schema>/<volume>/...` and `/Workspace/...`.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.workspace import ApiError, Workspace

WORKSPACE_FILE_LIMIT = 10 * 1024 * 1024
"""Bytes that one workspace/import takes (Workspace API reference, MAX_NOTEBOOK_SIZE_EXCEEDED)."""

VOLUME_FILE_LIMIT = 5 * 1024**3
"""Bytes that one PUT takes (Files API reference)."""


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


def check_size(path: str, size: int) -> None:
    """Refuse a file of `size` bytes that cannot be stored at `path` in one request."""
    if _on_volume(path):
        if size > VOLUME_FILE_LIMIT:
            raise Refused(f"{path} has {size:,} bytes; a file on a volume may have at most 5 GiB")
    elif size > WORKSPACE_FILE_LIMIT:
        raise Refused(
            f"{posixpath.basename(path)} has {size:,} bytes, and workspace files are limited to "
            "10 MB. Set LAKEFLOW_ROOT to a folder of a volume, such as "
            "/Volumes/main/default/lakeflow, which takes up to 5 GiB."
        )


def size_of(workspace: Workspace, path: str) -> int | None:
    """The size of a file in bytes; None where there is none."""
    try:
        if _on_volume(path):
            return workspace.size_of_file(path)
        status = workspace.get("/api/2.0/workspace/get-status", path=path)
        return int(status.get("size") or 0)
    except ApiError as error:
        if error.missing:
            return None
        raise


def read(workspace: Workspace, path: str) -> bytes | None:
    """The bytes of a file; None where there is none."""
    try:
        if _on_volume(path):
            return workspace.read_file(path)
        return workspace.export_file(path)
    except ApiError as error:
        if error.missing:
            return None
        raise


def write(workspace: Workspace, path: str, source: Path, *, replace: bool) -> int:
    """Store a file whose path says what it holds; returns the bytes that were sent.

    `replace` is for a broken upload; without it a file that appeared meanwhile holds the same
    bytes and is left alone. The size is looked at afterwards: raises LakeflowError where it
    differs.
    """
    size = source.stat().st_size
    _put(workspace, path, source, overwrite=replace)
    arrived = size_of(workspace, path)
    if arrived != size:
        raise LakeflowError(
            f"{path} has {arrived} bytes after {size} were uploaded. Run the command again; if it "
            "happens again, remove that file."
        )
    return size


def _put(workspace: Workspace, path: str, source: Path, *, overwrite: bool) -> None:
    folder = posixpath.dirname(path)
    with source.open("rb") as content:
        try:
            if _on_volume(path):
                workspace.make_directory(folder)
                workspace.put_file(path, content, overwrite=overwrite)
            else:
                workspace.post("/api/2.0/workspace/mkdirs", {"path": folder}, repeatable=True)
                workspace.import_file(path, content, overwrite=overwrite)
        except ApiError as error:
            if not error.exists:  # somebody else stored the same bytes first, or a reply was lost
                raise


def _on_volume(path: str) -> bool:
    return path.startswith("/Volumes/")
