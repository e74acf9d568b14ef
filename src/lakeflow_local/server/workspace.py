"""The components of a workspace, created from its folder."""

from __future__ import annotations

import getpass
import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from lakeflow_local.compute.clusters import Clusters
from lakeflow_local.compute.environments import Environments
from lakeflow_local.compute.interpreters import Interpreters
from lakeflow_local.compute.placement import Placement
from lakeflow_local.config import ServerConfig
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.identity.principals import Principals
from lakeflow_local.runs.housekeeping import Housekeeping
from lakeflow_local.runs.parameters import Site
from lakeflow_local.runs.run_folders import RunFolders
from lakeflow_local.runs.scheduler import Scheduler
from lakeflow_local.runs.task_runner import TaskRunner
from lakeflow_local.server.presigned_urls import PresignedUrls
from lakeflow_local.storage.files import Mount, write_atomically
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.uploads import Uploads

DEFAULT_VOLUME = ("main", "default", "lakeflow")


@dataclass(frozen=True)
class Workspace:
    """The components that handlers of the API use.

    `user` is the name of the owner, `behaviors` what else is true of this workspace.
    """

    folder: Path
    user: str
    workspace_id: int
    storage: Storage
    principals: Principals
    permissions: Permissions
    mount: Mount
    uploads: Uploads
    presigned: PresignedUrls
    clusters: Clusters
    run_folders: RunFolders
    task_runner: TaskRunner
    scheduler: Scheduler
    housekeeping: Housekeeping
    behaviors: frozenset[str]

    def start(self) -> None:
        """Recover from a crash, and run what is due."""
        self.housekeeping.start()
        self.scheduler.wake()

    def close(self) -> None:
        """Kill all tasks and close the database."""
        self.housekeeping.stop()
        self.scheduler.stop()
        self.storage.close()


def open_workspace(
    config: ServerConfig,
    url: str,
    *,
    is_mounted: bool,
    behaviors: frozenset[str] = frozenset(),
) -> Workspace:
    """Open the workspace in the configured folder, creating it if necessary.

    Only one process at a time may have it open. `is_mounted` tells that this process sees the
    workspace's file trees at the root of the file system.
    """
    folder = config.folder
    workspace_id, user = read_identity(folder)
    drafts = folder / "drafts"
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir()
    mount = Mount(folder / "mount", drafts)
    storage = Storage(folder / "workspace.sqlite")
    storage.dbfs_handles.delete_all()  # their temporary files are gone
    environments = Environments(folder / "environments", _find_uv())
    principals = Principals(storage, user)
    permissions = Permissions(storage, principals)
    interpreters = Interpreters(folder / "interpreters.json", any_python=config.any_python)
    clusters = Clusters(storage, permissions, environments, interpreters, mount)
    placement = Placement(storage, permissions, clusters, folder / "clusters")
    run_folders = RunFolders(folder / "runs")
    task_runner = TaskRunner(
        storage,
        principals,
        placement,
        mount,
        run_folders,
        Site(storage, workspace_id, url),
        config,
        is_mounted=is_mounted,
        behaviors=behaviors,
    )
    scheduler = Scheduler(storage, task_runner, config.max_processes)
    workspace = Workspace(
        folder=folder,
        user=user,
        workspace_id=workspace_id,
        storage=storage,
        principals=principals,
        permissions=permissions,
        mount=mount,
        uploads=Uploads(folder / "uploads"),
        presigned=PresignedUrls(),
        clusters=clusters,
        run_folders=run_folders,
        task_runner=task_runner,
        scheduler=scheduler,
        housekeeping=Housekeeping(
            storage, scheduler, placement, clusters, run_folders, folder / "clusters"
        ),
        behaviors=behaviors,
    )
    create_home(workspace, user)
    mount.make_folder(mount.real("/Workspace/Shared"))
    if create_volume(workspace, *DEFAULT_VOLUME, owner=user):
        storage.permissions.grant_default_volume()
    return workspace


def create_home(workspace: Workspace, name: str) -> None:
    """Create the home folder of a principal."""
    workspace.mount.make_folder(workspace.mount.real(f"/Workspace/Users/{name}"))


def create_volume(
    workspace: Workspace, catalog: str, schema: str, name: str, *, owner: str
) -> bool:
    """Create a volume; return False if one of this name exists."""
    workspace.mount.make_folder(workspace.mount.real(f"/Volumes/{catalog}/{schema}/{name}"))
    return workspace.storage.volumes.create(catalog, schema, name, owner=owner)


def read_identity(folder: Path) -> tuple[int, str]:
    """Return the workspace's id and its owner, which are chosen once."""
    path = folder / "identity.json"
    if not path.exists():
        name = re.sub(r"[^\w.-]", "_", getpass.getuser())
        identity = {"workspace_id": 10**12 + secrets.randbelow(10**12), "user": f"{name}@localhost"}
        write_atomically(path, json.dumps(identity).encode())
    found = json.loads(path.read_text())
    return found["workspace_id"], found["user"]


def _find_uv() -> str:
    try:
        return find_uv_bin()
    except FileNotFoundError:
        found = shutil.which("uv")
    if found is None:
        raise WorkspaceError(
            "the local workspace needs uv to install wheels: install the Python package `uv`"
        )
    return found
