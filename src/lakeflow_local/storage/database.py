"""Connection to the SQLite database of a workspace; every write is durable before the response."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lakeflow_local.errors import WorkspaceError
from lakeflow_local.storage.schema import SCHEMAS

Value = int | str | bytes | None


def now() -> int:
    """Milliseconds since 1970, the unit of every time in the API."""
    return time.time_ns() // 1_000_000


def to_json(value: object) -> str:
    """Canonical JSON: equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Database:
    """One connection, shared by the threads of the server, one at a time.

    WAL with `synchronous=FULL`: a committed transaction survives a killed process and a machine
    without power (https://sqlite.org/pragma.html#pragma_synchronous).
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self.transaction():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(SCHEMAS):
                raise WorkspaceError(
                    f"{path} was written by a newer lakeflow: use that version.\n"
                    "hint: `lakeflow local reset` deletes it and starts with an empty workspace."
                )
            for script in SCHEMAS[version:]:
                for statement in script.split(";\n"):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(SCHEMAS)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the block, or none. An inner transaction joins the outer one."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have rolled it back already
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep writers out while the block reads."""
        with self._lock:
            yield

    def rows(self, query: str, *values: Value) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Value) -> sqlite3.Row | None:
        rows = self.rows(query, *values)
        return rows[0] if rows else None

    def number(self, query: str, *values: Value) -> int | None:
        """Return the first column of the first row."""
        row = self.row(query, *values)
        return None if row is None or row[0] is None else int(row[0])

    def count(self, query: str, *values: Value) -> int:
        return self.number(query, *values) or 0

    def numbers(self, query: str, *values: Value) -> list[int]:
        """Return the first column of all rows."""
        return [int(row[0]) for row in self.rows(query, *values)]

    def execute(self, statement: str, *values: Value) -> int:
        """Run one statement that writes; return how many rows it has changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def execute_many(self, statement: str, values: Sequence[Sequence[Value]]) -> None:
        with self.transaction():
            self._connection.executemany(statement, values)

    def next_id(self, sequence: str) -> int:
        """Return 1, 2, 3, ... and no id twice; ids stay below 2**53, as JavaScript needs."""
        (row,) = self.rows(
            "INSERT INTO sequences VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
            sequence,
        )
        return int(row[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()
