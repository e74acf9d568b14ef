"""The artifact store: stamped wheels at paths named after their content, never overwritten."""

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
from lakeflow.resources.files import FileSize, KnownSize, NoFile, OnProgress
from lakeflow.wheels.archive import have_same_content
from lakeflow.wheels.stamping import StampedWheel

SIGNATURE = "uploaded-by"
"""The file beside a wheel that holds its uploader's user name, in stores of several users."""

_CONCURRENCY = 8
"""Concurrent requests; the Files API allows ten (databricks/cli, files_client.go)."""


@dataclass(frozen=True)
class Artifact:
    """A stamped wheel, its path in the store and the size of the file there now."""

    stamped: StampedWheel
    path: str
    stored_size: FileSize

    @property
    def is_stored(self) -> bool:
        """Whether the store has the complete wheel."""
        return self.stored_size == KnownSize(self.stamped.wheel.size)

    @property
    def title(self) -> str:
        """Distribution and stamped version."""
        return f"{self.stamped.wheel.distribution} {self.stamped.wheel.version}"


def path_of(root: str, stamped: StampedWheel) -> str:
    """Return a wheel's path: `<root>/artifacts/<distribution>/<version>/<wheel file>`."""
    wheel = stamped.wheel
    return f"{root}/artifacts/{wheel.name}/{wheel.version}/{wheel.path.name}"


def root_of(workspace: Workspace) -> str:
    """Return the folder of artifacts and runs: LAKEFLOW_ROOT or a folder in the user's home.

    Raises UsageError if LAKEFLOW_ROOT is neither on a volume nor a workspace folder.
    """
    return files.check_root(os.environ.get("LAKEFLOW_ROOT") or f"{_home(workspace)}.lakeflow")


def is_mine(workspace: Workspace, folder: str) -> bool:
    """Return whether the current user uploaded what is in a folder of the store."""
    if folder.startswith(_home(workspace)):
        return True
    return files.read(workspace, f"{folder}/{SIGNATURE}") == workspace.me.encode()


def look_up(
    workspace: Workspace, root: str, wheels: Sequence[StampedWheel]
) -> tuple[Artifact, ...]:
    """Return which of `wheels` are in the store, in their order.

    If a file of another or unknown size is at a wheel's path, it is downloaded and compared: one
    with the same content, compressed differently, is the wheel.

    Raises Refused for a wheel that has to be uploaded and is too large.
    """

    def one(stamped: StampedWheel) -> Artifact:
        path = path_of(root, stamped)
        artifact = Artifact(stamped, path, files.size_of(workspace, path))
        if artifact.is_stored:
            return artifact
        may_be_same = artifact.stored_size not in (NoFile(), KnownSize(0))
        if may_be_same and _has_same_content(workspace, artifact):
            return replace(artifact, stored_size=KnownSize(stamped.wheel.size))
        files.check_size(path, stamped.wheel.size)
        return artifact

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return tuple(pool.map(one, wheels))


def upload(
    workspace: Workspace,
    artifacts: Sequence[Artifact],
    *,
    on_progress: OnProgress = files.ignore_progress,
) -> tuple[int, ...]:
    """Upload the wheels that are missing. Returns the bytes that were sent for each artifact.

    Each upload is read back. Raises LakeflowError if it differs from what was sent, and removes it.
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
        sent = files.upload(
            workspace,
            artifact.path,
            artifact.stamped.wheel.path,
            replace=artifact.stored_size != NoFile(),  # broken, else it would not be uploaded
            on_progress=add,
        )
        _check_content(workspace, artifact)
        return sent

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return tuple(pool.map(one, range(len(artifacts))))


def _check_content(workspace: Workspace, artifact: Artifact) -> None:
    arrived = _DigestWriter()
    files.download(workspace, artifact.path, cast("BinaryIO", arrived))
    is_same = arrived.sha256.hexdigest() == artifact.stamped.wheel.sha256
    # Somebody may have stored the same wheel first, compressed differently.
    if not is_same and not _has_same_content(workspace, artifact):
        files.remove(workspace, files.Entry(artifact.path, "file"))
        raise LakeflowError(
            f"{artifact.path} was damaged in transfer (its SHA-256 differs) and was removed\n"
            "hint: run the command again; if it happens again, check the proxy between this "
            "machine and the workspace"
        )


def _has_same_content(workspace: Workspace, artifact: Artifact) -> bool:
    """Return whether the file in the store has the wheel's files, however compressed."""
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        stored = Path(folder, artifact.stamped.wheel.path.name)
        with stored.open("w+b") as target:
            files.download(workspace, artifact.path, target)
        return have_same_content(artifact.stamped.wheel.path, stored)


def _sign(workspace: Workspace, artifact: Artifact) -> None:
    """Store the user's name beside a wheel, for `lakeflow gc`; the user's home needs none."""
    if artifact.path.startswith(_home(workspace)):
        return
    path = f"{posixpath.dirname(artifact.path)}/{SIGNATURE}"
    if files.size_of(workspace, path) != NoFile():
        return
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        signature = Path(folder, SIGNATURE)
        signature.write_bytes(workspace.me.encode())
        files.upload(workspace, path, signature, replace=False)


def _home(workspace: Workspace) -> str:
    return f"/Workspace/Users/{workspace.me}/"


class _DigestWriter(io.RawIOBase):
    """A writable stream that keeps only the SHA-256 of what is written to it."""

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
