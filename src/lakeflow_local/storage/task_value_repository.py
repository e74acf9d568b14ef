"""Task values, which tasks of a run pass to later tasks."""

from __future__ import annotations

from lakeflow_local.storage.database import Database


class TaskValueRepository:
    """Table `task_values`. Values are JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, run_id: int) -> dict[str, str]:
        """Return the task values that a task run has set, as JSON."""
        rows = self._database.rows(
            "SELECT key, value FROM task_values WHERE task_run_id = ?", run_id
        )
        return {row["key"]: row["value"] for row in rows}

    def get(self, run_id: int, key: str) -> str | None:
        """Return one task value as JSON."""
        row = self._database.row(
            "SELECT value FROM task_values WHERE task_run_id = ? AND key = ?", run_id, key
        )
        return None if row is None else str(row["value"])

    def put(self, run_id: int, key: str, value: str) -> None:
        """Store a task value, JSON, of a task run that exists."""
        self._database.execute(
            "INSERT OR REPLACE INTO task_values"
            " SELECT run_id, ?, ? FROM task_runs WHERE run_id = ?",
            key,
            value,
            run_id,
        )
