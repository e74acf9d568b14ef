"""What principals may do, from the permissions granted on jobs, clusters, folders and volumes.

Admins may do everything. What each level allows: docs.databricks.com/security/auth/access-control
/security/secrets and /data-governance/unity-catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lakeflow_local.identity.principals import EVERYBODY, Principal, Principals
from lakeflow_local.storage.permission_repository import Grant, Viewer
from lakeflow_local.storage.repositories import Storage

LEVELS: Mapping[str, Mapping[str, int]] = {
    "jobs": {"CAN_VIEW": 1, "CAN_MANAGE_RUN": 2, "IS_OWNER": 3, "CAN_MANAGE": 3},
    "clusters": {"CAN_ATTACH_TO": 1, "CAN_RESTART": 2, "CAN_MANAGE": 3},
    "directories": {"CAN_READ": 1, "CAN_RUN": 2, "CAN_EDIT": 3, "CAN_MANAGE": 4},
    "secrets": {"READ": 1, "WRITE": 2, "MANAGE": 3},
}
"""The rank of each permission level; a higher one includes the lower ones. 0 is no permission."""

PRIVILEGES = ("READ_VOLUME", "WRITE_VOLUME", "MANAGE", "APPLY_TAG", "ALL_PRIVILEGES")
EVERYTHING = 9
"""The rank of admins."""


class Permissions:
    """Looks up what principals may do. Levels are ranks of `LEVELS`."""

    def __init__(self, storage: Storage, principals: Principals) -> None:
        self._storage = storage
        self.principals = principals

    def on_job(self, principal: Principal, job_id: int) -> int:
        """Return the level on a job, or on a run that was submitted without one, by its job id."""
        return self._level(principal, "jobs", str(job_id))

    def on_cluster(self, principal: Principal, cluster_id: str) -> int:
        """Return the level on a cluster; who may view a job may view its job clusters."""
        level = self._level(principal, "clusters", cluster_id)
        if level:
            return level
        job_id = self._storage.clusters.job_of(cluster_id)
        return 0 if job_id is None else min(1, self.on_job(principal, job_id))

    def on_folder(self, principal: Principal, path: str) -> int:
        """Return the level on a workspace file or folder, such as `/Users/<name>/x`.

        Permissions on a folder hold for all that is in it. Principals may do everything in their
        home folder and in `/Shared`.
        """
        names = [name for name in path.split("/") if name not in ("", ".")]
        highest = LEVELS["directories"]["CAN_MANAGE"]
        if principal.is_admin or names[:1] == ["Shared"]:
            return highest
        if names[:1] == ["Users"] and len(names) > 1 and _is_same(names[1], principal.name):
            return highest
        level = 1 if names in ([], ["Users"]) else 0
        for end in range(1, len(names) + 1):
            folder = "/" + "/".join(names[:end])
            level = max(level, self._level(principal, "directories", folder))
        return level

    def on_secrets(self, principal: Principal, scope: str) -> int:
        """Return the level on a secret scope."""
        if principal.is_admin:
            return EVERYTHING
        return max(
            (
                LEVELS["secrets"][acl.permission]
                for acl in self._storage.secrets.acls(scope)
                if acl.principal in EVERYBODY or _is_same(acl.principal, principal.name)
            ),
            default=0,
        )

    def on_volume(self, principal: Principal, full_name: str) -> Collection[str]:
        """Return the privileges on a volume, `catalog.schema.volume`."""
        if principal.is_admin:
            return PRIVILEGES
        volume = self._storage.volumes.get(full_name)
        if volume is not None and _is_same(volume.owner or "", principal.name):
            return PRIVILEGES
        granted = {
            privilege
            for levels in self._granted(principal, "volumes", full_name)
            for privilege in levels.split(",")
        }
        return PRIVILEGES if "ALL_PRIVILEGES" in granted else granted

    def why_unreadable(self, principal: Principal, path: str) -> str | None:
        """Return why a principal may not read a file; None if it may. DBFS is open to everybody.

        Libraries may be named as `dbfs:/Volumes/...` too.
        """
        path = path.removeprefix("dbfs:") if path.startswith("dbfs:/Volumes/") else path
        names = [name for name in path.split("/") if name]
        if names[:1] == ["Volumes"] and len(names) > 3:
            volume = ".".join(names[1:4])
            if "READ_VOLUME" not in self.on_volume(principal, volume):
                return no_privilege("READ_VOLUME", volume)
        elif names[:1] == ["Workspace"] and not self.on_folder(
            principal, "/" + "/".join(names[1:])
        ):
            return no_permission(principal, "View", path)
        return None

    def viewer(self, principal: Principal) -> Viewer | None:
        """Return who lists of jobs and runs are limited to; None for admins, who see them all."""
        return None if principal.is_admin else Viewer(principal.name, EVERYBODY)

    def _level(self, principal: Principal, kind: str, object_id: str) -> int:
        if principal.is_admin:
            return EVERYTHING
        granted = self._granted(principal, kind, object_id)
        return max((LEVELS[kind][level] for level in granted), default=0)

    def _granted(self, principal: Principal, kind: str, object_id: str) -> list[str]:
        entries = self._storage.permissions.list(kind, object_id)
        return [grant.level for grant in entries if _includes(grant, principal)]


def no_permission(principal: Principal, what: str, name: str) -> str:
    return (
        f"{principal.name} does not have {what} permissions on {name}. Please contact the owner or"
        " an administrator for access."
    )


def no_privilege(privilege: str, volume: str) -> str:
    return f"User does not have {privilege.replace('_', ' ')} on Volume '{volume}'."


def _includes(grant: Grant, principal: Principal) -> bool:
    if grant.kind == "group_name":
        return grant.principal in EVERYBODY
    return _is_same(grant.principal, principal.name)


def _is_same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
