"""Handles of files that DBFS clients are writing block by block."""

from __future__ import annotations

from dataclasses import dataclass

from lakeflow_local.storage.database import Database


@dataclass(frozen=True)
class DbfsHandle:
    """`path` is where the file goes, `draft` the name of the file that receives the blocks."""

    path: str
    draft: str


class DbfsHandleRepository:
    """Table `dbfs_handles`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, path: str, draft: str) -> int:
        with self._database.transaction():
            handle = self._database.next_id("dbfs handles")
            self._database.execute("INSERT INTO dbfs_handles VALUES (?, ?, ?)", handle, path, draft)
        return handle

    def get(self, handle: int) -> DbfsHandle | None:
        row = self._database.row("SELECT * FROM dbfs_handles WHERE handle = ?", handle)
        return None if row is None else DbfsHandle(row["path"], row["draft"])

    def delete(self, handle: int) -> None:
        self._database.execute("DELETE FROM dbfs_handles WHERE handle = ?", handle)

    def delete_all(self) -> None:
        self._database.execute("DELETE FROM dbfs_handles")
