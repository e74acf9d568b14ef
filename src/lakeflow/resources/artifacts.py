"""The artifact store: stamped wheels at content-addressed paths, never overwritten."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tempfile
import threading
from collections.abc import Callable, Sequence
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
"""The file beside a wheel that names its uploader, where several users can upload."""

_PARALLEL_REQUESTS = 8
"""The Files API allows ten (databricks/cli, files_client.go)."""


@dataclass(frozen=True)
class Artifact:
    """A stamped wheel and its path in the store; `stored_size` is None if not stored."""

    stamped: StampedWheel
    path: str
    stored_size: int | None

    @property
    def is_stored(self) -> bool:
        """Whether the store has all of it."""
        return self.stored_size == self.stamped.wheel.size

    @property
    def title(self) -> str:
        """Distribution and stamped version."""
        return f"{self.stamped.wheel.distribution} {self.stamped.wheel.version}"


def path_of(root: str, stamped: StampedWheel) -> str:
    """Return a wheel's path: `<root>/artifacts/<distribution>/<version>/<wheel file>`."""
    wheel = stamped.wheel
    return f"{root}/artifacts/{wheel.name}/{wheel.version}/{wheel.path.name}"


def root_of(workspace: Workspace) -> str:
    """Return the folder of artifacts and runs: LAKEFLOW_ROOT, or by default the user's own.

    Raises UsageError unless LAKEFLOW_ROOT is on a volume or under /Workspace.
    """
    own = f"/Workspace/Users/{workspace.me}/.lakeflow"
    return files.check_root(os.environ.get("LAKEFLOW_ROOT") or own)


def is_mine(workspace: Workspace, folder: str) -> bool:
    """Return whether I uploaded what is in a folder of the store."""
    if folder.startswith(f"/Workspace/Users/{workspace.me}/"):
        return True
    return files.read(workspace, f"{folder}/{SIGNATURE}") == workspace.me.encode()


def look_up(
    workspace: Workspace, root: str, wheels: Sequence[StampedWheel]
) -> tuple[Artifact, ...]:
    """Return what the store has of `wheels`, in their order.

    A file of another size at a wheel's path is fetched and compared: with the same content,
    compressed differently, the wheel counts as stored; otherwise the file is a broken upload.

    Raises Refused for a missing wheel that is too large to upload.
    """

    def one(stamped: StampedWheel) -> Artifact:
        path = path_of(root, stamped)
        artifact = Artifact(stamped, path, files.size_of(workspace, path))
        if (
            artifact.stored_size
            and not artifact.is_stored
            and _has_same_content(workspace, artifact)
        ):
            return replace(artifact, stored_size=stamped.wheel.size)
        if not artifact.is_stored:
            files.check_size(path, stamped.wheel.size)
        return artifact

    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        return tuple(pool.map(one, wheels))


def upload(
    workspace: Workspace,
    artifacts: Sequence[Artifact],
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[int, ...]:
    """Upload the wheels that the store does not have; return the bytes sent for each of them.

    `on_progress` gets the bytes sent so far, of all wheels together. Each wheel is read back:
    raises LakeflowError, and removes it, if it is not what was sent.
    """
    progress, lock = dict.fromkeys(range(len(artifacts)), 0), threading.Lock()

    def one(index: int) -> int:
        artifact = artifacts[index]
        if artifact.is_stored:
            return 0

        def add(done: int) -> None:
            with lock:
                progress[index] = done
                on_progress(sum(progress.values()))

        _sign(workspace, artifact)
        broken, source = artifact.stored_size is not None, artifact.stamped.wheel.path
        sent = files.write(workspace, artifact.path, source, replace=broken, told=add)
        _check_content(workspace, artifact)
        return sent

    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        return tuple(pool.map(one, range(len(artifacts))))


def _check_content(workspace: Workspace, artifact: Artifact) -> None:
    arrived = _Digest()
    files.fetch(workspace, artifact.path, cast("BinaryIO", arrived))
    is_same = arrived.sha256.hexdigest() == artifact.stamped.wheel.sha256
    if not is_same and not _has_same_content(workspace, artifact):
        files.remove(workspace, files.Entry(artifact.path, "file"))
        raise LakeflowError(
            f"{artifact.path} was damaged on the way: its SHA-256 is not that of the wheel sent. "
            "The file was removed.\nhint: run the command again. If it happens again, check the "
            "proxy between this machine and the workspace."
        )


def _has_same_content(workspace: Workspace, artifact: Artifact) -> bool:
    """Return whether the file at an artifact's path has the same content as the wheel."""
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        found = Path(folder, artifact.stamped.wheel.path.name)
        with found.open("w+b") as target:
            files.fetch(workspace, artifact.path, target)
        return have_same_content(artifact.stamped.wheel.path, found)


class _Digest(io.RawIOBase):
    """Compute the digest of what is written, without keeping it."""

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
    """Write my user name beside a wheel, for `lakeflow gc`; my own folder does not need it."""
    if artifact.path.startswith(f"/Workspace/Users/{workspace.me}/"):
        return
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        signature = Path(folder, SIGNATURE)
        signature.write_bytes(workspace.me.encode())
        path = f"{posixpath.dirname(artifact.path)}/{SIGNATURE}"
        if files.size_of(workspace, path) is None:
            files.write(workspace, path, signature, replace=False)
