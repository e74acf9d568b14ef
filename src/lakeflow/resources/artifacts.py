"""The artifact store: stamped wheels at paths named after their content, never overwritten."""

from __future__ import annotations

import os
import posixpath
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.resources import files
from lakeflow.resources.files import FileSize, KnownSize, NoFile, OnProgress, UnknownSize
from lakeflow.state import cache
from lakeflow.wheels.archive import have_same_content, sha256_of
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
    with the same content, compressed differently, is the wheel. A workspace file, whose size is
    unknown, is compared once and then cached until it changes.

    Raises Refused for a wheel that has to be uploaded and is too large.
    """

    def one(stamped: StampedWheel) -> Artifact:
        path = path_of(root, stamped)
        artifact = Artifact(stamped, path, files.size_of(workspace, path))
        if artifact.is_stored:
            return artifact
        may_be_same = artifact.stored_size not in (NoFile(), KnownSize(0))
        if may_be_same and _has_content(workspace, artifact):
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

    Each upload is read back where the workspace allows it. Raises LakeflowError if it differs from
    what was sent, and removes it.
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
    """Read an uploaded wheel back. Raises LakeflowError if it was damaged, and removes it."""
    stored_size = files.size_of(workspace, artifact.path)
    if not _has_content(workspace, replace(artifact, stored_size=stored_size)):
        files.remove(workspace, files.Entry(artifact.path, "file"))
        raise LakeflowError(
            f"{artifact.path} was damaged in transfer (its SHA-256 differs) and was removed\n"
            "hint: run the command again; if it happens again, check the proxy between this "
            "machine and the workspace"
        )


def _has_content(workspace: Workspace, artifact: Artifact) -> bool:
    """Return whether the file in the store has the wheel's files, however compressed.

    A file of the wheel's or of unknown size that is too large to be read passes.
    """
    wheel, size = artifact.stamped.wheel, artifact.stored_size
    key: tuple[str, ...] = ()
    if isinstance(size, UnknownSize) and size.identity:
        key = ("stored", workspace.host, artifact.path, size.identity, wheel.sha256)
        if cache.get(*key) is not None:
            return True
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        stored = Path(folder, wheel.path.name)
        try:
            with stored.open("w+b") as target:
                files.download(workspace, artifact.path, target)
        except files.TooLargeToRead:
            has_content = size == KnownSize(wheel.size) or isinstance(size, UnknownSize)
        else:
            is_same = sha256_of(lambda: stored.open("rb")).hexdigest() == wheel.sha256
            # Somebody may have stored the same wheel first, compressed differently.
            has_content = is_same or have_same_content(wheel.path, stored)
    if has_content and key:
        cache.put(*key, value={})
    return has_content


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
