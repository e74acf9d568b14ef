"""The artifact store: stamped wheels, each at a path that says what it holds, never overwritten."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.resources import files
from lakeflow.wheels.archive import have_same_content
from lakeflow.wheels.stamping import StampedWheel

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

    A wheel whose path is taken by one of another size is fetched and compared: one that holds the
    same files, compressed differently, is there; what is broken is not.

    Raises Refused for a wheel that is not there and too large to be sent.
    """

    def one(stamped: StampedWheel) -> Artifact:
        path = path_of(root, stamped)
        artifact = Artifact(stamped, path, files.size_of(workspace, path))
        if artifact.size_there and not artifact.is_there and _holds_the_same(workspace, artifact):
            return replace(artifact, size_there=stamped.wheel.size)
        if not artifact.is_there:
            files.check_size(path, stamped.wheel.size)
        return artifact

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(one, wheels))


def upload(
    workspace: Workspace, artifacts: Sequence[Artifact], told: files.Told = files.ignore
) -> tuple[int, ...]:
    """Send what the store lacks; returns the bytes that were sent for each of `artifacts`.

    `told` is called with the number of bytes of all of them that are sent so far. What has arrived
    is read back: raises LakeflowError where it is not what was sent, and removes it.
    """
    progress, lock = dict.fromkeys(range(len(artifacts)), 0), threading.Lock()

    def one(index: int) -> int:
        artifact = artifacts[index]
        if artifact.is_there:
            return 0

        def tell(done: int) -> None:
            with lock:
                progress[index] = done
                told(sum(progress.values()))

        _sign(workspace, artifact)
        broken, source = artifact.size_there is not None, artifact.stamped.wheel.path
        sent = files.write(workspace, artifact.path, source, replace=broken, told=tell)
        _check_content(workspace, artifact)
        return sent

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(one, range(len(artifacts))))


def _check_content(workspace: Workspace, artifact: Artifact) -> None:
    arrived = _Digest()
    files.fetch(workspace, artifact.path, cast("BinaryIO", arrived))
    is_same = arrived.sha256.hexdigest() == artifact.stamped.wheel.sha256
    if not is_same and not _holds_the_same(workspace, artifact):
        files.remove(workspace, files.Entry(artifact.path, "file"))
        raise LakeflowError(
            f"{artifact.path} did not arrive as it was sent: its SHA-256 is another. It was "
            "removed. Run the command again; if it happens again, look at the proxy that is "
            "between this machine and the workspace."
        )


def _holds_the_same(workspace: Workspace, artifact: Artifact) -> bool:
    """Whether what is at an artifact's path holds the same files, however it is compressed."""
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        found = Path(folder, artifact.stamped.wheel.path.name)
        with found.open("w+b") as target:
            files.fetch(workspace, artifact.path, target)
        return have_same_content(artifact.stamped.wheel.path, found)


class _Digest(io.RawIOBase):
    """Takes what is written into a digest and keeps none of it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: Any, /) -> int:
        self.sha256.update(data)
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._size

    def tell(self) -> int:
        return self._size

    def truncate(self, size: int | None = None, /) -> int:
        self.sha256, self._size = hashlib.sha256(), 0
        return 0


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
