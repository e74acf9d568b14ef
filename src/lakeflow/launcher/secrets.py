"""The Python API for secrets: `launcher.secrets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    pass


class Secrets(SessionGroup):
    """Secret scopes of runs: `launcher.secrets`."""

    def prune(self, *, older_than_days: float = 7, dry_run: bool = False) -> tuple[str, ...]:
        """Remove scopes whose runs all finished that many days ago; return their names."""
        from lakeflow.resources import secrets

        workspace = self._session.workspace
        found = secrets.expired(workspace, older_than_days)
        return tuple(scope.name for scope in found if dry_run or secrets.remove(workspace, scope))
