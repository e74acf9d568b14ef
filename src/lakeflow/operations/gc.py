"""Collection of artifacts that nothing needs any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import ApiError, Workspace
from lakeflow.errors import Refused
from lakeflow.operations.session import Session
from lakeflow.resources import artifacts, files

_log = logging.getLogger(__name__)

OLDER_THAN_DAYS = 60
"""Databricks keeps runs that long (Jobs API, runs/list), so a repair may want their wheels."""

_JOBS = "/api/2.2/jobs"


@dataclass(frozen=True)
class Collectable:
    """A version of a distribution in the store that nothing refers to.

    `path` is its folder, `size` its bytes, `modified` its last change in Unix milliseconds.
    """

    distribution: str
    version: str
    path: str
    size: int
    modified: int


def collect(
    session: Session,
    *,
    older_than: int = OLDER_THAN_DAYS,
    confirm: Callable[[str], bool] | None = None,
) -> tuple[Collectable, ...]:
    """Find what can go, and with `confirm` remove it once that has said yes.

    That is what I uploaded, what no job and no cluster that I can see and no active run refers to,
    and what is older than `older_than` days. What runs have left is never touched.

    Raises Refused where it is not confirmed, and WorkspaceError where jobs or runs cannot be
    listed: then nothing is removed.
    """
    workspace = session.workspace
    root = artifacts.root_of(workspace)
    found = tuple(_collectable(workspace, root, older_than))
    if confirm is None or not found:
        return found
    size = sum(it.size for it in found)
    if not confirm(f"Remove {len(found)} versions, {size:,} bytes, from {root}/artifacts?"):
        raise Refused("nothing was removed")
    needed = _needed(workspace, root)  # a job may have been deployed while we asked
    gone = []
    for it in found:
        if any(path.startswith(f"{it.path}/") for path in needed):
            _log.info(f"{it.path} is needed again: kept")
            continue
        files.remove(workspace, files.Entry(it.path, "folder"))
        _log.info(f"removed {it.path}, {it.size:,} bytes")
        gone.append(it)
    return tuple(gone)


def _collectable(workspace: Workspace, root: str, older_than: int) -> Iterator[Collectable]:
    limit = (time.time() - older_than * 24 * 3600) * 1000
    needed = _needed(workspace, root)
    for distribution in _folders(workspace, f"{root}/artifacts"):
        for version in _folders(workspace, distribution.path):
            if any(path.startswith(f"{version.path}/") for path in needed):
                continue
            held = files.children(workspace, version.path)
            changed = max((entry.modified for entry in held), default=version.modified)
            if changed < limit and artifacts.is_mine(workspace, version.path):
                size = sum(entry.size for entry in held)
                yield Collectable(distribution.name, version.name, version.path, size, changed)


def _folders(workspace: Workspace, path: str) -> list[files.Entry]:
    try:
        found = files.children(workspace, path)
    except ApiError as error:
        if error.missing:
            return []
        raise
    return [entry for entry in found if entry.kind == "folder"]


def _needed(workspace: Workspace, root: str) -> set[str]:
    """The paths in the store that a job or an active run mentions, wherever in its settings.

    And those that a cluster has attached: it installs them again whenever it is started.
    """
    attached = workspace.get("/api/2.0/libraries/all-cluster-statuses").get("statuses", [])
    paths = set(_texts(attached, f"{root}/artifacts/"))
    listed = {"limit": 100, "expand_tasks": "true"}
    for job in workspace.pages(f"{_JOBS}/list", "jobs", **listed):
        whole = _whole(workspace, "get", "job_id", job) if job.get("has_more") else [job]
        paths.update(_texts(whole, f"{root}/artifacts/"))
    for kind in ("JOB_RUN", "SUBMIT_RUN"):
        listed = {"limit": 24, "expand_tasks": "true", "active_only": "true", "run_type": kind}
        for run in workspace.pages(f"{_JOBS}/runs/list", "runs", **listed):
            whole = _whole(workspace, "runs/get", "run_id", run) if run.get("has_more") else [run]
            paths.update(_texts(whole, f"{root}/artifacts/"))
    return paths


def _whole(workspace: Workspace, call: str, key: str, listed: dict[str, Any]) -> list[Any]:
    """All pages of a job or run with more than the 100 tasks that a list shows."""
    query: dict[str, Any] = {key: listed[key]}
    pages = []
    while True:
        page = workspace.get(f"{_JOBS}/{call}", **query)
        pages.append(page)
        if not page.get("next_page_token"):
            return pages
        query["page_token"] = page["next_page_token"]


def _texts(value: object, start: str) -> Iterator[str]:
    """All texts in a JSON value that hold a path beginning with `start`, from there on."""
    if isinstance(value, str):
        if start in value:
            yield value[value.index(start) :]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item, start)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, start)
