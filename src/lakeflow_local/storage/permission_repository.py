"""Permissions granted on jobs, clusters, folders and volumes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, Value
from lakeflow_local.storage.schema import GRANT_DEFAULT_VOLUME


@dataclass(frozen=True)
class Grant:
    """A permission level of a principal, or its privileges on a volume, separated by commas.

    `kind` is `user_name`, `group_name` or `service_principal_name`.
    """

    kind: str
    principal: str
    level: str


@dataclass(frozen=True)
class Viewer:
    """Somebody who sees only the jobs that were shared with them or with one of their groups."""

    name: str
    groups: Sequence[str]


def visible_jobs(viewer: Viewer | None) -> tuple[str, list[Value]]:
    """Return an SQL condition on `job_id` with its values; None sees every job."""
    if viewer is None:
        return "1", []
    marks = ", ".join("?" for _ in viewer.groups)
    condition = (
        "job_id IN (SELECT CAST(object_id AS INTEGER) FROM permissions"
        f" WHERE object_type = 'jobs' AND (principal_kind = 'group_name' AND principal IN ({marks})"
        " OR principal_kind != 'group_name' AND principal = ? COLLATE NOCASE))"
    )
    return condition, [*viewer.groups, viewer.name]


class PermissionRepository:
    """Table `permissions`. `kind` is `jobs`, `clusters`, `directories` or `volumes`.

    The ids of folders are their paths, those of volumes their full names.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, kind: str, object_id: str) -> Sequence[Grant]:
        """Return the grants on an object, oldest first."""
        rows = self._database.rows(
            "SELECT principal_kind, principal, level FROM permissions"
            " WHERE object_type = ? AND object_id = ? ORDER BY rowid",
            kind,
            object_id,
        )
        return [Grant(row["principal_kind"], row["principal"], row["level"]) for row in rows]

    def add(self, kind: str, object_id: str, entries: Collection[Grant]) -> None:
        self._database.execute_many(
            "INSERT INTO permissions VALUES (?, ?, ?, ?, ?)",
            [(kind, object_id, grant.kind, grant.principal, grant.level) for grant in entries],
        )

    def replace(self, kind: str, object_id: str, entries: Collection[Grant]) -> None:
        """Replace all grants on an object."""
        with self._database.transaction():
            self.delete(kind, object_id)
            self.add(kind, object_id, entries)

    def delete(self, kind: str, object_id: str) -> None:
        """Remove all grants on an object."""
        self._database.execute(
            "DELETE FROM permissions WHERE object_type = ? AND object_id = ?", kind, object_id
        )

    def delete_of(self, kind: str, object_id: str, principal: str) -> None:
        """Remove what is granted to one principal or group."""
        self._database.execute(
            "DELETE FROM permissions WHERE object_type = ? AND object_id = ? AND principal = ?",
            kind,
            object_id,
            principal,
        )

    def grant_default_volume(self) -> None:
        """Let everybody read and write the default volume."""
        self._database.execute(GRANT_DEFAULT_VOLUME)
