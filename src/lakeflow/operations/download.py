"""Download single files of the workspace, resuming interrupted downloads."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.resources import files
from lakeflow.resources.files import Entry, OnProgress


def download(
    workspace: Workspace,
    entry: Entry,
    target: Path,
    *,
    on_progress: OnProgress = files.ignore_progress,
) -> None:
    """Download a file to `target`, replacing it once the download is complete.

    Until then it grows beside it as a partial file, whose name depends on the source; a later
    download of the same source resumes it. Raises LakeflowError if the file cannot be written or
    another number of bytes arrives.
    """
    identity = f"{workspace.host} {entry.path} {entry.size} {entry.modified}"
    mark = hashlib.sha256(identity.encode()).hexdigest()[:12]
    part = target.with_name(f".{target.name}.{mark}.part")
    try:
        with part.open("ab+") as file:
            if entry.size is None:
                # Without the time of the last change a partial file may be of older content. The
                # last byte is requested again, since a range must not be empty.
                size = os.fstat(file.fileno()).st_size
                file.truncate(max(size - 1, 0) if entry.modified else 0)
            if os.fstat(file.fileno()).st_size != entry.size:
                files.download(workspace, entry.path, file, on_progress=on_progress)
            file.flush()
            size = os.fstat(file.fileno()).st_size
        if entry.size is not None and size != entry.size:
            part.unlink()
            raise LakeflowError(
                f"{size} bytes of {entry.path} have arrived, not {entry.size}\n"
                "hint: it may have changed during the download: run the command again"
            )
        part.replace(target)
    except OSError as error:
        raise LakeflowError(f"cannot write {target}: {error.strerror or error}") from error


def path_within(folder: Path, relative: str) -> Path:
    """Return the path of a file in `folder` whose name comes from the workspace.

    Raises LakeflowError for a name that leads out of the folder, through `..` or a link.
    """
    parts = relative.split("/")
    path = folder.joinpath(*parts)
    is_plain = all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    if not is_plain or not _is_below(path, folder) or path.is_symlink():
        raise LakeflowError(
            f"{relative!r} would be written outside of {folder}: nothing was copied"
        )
    return path


def _is_below(path: Path, folder: Path) -> bool:
    return path.parent.resolve().is_relative_to(folder.resolve())
