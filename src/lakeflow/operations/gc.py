"""Garbage collection: uploaded wheels that nothing uses any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lakeflow.client.http_errors import ApiError
from lakeflow.client.workspace import Workspace
from lakeflow.operations.changes import Change, Plan, Resource
from lakeflow.operations.session import Session
from lakeflow.resources import artifacts, files

_log = logging.getLogger(__name__)


OLDER_THAN_DAYS = 60
"""Databricks keeps runs that long (Jobs API, runs/list), and a repair needs their wheels."""

_JOBS = "/api/2.2/jobs"


@dataclass(frozen=True)
class UnusedWheel:
    """A version of a distribution in the store that nothing refers to.

    `path` is its folder, `size` its bytes, None if the workspace does not tell, and `modified` its
    last change in Unix milliseconds.
    """

    distribution: str
    version: str
    path: str
    size: int | None
    modified: int


@dataclass(frozen=True)
class CollectionPlan(Plan):
    """What garbage collection removes from the store below `root`."""

    root: str
    wheels: tuple[UnusedWheel, ...]

    @property
    def size(self) -> int | None:
        """Bytes of all the wheels, None if the workspace does not tell."""
        return _sum(wheel.size for wheel in self.wheels)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes."""
        return tuple(
            Change(
                "delete",
                Resource("wheel", f"{wheel.distribution} {wheel.version}"),
                {"path": wheel.path, "bytes": wheel.size},
            )
            for wheel in self.wheels
        )


def plan(session: Session, *, older_than: int = OLDER_THAN_DAYS) -> CollectionPlan:
    """Find the wheels that I uploaded, that nothing uses, and that are older than so many days.

    A wheel is in use if a visible job or cluster or an active run refers to it. What runs write
    never counts.

    Raises WorkspaceError if jobs or runs cannot be listed.
    """
    workspace = session.workspace
    root = artifacts.root_of(workspace)
    return CollectionPlan(workspace.host, root, tuple(_unused(workspace, root, older_than)))


def apply(session: Session, plan: CollectionPlan) -> tuple[UnusedWheel, ...]:
    """Remove the wheels of a plan except those that are in use again; return those removed."""
    session.check_workspace(plan.workspace)
    if not plan.wheels:
        return ()
    workspace = session.workspace
    used = _used_paths(workspace, plan.root)  # a job may have been deployed since the plan
    removed = []
    for wheel in plan.wheels:
        if any(path.startswith(f"{wheel.path}/") for path in used):
            _log.info(f"kept {wheel.path}: it is in use again")
            continue
        files.remove(workspace, files.Entry(wheel.path, "folder"))
        size = "" if wheel.size is None else f", {wheel.size:,} bytes"
        _log.info(f"removed {wheel.path}{size}")
        removed.append(wheel)
    return tuple(removed)


def _unused(workspace: Workspace, root: str, older_than: int) -> Iterator[UnusedWheel]:
    limit = (time.time() - older_than * 24 * 3600) * 1000
    used = _used_paths(workspace, root)
    for distribution in _folders(workspace, f"{root}/artifacts"):
        for version in _folders(workspace, distribution.path):
            if any(path.startswith(f"{version.path}/") for path in used):
                continue
            content = files.list_folder(workspace, version.path)
            changed = max((entry.modified for entry in content), default=version.modified)
            if changed < limit and artifacts.is_mine(workspace, version.path):
                size = _sum(entry.size for entry in content)
                yield UnusedWheel(distribution.name, version.name, version.path, size, changed)


def _sum(sizes: Iterable[int | None]) -> int | None:
    """Add sizes up; the sum is unknown if one of them is."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


def _folders(workspace: Workspace, path: str) -> list[files.Entry]:
    try:
        found = files.list_folder(workspace, path)
    except ApiError as error:
        if error.missing:
            return []
        raise
    return [entry for entry in found if entry.kind == "folder"]


def _used_paths(workspace: Workspace, root: str) -> set[str]:
    """Return the paths in the store that jobs and active runs mention, or clusters have attached.

    A cluster installs attached wheels again whenever it starts.
    """
    attached = workspace.get("/api/2.0/libraries/all-cluster-statuses").get("statuses", [])
    return {*_texts(attached, f"{root}/artifacts/"), *needed_paths(workspace, root)}


def needed_paths(workspace: Workspace, root: str) -> set[str]:
    """Return the paths in the store that visible jobs and active runs mention."""
    paths: set[str] = set()
    listed = {"limit": 100, "expand_tasks": "true"}
    for job in workspace.pages(f"{_JOBS}/list", "jobs", **listed):
        pages = _all_pages(workspace, "get", "job_id", job) if job.get("has_more") else [job]
        paths.update(_texts(pages, f"{root}/artifacts/"))
    for kind in ("JOB_RUN", "SUBMIT_RUN"):
        listed = {"limit": 24, "expand_tasks": "true", "active_only": "true", "run_type": kind}
        for run in workspace.pages(f"{_JOBS}/runs/list", "runs", **listed):
            pages = (
                _all_pages(workspace, "runs/get", "run_id", run) if run.get("has_more") else [run]
            )
            paths.update(_texts(pages, f"{root}/artifacts/"))
    return paths


def _all_pages(workspace: Workspace, call: str, key: str, listed: dict[str, Any]) -> list[Any]:
    """Return all pages of a job or run that has more than the 100 tasks of a list."""
    return list(workspace.whole_pages(f"{_JOBS}/{call}", **{key: listed[key]}))


def _texts(value: object, start: str) -> Iterator[str]:
    """Yield the strings in a JSON value that contain `start`, from there on."""
    if isinstance(value, str):
        if start in value:
            yield value[value.index(start) :]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item, start)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, start)
