"""Libraries of clusters, installed one after the other.

A task's libraries stay attached to its cluster. On a running cluster, a library that was attached
before changes nothing, and neither does a wheel whose name and version are installed, whatever the
file holds now. A restart begins with an empty environment and installs what is attached (these
semantics: cli PR #1015, and the acceptance tests `integration_whl` of databricks/cli).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lakeflow_local.compute import environments
from lakeflow_local.compute.environments import (
    Environment,
    Environments,
    Requirement,
    Requirements,
    Wheel,
    read_wheel_name,
)
from lakeflow_local.compute.errors import ClusterMissing, InstallationError, LibraryFailed
from lakeflow_local.storage.cluster_library_repository import ClusterLibrary
from lakeflow_local.storage.database import to_json
from lakeflow_local.storage.files import Mount, PathOutside
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.settings import Library


def library_path(path: str) -> str:
    """Return the path below the mount of a library's path: `dbfs:/x` is `/dbfs/x`."""
    if path.startswith("dbfs:/"):
        path = path.removeprefix("dbfs:")
        return path if path.startswith("/Volumes/") else f"/dbfs{path}"
    return path


def find_library(mount: Mount, path: str) -> Path:
    """Return the file of a library's path. Raises FileNotFoundError, PathOutside."""
    found = mount.real(library_path(path))
    if not found.is_file():
        raise FileNotFoundError(path)
    return found


class Libraries:
    """Attaches and installs libraries. Callers that install hold the cluster's lock."""

    def __init__(self, storage: Storage, environments: Environments, mount: Mount) -> None:
        self._storage = storage
        self._environments = environments
        self._mount = mount

    def attach(self, cluster_id: str, libraries: Sequence[Library]) -> None:
        """Attach libraries, to be installed later. Raises ClusterMissing."""
        with self._storage.transaction():
            for library in libraries:
                self._attach(cluster_id, library)

    def detach(self, cluster_id: str, libraries: Sequence[Library], *, is_running: bool) -> None:
        """Detach libraries: at once from a stopped cluster, else with its next restart."""
        attached = self._storage.cluster_libraries
        with self._storage.transaction():
            for library in libraries:
                if is_running:
                    attached.detach_on_restart(cluster_id, library)
                else:
                    attached.detach(cluster_id, library)

    def all(self, cluster_id: str) -> Sequence[ClusterLibrary]:
        """Return libraries in the order in which they were attached, those to be removed last."""
        return self._storage.cluster_libraries.list(cluster_id)

    def install_pending(self, cluster_id: str, environment: Environment) -> Environment:
        """Install what waits for it; a library that fails has a status that says so."""
        for attached in self.all(cluster_id):
            if attached.status == "PENDING":
                try:
                    environment = self.install(cluster_id, environment, attached.library)
                except LibraryFailed:
                    continue
        return environment

    def install(self, cluster_id: str, environment: Environment, library: Library) -> Environment:
        """Install a library, and attach it if necessary. Raises ClusterMissing, LibraryFailed."""
        status = self._attach(cluster_id, library)
        if status in ("INSTALLED", "UNINSTALL_ON_RESTART"):
            return environment
        attached = self._storage.cluster_libraries
        attached.set_status(cluster_id, library, "INSTALLING")
        try:
            extended = self._extend(cluster_id, environment, library)
        except (LibraryFailed, OSError) as error:
            attached.set_status(cluster_id, library, "FAILED", [str(error)])
            raise LibraryFailed(str(error)) from None
        self._storage.clusters.set_environment(cluster_id, extended.key)
        attached.set_status(cluster_id, library, "INSTALLED")
        return extended

    def _attach(self, cluster_id: str, library: Library) -> str:
        """Attach a library unless it is attached; return its status. Raises ClusterMissing."""
        with self._storage.transaction():
            if self._storage.clusters.get(cluster_id) is None:
                raise ClusterMissing(cluster_id)
            return self._storage.cluster_libraries.attach(cluster_id, library)

    def _extend(self, cluster_id: str, environment: Environment, library: Library) -> Environment:
        attempt = f"Library installation attempted on the driver node of cluster {cluster_id}"
        try:
            parsed = self._parse(library)
            if isinstance(parsed, Wheel) and environment.has(parsed):
                return environment
            return self._environments.extend(environment, parsed)
        except (FileNotFoundError, PathOutside):
            raise LibraryFailed(
                f"{attempt} and failed. The library file does not exist or the user does not have"
                " permission to read the library file. Please check if the library file exists and"
                " the user has the right permissions to access the library file. Library:"
                f" {to_json(library)}"
            ) from None
        except InstallationError as error:
            raise LibraryFailed(f"{attempt} and failed. The installer said:\n{error}") from None

    def _parse(self, library: Library) -> environments.Library:
        def find(path: str) -> Path:
            return find_library(self._mount, path)

        if "pypi" in library:
            return Requirement(library["pypi"]["package"], library["pypi"].get("repo"))
        if "requirements" in library:
            text = find(library["requirements"]).read_text(encoding="utf-8")
            return Requirements(tuple(text.splitlines()), find)
        return read_wheel_name(find(library["whl"]))
