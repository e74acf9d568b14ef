"""Secret scopes, their secrets and access control lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, now


@dataclass(frozen=True)
class Secret:
    key: str
    value: bytes


@dataclass(frozen=True)
class SecretMetadata:
    """A secret without its value; `updated` in ms since 1970."""

    key: str
    updated: int


@dataclass(frozen=True)
class SecretAcl:
    """`permission` is READ, WRITE or MANAGE; `principal` a name, an id or a group."""

    principal: str
    permission: str


class SecretRepository:
    """Tables `secret_scopes`, `secrets` and `secret_acls`. The case of keys does not count."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_scope(self, scope: str, manager: str) -> None:
        """Create a scope with one principal that has MANAGE on it."""
        with self._database.transaction():
            self._database.execute("INSERT INTO secret_scopes VALUES (?)", scope)
            self._database.execute(
                "INSERT INTO secret_acls VALUES (?, ?, 'MANAGE')", scope, manager
            )

    def has_scope(self, scope: str) -> bool:
        return self._database.row("SELECT 1 FROM secret_scopes WHERE name = ?", scope) is not None

    def scopes(self) -> Sequence[str]:
        rows = self._database.rows("SELECT name FROM secret_scopes ORDER BY name")
        return [row["name"] for row in rows]

    def delete_scope(self, scope: str) -> None:
        self._database.execute("DELETE FROM secret_scopes WHERE name = ?", scope)

    def put(self, scope: str, key: str, value: bytes) -> None:
        self._database.execute(
            "INSERT INTO secrets VALUES (?, ?, ?, ?) ON CONFLICT (scope, key)"
            " DO UPDATE SET value = excluded.value, updated = excluded.updated",
            scope,
            key,
            value,
            now(),
        )

    def get(self, scope: str, key: str) -> Secret | None:
        row = self._database.row(
            "SELECT key, value FROM secrets WHERE scope = ? AND key = ?", scope, key
        )
        return None if row is None else Secret(row["key"], row["value"])

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        rows = self._database.rows(
            "SELECT key, updated FROM secrets WHERE scope = ? ORDER BY key", scope
        )
        return [SecretMetadata(row["key"], row["updated"]) for row in rows]

    def count_others(self, scope: str, key: str) -> int:
        """Return how many secrets of a scope have another key."""
        return self._database.count(
            "SELECT count(*) FROM secrets WHERE scope = ? AND key != ?", scope, key
        )

    def delete(self, scope: str, key: str) -> bool:
        """Delete a secret; return False if it does not exist."""
        return bool(
            self._database.execute("DELETE FROM secrets WHERE scope = ? AND key = ?", scope, key)
        )

    def put_acl(self, scope: str, acl: SecretAcl) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO secret_acls VALUES (?, ?, ?)",
            scope,
            acl.principal,
            acl.permission,
        )

    def acls(self, scope: str) -> Sequence[SecretAcl]:
        rows = self._database.rows(
            "SELECT principal, permission FROM secret_acls WHERE scope = ? ORDER BY principal",
            scope,
        )
        return [SecretAcl(row["principal"], row["permission"]) for row in rows]

    def delete_acl(self, scope: str, principal: str) -> bool:
        """Delete an entry of the access control list; return False if it does not exist."""
        return bool(
            self._database.execute(
                "DELETE FROM secret_acls WHERE scope = ? AND principal = ?", scope, principal
            )
        )
