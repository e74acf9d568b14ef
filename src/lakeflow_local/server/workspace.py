"""All of a workspace's parts, put together from its folder."""

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
from lakeflow_local.config import ServerConfig
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.identity.principals import Principals
from lakeflow_local.runs.engine import Engine
from lakeflow_local.server.presigned_urls import PresignedUrls
from lakeflow_local.storage.database import GRANT_DEFAULT_VOLUME, Database, now
from lakeflow_local.storage.files import Mount, write_atomically
from lakeflow_local.storage.uploads import Uploads

DEFAULT_VOLUME = ("main", "default", "lakeflow")


@dataclass(frozen=True)
class Workspace:
    """What the API's functions work on. `user` is the name of whose workspace it is."""

    folder: Path
    user: str
    workspace_id: int
    store: Database
    principals: Principals
    permissions: Permissions
    mount: Mount
    uploads: Uploads
    presigned: PresignedUrls
    clusters: Clusters
    engine: Engine

    def close(self) -> None:
        self.engine.stop()
        self.store.close()


def open_workspace(config: ServerConfig, url: str, *, is_mounted: bool) -> Workspace:
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
    store = Database(folder / "workspace.sqlite")
    with store.transaction() as database:
        database.execute("DELETE FROM dbfs_handles")  # their drafts are gone
    environments = Environments(folder / "environments", _find_uv())
    principals = Principals(store, user)
    permissions = Permissions(store, principals)
    interpreters = Interpreters(folder / "interpreters.json", any_python=config.any_python)
    clusters = Clusters(store, permissions, environments, interpreters, mount)
    engine = Engine(
        store, permissions, clusters, mount, config, workspace_id, url, is_mounted=is_mounted
    )
    workspace = Workspace(
        folder,
        user,
        workspace_id,
        store,
        principals,
        permissions,
        mount,
        Uploads(folder / "uploads"),
        PresignedUrls(),
        clusters,
        engine,
    )
    make_home(workspace, user)
    mount.make_folder(mount.real("/Workspace/Shared"))
    if make_volume(workspace, *DEFAULT_VOLUME, owner=user):
        with store.transaction() as database:
            database.execute(GRANT_DEFAULT_VOLUME)
    return workspace


def make_home(workspace: Workspace, name: str) -> None:
    """Make a principal's own folder."""
    workspace.mount.make_folder(workspace.mount.real(f"/Workspace/Users/{name}"))


def make_volume(workspace: Workspace, catalog: str, schema: str, name: str, *, owner: str) -> bool:
    """Make a volume; False where there is one of that name."""
    workspace.mount.make_folder(workspace.mount.real(f"/Volumes/{catalog}/{schema}/{name}"))
    with workspace.store.transaction() as database:
        made = database.execute(
            "INSERT OR IGNORE INTO volumes (catalog, schema, name, created, owner)"
            " VALUES (?, ?, ?, ?, ?)",
            (catalog, schema, name, now(), owner),
        )
        return made.rowcount == 1


def read_identity(folder: Path) -> tuple[int, str]:
    """The workspace's number and its user, chosen once."""
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
