"""Libraries: which are attached to a cluster, and their installation, one after the other.

A task's libraries stay attached to its cluster. On a running one, a library that was attached
before and a wheel whose name and version are there change nothing, whatever the file holds now;
a restart begins with an empty environment and installs what is attached anew (the research of
these semantics: cli PR #1015, and the acceptance tests `integration_whl` of databricks/cli).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lakeflow_local.compute.environments import (
    Environment,
    Environments,
    InstallationError,
    Library,
    Requirement,
    Requirements,
    Wheel,
    read_wheel_name,
)
from lakeflow_local.storage.database import Database, to_json
from lakeflow_local.storage.files import Mount, PathOutside


class ClusterMissing(Exception):
    """There is no cluster of this id."""


class LibraryFailed(Exception):
    """A library could not be installed; the text is the cluster's message."""


def library_path(path: str) -> str:
    """A library's path as a path below the mount: `dbfs:/x` is `/dbfs/x`."""
    if path.startswith("dbfs:/"):
        path = path.removeprefix("dbfs:")
        return path if path.startswith("/Volumes/") else f"/dbfs{path}"
    return path


class Libraries:
    """Who calls holds the cluster's lock where something is installed."""

    def __init__(self, store: Database, environments: Environments, mount: Mount) -> None:
        self._store = store
        self._environments = environments
        self._mount = mount

    def add(self, cluster_id: str, libraries: Sequence[Mapping[str, Any]]) -> None:
        """Attach libraries: they wait for their installation."""
        with self._store.transaction() as database:
            for library in libraries:
                _add(database, cluster_id, library)

    def remove(
        self, cluster_id: str, libraries: Sequence[Mapping[str, Any]], *, is_running: bool
    ) -> None:
        """Detach libraries: at once from a stopped cluster, else with its next restart."""
        with self._store.transaction() as database:
            for library in libraries:
                change = (
                    "UPDATE cluster_libraries SET status = 'UNINSTALL_ON_RESTART'"
                    if is_running
                    else "DELETE FROM cluster_libraries"
                )
                database.execute(
                    f"{change} WHERE cluster_id = ? AND library = ?",
                    (cluster_id, to_json(library)),
                )

    def statuses(self, cluster_id: str) -> list[dict[str, Any]]:
        """In the order in which they were attached, those to be removed last."""
        rows = self._store.rows(
            "SELECT * FROM cluster_libraries WHERE cluster_id = ?"
            " ORDER BY status = 'UNINSTALL_ON_RESTART', position",
            cluster_id,
        )
        return [
            {
                "library": json.loads(row["library"]),
                "status": row["status"],
                "messages": json.loads(row["messages"]),
                "is_library_for_all_clusters": False,
            }
            for row in rows
        ]

    def install_waiting(self, cluster_id: str, environment: Environment) -> Environment:
        rows = self._store.rows(
            "SELECT library FROM cluster_libraries"
            " WHERE cluster_id = ? AND status = 'PENDING' ORDER BY position",
            cluster_id,
        )
        for row in rows:
            try:
                environment = self.install(cluster_id, environment, json.loads(row["library"]))
            except LibraryFailed:
                continue  # its status says so, and the cluster runs without it
        return environment

    def install(
        self, cluster_id: str, environment: Environment, library: Mapping[str, Any]
    ) -> Environment:
        with self._store.transaction() as database:
            status = _add(database, cluster_id, library)
        if status in ("INSTALLED", "UNINSTALL_ON_RESTART"):
            return environment
        self._set_library(cluster_id, library, "INSTALLING")
        try:
            extended = self._extend(cluster_id, environment, library)
        except (LibraryFailed, OSError) as error:
            self._set_library(cluster_id, library, "FAILED", [str(error)])
            raise LibraryFailed(str(error)) from None
        with self._store.transaction() as database:
            database.execute(
                "UPDATE clusters SET environment = ? WHERE cluster_id = ? AND state = 'RUNNING'",
                (extended.key, cluster_id),
            )
        self._set_library(cluster_id, library, "INSTALLED")
        return extended

    def _extend(
        self, cluster_id: str, environment: Environment, library: Mapping[str, Any]
    ) -> Environment:
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

    def _parse(self, library: Mapping[str, Any]) -> Library:
        if "pypi" in library:
            return Requirement(library["pypi"]["package"], library["pypi"].get("repo"))
        if "requirements" in library:
            text = self.existing(library["requirements"]).read_text(encoding="utf-8")
            return Requirements(tuple(text.splitlines()), self.existing)
        return read_wheel_name(self.existing(library["whl"]))

    def existing(self, path: str) -> Path:
        """The file of a path that a library names. Raises FileNotFoundError, PathOutside."""
        found = self._mount.real(library_path(path))
        if not found.is_file():
            raise FileNotFoundError(path)
        return found

    def _set_library(
        self,
        cluster_id: str,
        library: Mapping[str, Any],
        status: str,
        messages: Iterable[str] = (),
    ) -> None:
        with self._store.transaction() as database:
            database.execute(
                "UPDATE cluster_libraries SET status = ?, messages = ?"
                " WHERE cluster_id = ? AND library = ?",
                (status, to_json(list(messages)), cluster_id, to_json(library)),
            )


def _add(database: sqlite3.Connection, cluster_id: str, library: Mapping[str, Any]) -> str:
    """Attach a library that is not yet; its status. Raises ClusterMissing."""
    if database.execute("SELECT 1 FROM clusters WHERE cluster_id = ?", (cluster_id,)).fetchone():
        database.execute(
            "INSERT OR IGNORE INTO cluster_libraries (cluster_id, library, status)"
            " VALUES (?, ?, 'PENDING')",
            (cluster_id, to_json(library)),
        )
    else:
        raise ClusterMissing(cluster_id)
    row = database.execute(
        "SELECT status FROM cluster_libraries WHERE cluster_id = ? AND library = ?",
        (cluster_id, to_json(library)),
    ).fetchone()
    return str(row["status"])
