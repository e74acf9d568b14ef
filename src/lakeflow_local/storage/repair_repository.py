"""Repair history of job runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_local.storage.database import Database
from lakeflow_local.storage.outcomes import Outcome, outcome_of
from lakeflow_local.storage.run_repository import JobRun


@dataclass(frozen=True)
class Repair:
    """One entry of a run's repair history; `type` is REPAIR, or ORIGINAL for the first attempt."""

    repair_id: int
    type: str
    phase: str
    outcome: Outcome | None
    created: int
    finished: int | None


class RepairRepository:
    """Table `repairs`; repairs take their ids from the same sequence as runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: JobRun, phase: str, moment: int) -> int:
        """Add a repair of a finished run; return its id.

        With the first repair the original run gets an entry too.
        """
        with self._database.transaction():
            if run.outcome is not None and not self._database.row(
                "SELECT 1 FROM repairs WHERE job_run_id = ?", run.run_id
            ):
                self._add(run.run_id, "ORIGINAL", run.phase, run.created)
                self.finish(run.run_id, run.outcome, run.finished or moment)
            return self._add(run.run_id, "REPAIR", phase, moment)

    def finish(self, run_id: int, outcome: Outcome, moment: int) -> None:
        """Store how the last repair of a run finished, if it has any."""
        self._database.execute(
            "UPDATE repairs SET phase = ?, result = ?, code = ?, code_type = ?, message = ?,"
            " ended = ? WHERE job_run_id = ? AND ended IS NULL",
            *outcome.columns,
            moment,
            run_id,
        )

    def list(self, run_id: int) -> Sequence[Repair]:
        """Return the repair history, oldest first; empty unless the run was repaired."""
        rows = self._database.rows(
            "SELECT * FROM repairs WHERE job_run_id = ? ORDER BY repair_id", run_id
        )
        return [
            Repair(
                row["repair_id"],
                row["type"],
                row["phase"],
                outcome_of(row),
                row["created"],
                row["ended"],
            )
            for row in rows
        ]

    def latest_id(self, run_id: int) -> int | None:
        return self._database.number(
            "SELECT max(repair_id) FROM repairs WHERE job_run_id = ? AND type = 'REPAIR'", run_id
        )

    def count(self, run_id: int) -> int:
        return self._database.count(
            "SELECT count(*) FROM repairs WHERE job_run_id = ? AND type = 'REPAIR'", run_id
        )

    def _add(self, run_id: int, type: str, phase: str, created: int) -> int:
        repair_id = self._database.next_id("runs")
        self._database.execute(
            "INSERT INTO repairs (repair_id, job_run_id, type, phase, created)"
            " VALUES (?, ?, ?, ?, ?)",
            repair_id,
            run_id,
            type,
            phase,
            created,
        )
        return repair_id
