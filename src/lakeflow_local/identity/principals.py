"""Who there is in the workspace: users and service principals, each with a token of its own.

As on Databricks everybody is in the group `users`, and `admins` may do everything. The first user,
whose workspace it is, is an admin; the others are made by `lakeflow local token NAME`.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, now

MAX_NAME_LENGTH = 255
EVERYBODY = ("users", "account users")
"""Groups that everybody is in: the workspace's, and the one that volumes know."""


@dataclass(frozen=True)
class Principal:
    """Somebody who may ask. `name` is a user's e-mail address or a service principal's id."""

    number: int
    name: str
    is_admin: bool

    @property
    def kind(self) -> str:
        """What the API calls a name like this one: names with an `@` are users'."""
        return kind_of(self.name)

    @property
    def groups(self) -> Sequence[str]:
        return ("users", "admins") if self.is_admin else ("users",)


def kind_of(name: str) -> str:
    return "user_name" if "@" in name else "service_principal_name"


class Principals:
    """The workspace's principals. `first` is whose workspace it is."""

    def __init__(self, store: Database, first: str) -> None:
        self._store = store
        with store.transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO principals VALUES (1, ?, 1, ?, ?)",
                (first, secrets.token_hex(24), now()),
            )
        self.first = self.by_name(first) or Principal(1, first, True)

    def by_name(self, name: str) -> Principal | None:
        """Names are the same whatever their case."""
        row = self._store.row("SELECT * FROM principals WHERE name = ?", name)
        return None if row is None else _principal(row)

    def by_number(self, number: int) -> Principal | None:
        row = self._store.row("SELECT * FROM principals WHERE number = ?", number)
        return None if row is None else _principal(row)

    def by_token(self, token: str) -> Principal | None:
        row = self._store.row("SELECT * FROM principals WHERE token = ?", token)
        return None if row is None else _principal(row)

    def all(self) -> list[Principal]:
        return [
            _principal(row) for row in self._store.rows("SELECT * FROM principals ORDER BY number")
        ]

    def token_for(self, name: str, *, is_admin: bool | None = None) -> str:
        """The token of a principal, who is made where there is none of that name.

        `is_admin` changes whether somebody is one; None leaves it, and is no for somebody new.
        """
        with self._store.transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO principals (name, is_admin, token, created)"
                " VALUES (?, 0, ?, ?)",
                (name, secrets.token_hex(24), now()),
            )
            if is_admin is not None:
                database.execute(
                    "UPDATE principals SET is_admin = ? WHERE name = ? AND number != 1",
                    (is_admin, name),
                )
            row = database.execute(
                "SELECT token FROM principals WHERE name = ?", (name,)
            ).fetchone()
            return str(row["token"])


def _principal(row: sqlite3.Row) -> Principal:
    return Principal(row["number"], row["name"], bool(row["is_admin"]))
