"""Wheels between this machine and the artifact store."""

from __future__ import annotations

import logging
import posixpath
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lakeflow.errors import UsageError
from lakeflow.operations.session import Session
from lakeflow.resources import artifacts, files
from lakeflow.resources.artifacts import Artifact
from lakeflow.wheels.stamping import stamp
from lakeflow.wheels.wheel import read_wheel

_log = logging.getLogger(__name__)


def upload(session: Session, paths: Sequence[Path]) -> tuple[str, ...]:
    """Upload wheels, stamped together; return their paths in the store, in the same order.

    Raises what reading and stamping them raises, before anything is sent.
    """
    wheels = [read_wheel(path) for path in paths]
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        stamped = {s.source.path: s for s in stamp(wheels, Path(folder))}
        root = artifacts.root_of(session.workspace)
        found = artifacts.look_up(session.workspace, root, [stamped[w.path] for w in wheels])
        send(session, found)
    return tuple(artifact.path for artifact in found)


def send(session: Session, wheels: Sequence[Artifact]) -> dict[str, int]:
    """Send those wheels that the store does not have; return the bytes sent for each path."""
    distinct = {artifact.path: artifact for artifact in wheels}
    missing = [artifact for artifact in distinct.values() if not artifact.is_stored]
    names = ", ".join(artifact.stamped.wheel.distribution for artifact in missing)
    size = sum(artifact.stamped.wheel.size for artifact in missing)
    with session.on_transfer(names, size) as on_progress:
        sizes = artifacts.upload(session.workspace, missing, on_progress=on_progress)
    sent = {artifact.path: size for artifact, size in zip(missing, sizes, strict=True)}
    for path, artifact in distinct.items():
        done = f"uploaded {sent[path]:,} bytes to {path}" if path in sent else "unchanged"
        _log.info(f"wheel {artifact.title}: {done}")
    if not missing:
        _log.info("uploaded 0 bytes")
    return sent


def local_files(session: Session, wheels: Sequence[Path | str], folder: Path) -> list[Path]:
    """Return wheels as local files; those in the workspace are downloaded into `folder`.

    Raises UsageError for a file that does not exist.
    """
    found = []
    for wheel in map(str, wheels):
        if not wheel.startswith(("/Workspace/", "/Volumes/")):
            found.append(Path(wheel))
            continue
        content = files.read(session.workspace, wheel)
        if content is None:
            raise UsageError(
                f"{wheel} not found in {session.workspace.host}\n"
                "hint: upload-wheel prints the path of a wheel that it uploads."
            )
        found.append(folder / posixpath.basename(wheel))
        found[-1].write_bytes(content)
    return found
