"""The artifact store: stamped wheels, each at a path that says what it holds, never overwritten."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lakeflow import files
from lakeflow.wheel import StampedWheel
from lakeflow.workspace import Workspace

SIGNATURE = "uploaded-by"
"""The file beside a wheel that holds the name of who uploaded it, where several people may."""

_AT_ONCE = 8
"""Requests side by side; the Files API allows ten (databricks/cli, files_client.go)."""


@dataclass(frozen=True)
class Artifact:
    """A stamped wheel and its place in the store; `size_there` is None where it is not yet."""

    stamped: StampedWheel
    path: str
    size_there: int | None

    @property
    def is_there(self) -> bool:
        """Whether the store has the whole of it."""
        return self.size_there == self.stamped.wheel.size


def path_of(root: str, stamped: StampedWheel) -> str:
    """Where a stamped wheel belongs: `<root>/artifacts/<distribution>/<version>/<wheel file>`."""
    wheel = stamped.wheel
    return f"{root}/artifacts/{wheel.name}/{wheel.version}/{wheel.path.name}"


def root_of(workspace: Workspace) -> str:
    """The folder that artifacts and runs go to: LAKEFLOW_ROOT, else one of the user's own.

    Raises UsageError where LAKEFLOW_ROOT is neither a volume nor a workspace folder.
    """
    own = f"/Workspace/Users/{workspace.me}/.lakeflow"
    return files.check_root(os.environ.get("LAKEFLOW_ROOT") or own)


def is_mine(workspace: Workspace, folder: str) -> bool:
    """Whether I uploaded what is in a folder of the store."""
    if folder.startswith(f"/Workspace/Users/{workspace.me}/"):
        return True
    return files.read(workspace, f"{folder}/{SIGNATURE}") == workspace.me.encode()


def look_up(
    workspace: Workspace, root: str, wheels: Sequence[StampedWheel]
) -> tuple[Artifact, ...]:
    """What the store has of `wheels`, in their order.

    Raises Refused for a wheel that is not there and too large to be sent.
    """

    def one(stamped: StampedWheel) -> Artifact:
        path = path_of(root, stamped)
        artifact = Artifact(stamped, path, files.size_of(workspace, path))
        if not artifact.is_there:
            files.check_size(path, stamped.wheel.size)
        return artifact

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(one, wheels))


def upload(workspace: Workspace, artifacts: Sequence[Artifact]) -> tuple[int, ...]:
    """Send what the store lacks; returns the bytes that were sent for each of `artifacts`."""

    def one(artifact: Artifact) -> int:
        if artifact.is_there:
            return 0
        _sign(workspace, artifact)
        broken = artifact.size_there is not None
        return files.write(workspace, artifact.path, artifact.stamped.wheel.path, replace=broken)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(one, artifacts))


def _sign(workspace: Workspace, artifact: Artifact) -> None:
    """Leave my name beside a wheel, for `lakeflow gc`. My own folder needs none."""
    if artifact.path.startswith(f"/Workspace/Users/{workspace.me}/"):
        return
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        signature = Path(folder, SIGNATURE)
        signature.write_bytes(workspace.me.encode())
        path = f"{posixpath.dirname(artifact.path)}/{SIGNATURE}"
        if files.size_of(workspace, path) is None:
            files.write(workspace, path, signature, replace=False)
