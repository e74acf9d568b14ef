"""The folder of a run in the store, and atomic writes to it."""

from __future__ import annotations

import os

_MOUNTS = ("/Workspace/", "/Volumes/", "/dbfs/")


def run_folder(root: str, job_run: str, task_run: str) -> str:
    """Return `<root>/runs/<job run>/<task run>` as a path for this process.

    Where Databricks' mounts are missing, `LAKEFLOW_MOUNT` names a folder that stands in for `/`.
    """
    mount = os.environ.get("LAKEFLOW_MOUNT")
    if mount and root.startswith(_MOUNTS):
        root = mount + root
    return os.path.join(os.path.abspath(root), "runs", job_run, task_run)


def write_atomically(folder: str, name: str, data: bytes) -> None:
    """Write `<folder>/<name>` so that no reader finds a partial file. Raises OSError.

    Volumes and workspace files show a file when it is closed and rename by copying, so the file is
    written directly. A plain folder shows a file while it grows, so there it is renamed in the end.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    written = path if path.startswith(_MOUNTS) else os.path.join(folder, f".{name}.part")
    with open(written, "wb") as file:
        file.write(data)
    if written != path:
        os.replace(written, path)
