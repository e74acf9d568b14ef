"""Volumes of Unity Catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database, now

IS_NAMED = "catalog = ? AND schema = ? AND name = ?"


@dataclass(frozen=True)
class Volume:
    """`owner` is None for volumes of the workspace's owner from before there were others."""

    catalog: str
    schema: str
    name: str
    owner: str | None
    created: int

    @property
    def full_name(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


class VolumeRepository:
    """Table `volumes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, catalog: str, schema: str, name: str, *, owner: str) -> bool:
        """Create a volume; return False if one of this name exists."""
        created = self._database.execute(
            "INSERT OR IGNORE INTO volumes (catalog, schema, name, created, owner)"
            " VALUES (?, ?, ?, ?, ?)",
            catalog,
            schema,
            name,
            now(),
            owner,
        )
        return created == 1

    def get(self, full_name: str) -> Volume | None:
        """Return a volume by `catalog.schema.name`."""
        names = full_name.split(".")
        if len(names) != 3:
            return None
        row = self._database.row(f"SELECT * FROM volumes WHERE {IS_NAMED}", *names)
        return None if row is None else _volume(row)

    def list(self, catalog: str, schema: str) -> Sequence[Volume]:
        rows = self._database.rows(
            "SELECT * FROM volumes WHERE catalog = ? AND schema = ? ORDER BY name", catalog, schema
        )
        return [_volume(row) for row in rows]

    def delete(self, volume: Volume) -> None:
        self._database.execute(
            f"DELETE FROM volumes WHERE {IS_NAMED}", volume.catalog, volume.schema, volume.name
        )


def _volume(row: sqlite3.Row) -> Volume:
    return Volume(row["catalog"], row["schema"], row["name"], row["owner"], row["created"])
