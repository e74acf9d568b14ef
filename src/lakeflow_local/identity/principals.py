"""Principals: the users and service principals of a workspace, each with a token.

As on Databricks everybody is in the group `users`, and `admins` may do everything. The owner of the
workspace is an admin; `lakeflow local token NAME` creates the others.
"""

from __future__ import annotations

import secrets

from lakeflow_local.storage.principal_repository import Principal, kind_of
from lakeflow_local.storage.repositories import Storage

__all__ = ["EVERYBODY", "Principal", "Principals", "kind_of"]

EVERYBODY = ("users", "account users")
"""Groups that everybody is in: the workspace's, and the account's, which volumes know."""


class Principals:
    """Finds and creates principals. The case of names does not count."""

    def __init__(self, storage: Storage, owner: str) -> None:
        self._storage = storage
        self._storage.principals.add_owner(owner, _new_token())
        self.owner = self.by_name(owner) or Principal(1, owner, True)

    def by_name(self, name: str) -> Principal | None:
        return self._storage.principals.by_name(name)

    def by_name_or_owner(self, name: str | None) -> Principal:
        """Return a principal; the owner if there is no name, or no principal has it any more."""
        return (self.by_name(name) if name else None) or self.owner

    def by_number(self, number: int) -> Principal | None:
        return self._storage.principals.by_number(number)

    def by_token(self, token: str) -> Principal | None:
        return self._storage.principals.by_token(token)

    def token_for(self, name: str, *, is_admin: bool | None = None) -> str:
        """Return the token of a principal, who is created if necessary.

        `is_admin` changes whether it is an admin; None leaves it, and is no for a new principal.
        """
        with self._storage.transaction():
            self._storage.principals.add(name, _new_token())
            if is_admin is not None:
                self._storage.principals.set_admin(name, is_admin)
            return self._storage.principals.token(name)


def _new_token() -> str:
    return secrets.token_hex(24)
