"""The folder of a run in the store, and files that are there whole or not at all."""

from __future__ import annotations

import os

_MOUNTS = ("/Workspace/", "/Volumes/", "/dbfs/")


def run_folder(root: str, job_run: str, task_run: str) -> str:
    """`<root>/runs/<job run>/<task run>` as this process sees it.

    `LAKEFLOW_MOUNT` names the folder under which the mounts of Databricks are found elsewhere.
    """
    mount = os.environ.get("LAKEFLOW_MOUNT")
    if mount and root.startswith(_MOUNTS):
        root = mount + root
    return os.path.join(os.path.abspath(root), "runs", job_run, task_run)


def write_whole(folder: str, name: str, data: bytes) -> None:
    """Write `<folder>/<name>` so that no reader finds a part of it. Raises OSError.

    Volumes and workspace files show a file when it is closed and rename by copying, so there it is
    written once. In a plain folder a file is seen while it grows, so there it is renamed at last.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    written = path if path.startswith(_MOUNTS) else os.path.join(folder, f".{name}.part")
    with open(written, "wb") as file:
        file.write(data)
    if written != path:
        os.replace(written, path)
