"""Who may do what with a thing of the workspace, from the grants on it.

An admin may do everything. What each level allows: docs.databricks.com/security/auth/access-control
/security/secrets and /data-governance/unity-catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lakeflow_local.identity.principals import EVERYBODY, Principal, Principals
from lakeflow_local.storage.database import Database

LEVELS: Mapping[str, Mapping[str, int]] = {
    "jobs": {"CAN_VIEW": 1, "CAN_MANAGE_RUN": 2, "IS_OWNER": 3, "CAN_MANAGE": 3},
    "clusters": {"CAN_ATTACH_TO": 1, "CAN_RESTART": 2, "CAN_MANAGE": 3},
    "directories": {"CAN_READ": 1, "CAN_RUN": 2, "CAN_EDIT": 3, "CAN_MANAGE": 4},
    "secrets": {"READ": 1, "WRITE": 2, "MANAGE": 3},
}
"""How much each permission is; who has more may do what less allows."""

PRIVILEGES = ("READ_VOLUME", "WRITE_VOLUME", "MANAGE", "APPLY_TAG", "ALL_PRIVILEGES")
EVERYTHING = 9


class Permissions:
    """Looks up what principals may do."""

    def __init__(self, store: Database, principals: Principals) -> None:
        self._store = store
        self.principals = principals

    def on_job(self, who: Principal, job_id: int) -> int:
        """The level on a job; runs that were submitted without one have an id of a job too."""
        return self._level(who, "jobs", str(job_id))

    def on_cluster(self, who: Principal, cluster_id: str) -> int:
        """The level on a cluster; a run's own is seen by who may see its job."""
        level = self._level(who, "clusters", cluster_id)
        if level:
            return level
        row = self._store.row(
            "SELECT r.job_id FROM clusters c JOIN runs r ON r.run_id = c.job_run_id"
            " WHERE c.cluster_id = ?",
            cluster_id,
        )
        return 0 if row is None else min(1, self.on_job(who, row["job_id"]))

    def on_folder(self, who: Principal, path: str) -> int:
        """The level on a workspace file or folder, `/Users/...`: what is granted on those above
        counts. Everybody has a home, and all that is in `/Shared`."""
        names = [name for name in path.split("/") if name not in ("", ".")]
        most = LEVELS["directories"]["CAN_MANAGE"]
        if who.is_admin or names[:1] == ["Shared"]:
            return most
        if names[:1] == ["Users"] and len(names) > 1 and _same(names[1], who.name):
            return most
        level = 1 if names in ([], ["Users"]) else 0
        for end in range(1, len(names) + 1):
            level = max(level, self._level(who, "directories", "/" + "/".join(names[:end])))
        return level

    def on_secrets(self, who: Principal, scope: str) -> int:
        if who.is_admin:
            return EVERYTHING
        rows = self._store.rows("SELECT * FROM secret_acls WHERE scope = ?", scope)
        return max(
            (
                LEVELS["secrets"][row["permission"]]
                for row in rows
                if row["principal"] in EVERYBODY or _same(row["principal"], who.name)
            ),
            default=0,
        )

    def on_volume(self, who: Principal, full_name: str) -> Collection[str]:
        """The privileges on a volume, `catalog.schema.volume`."""
        row = self._store.row(
            "SELECT owner FROM volumes WHERE catalog || '.' || schema || '.' || name = ?", full_name
        )
        if who.is_admin or (row is not None and _same(row["owner"] or "", who.name)):
            return PRIVILEGES
        found = {
            privilege
            for level in self._granted(who, "volumes", full_name)
            for privilege in level.split(",")
        }
        return PRIVILEGES if "ALL_PRIVILEGES" in found else found

    def unreadable(self, who: Principal, path: str) -> str | None:
        """Why somebody may not read a file by its path, if so. DBFS is everybody's.

        Libraries may be named as `dbfs:/Volumes/...` too.
        """
        path = path.removeprefix("dbfs:") if path.startswith("dbfs:/Volumes/") else path
        names = [name for name in path.split("/") if name]
        if names[:1] == ["Volumes"] and len(names) > 3:
            volume = ".".join(names[1:4])
            if "READ_VOLUME" not in self.on_volume(who, volume):
                return no_privilege("READ_VOLUME", volume)
        elif names[:1] == ["Workspace"] and not self.on_folder(who, "/" + "/".join(names[1:])):
            return no_permission(who, "View", path)
        return None

    def visible_jobs(self, who: Principal) -> tuple[str, Sequence[Any]]:
        """An SQL condition on `job_id` with its values: jobs on which there is any grant."""
        if who.is_admin:
            return "1", ()
        condition = (
            "job_id IN (SELECT CAST(object_id AS INTEGER) FROM permissions"
            " WHERE object_type = 'jobs' AND (principal_kind = 'group_name' AND principal IN (?, ?)"
            " OR principal_kind != 'group_name' AND principal = ? COLLATE NOCASE))"
        )
        return condition, (*EVERYBODY, who.name)

    def _level(self, who: Principal, kind: str, object_id: str) -> int:
        if who.is_admin:
            return EVERYTHING
        granted = self._granted(who, kind, object_id)
        return max((LEVELS[kind][level] for level in granted), default=0)

    def _granted(self, who: Principal, kind: str, object_id: str) -> list[str]:
        rows = self._store.rows(
            "SELECT principal_kind, principal, level FROM permissions"
            " WHERE object_type = ? AND object_id = ?",
            kind,
            object_id,
        )
        return [
            row["level"]
            for row in rows
            if (
                row["principal"] in EVERYBODY
                if row["principal_kind"] == "group_name"
                else _same(row["principal"], who.name)
            )
        ]


def no_permission(who: Principal, what: str, name: str) -> str:
    return (
        f"{who.name} does not have {what} permissions on {name}. Please contact the owner or an"
        " administrator for access."
    )


def no_privilege(privilege: str, volume: str) -> str:
    return f"User does not have {privilege.replace('_', ' ')} on Volume '{volume}'."


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
