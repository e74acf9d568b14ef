"""Users and service principals, each with a token."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, now

OWNER_NUMBER = 1


@dataclass(frozen=True)
class Principal:
    """A user or service principal. `name` is an e-mail address or the service principal's id."""

    number: int
    name: str
    is_admin: bool

    @property
    def kind(self) -> str:
        """Return `user_name` or `service_principal_name`."""
        return kind_of(self.name)

    @property
    def groups(self) -> Sequence[str]:
        return ("users", "admins") if self.is_admin else ("users",)


def kind_of(name: str) -> str:
    """Return the API's field for a name: names with an `@` are users."""
    return "user_name" if "@" in name else "service_principal_name"


class PrincipalRepository:
    """Table `principals`. The case of names does not count."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_owner(self, name: str, token: str) -> None:
        """Add the owner of the workspace, an admin, unless there is one."""
        self._database.execute(
            "INSERT OR IGNORE INTO principals VALUES (?, ?, 1, ?, ?)",
            OWNER_NUMBER,
            name,
            token,
            now(),
        )

    def add(self, name: str, token: str) -> None:
        """Add a principal that is no admin, unless there is one of this name."""
        self._database.execute(
            "INSERT OR IGNORE INTO principals (name, is_admin, token, created) VALUES (?, 0, ?, ?)",
            name,
            token,
            now(),
        )

    def set_admin(self, name: str, is_admin: bool) -> None:
        """Change whether a principal is an admin; the owner stays one."""
        self._database.execute(
            "UPDATE principals SET is_admin = ? WHERE name = ? AND number != ?",
            is_admin,
            name,
            OWNER_NUMBER,
        )

    def token(self, name: str) -> str:
        """Return the token of a principal that exists."""
        (row,) = self._database.rows("SELECT token FROM principals WHERE name = ?", name)
        return str(row["token"])

    def by_name(self, name: str) -> Principal | None:
        return self._find("name = ?", name)

    def by_number(self, number: int) -> Principal | None:
        return self._find("number = ?", number)

    def by_token(self, token: str) -> Principal | None:
        return self._find("token = ?", token)

    def _find(self, condition: str, value: str | int) -> Principal | None:
        row = self._database.row(f"SELECT * FROM principals WHERE {condition}", value)
        return None if row is None else _principal(row)


def _principal(row: sqlite3.Row) -> Principal:
    return Principal(row["number"], row["name"], bool(row["is_admin"]))
