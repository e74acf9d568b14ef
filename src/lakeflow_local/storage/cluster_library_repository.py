"""Libraries that are attached to clusters, and how far their installation is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, to_json
from lakeflow_local.storage.settings import Library


@dataclass(frozen=True)
class ClusterLibrary:
    """`status` is the API's: PENDING, INSTALLING, INSTALLED, FAILED or UNINSTALL_ON_RESTART."""

    library: Library
    status: str
    messages: Sequence[str]


class ClusterLibraryRepository:
    """Table `cluster_libraries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def attach(self, cluster_id: str, library: Library) -> str:
        """Attach a library, PENDING, unless it is attached; return its status."""
        with self._database.transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO cluster_libraries (cluster_id, library, status)"
                " VALUES (?, ?, 'PENDING')",
                cluster_id,
                to_json(library),
            )
            (row,) = self._database.rows(
                "SELECT status FROM cluster_libraries WHERE cluster_id = ? AND library = ?",
                cluster_id,
                to_json(library),
            )
        return str(row["status"])

    def detach(self, cluster_id: str, library: Library) -> None:
        """Detach a library from a stopped cluster."""
        self._database.execute(
            "DELETE FROM cluster_libraries WHERE cluster_id = ? AND library = ?",
            cluster_id,
            to_json(library),
        )

    def detach_on_restart(self, cluster_id: str, library: Library) -> None:
        self._database.execute(
            "UPDATE cluster_libraries SET status = 'UNINSTALL_ON_RESTART'"
            " WHERE cluster_id = ? AND library = ?",
            cluster_id,
            to_json(library),
        )

    def restart(self, cluster_id: str) -> None:
        """Detach what waits for a restart; all others are to be installed again."""
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM cluster_libraries"
                " WHERE cluster_id = ? AND status = 'UNINSTALL_ON_RESTART'",
                cluster_id,
            )
            self._database.execute(
                "UPDATE cluster_libraries SET status = 'PENDING', messages = '[]'"
                " WHERE cluster_id = ?",
                cluster_id,
            )

    def retry_interrupted(self) -> None:
        """Mark installations that a stopped server interrupted as PENDING."""
        self._database.execute(
            "UPDATE cluster_libraries SET status = 'PENDING' WHERE status = 'INSTALLING'"
        )

    def set_status(
        self, cluster_id: str, library: Library, status: str, messages: Sequence[str] = ()
    ) -> None:
        self._database.execute(
            "UPDATE cluster_libraries SET status = ?, messages = ?"
            " WHERE cluster_id = ? AND library = ?",
            status,
            to_json(messages),
            cluster_id,
            to_json(library),
        )

    def list(self, cluster_id: str) -> Sequence[ClusterLibrary]:
        """Return libraries in the order in which they were attached, those to be removed last."""
        rows = self._database.rows(
            "SELECT * FROM cluster_libraries WHERE cluster_id = ?"
            " ORDER BY status = 'UNINSTALL_ON_RESTART', position",
            cluster_id,
        )
        return [
            ClusterLibrary(json.loads(row["library"]), row["status"], json.loads(row["messages"]))
            for row in rows
        ]
