"""The report of a deploy: its wheels, jobs and runs, as data and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lakeflow.errors import LakeflowError
from lakeflow.resources.run_now import RunResult
from lakeflow.state import atomic

SCHEMA = 1


@dataclass(frozen=True)
class WheelReport:
    """A wheel of a job: `sha256` of the file as built, `path` of the stamped one in the store."""

    distribution: str
    version: str
    stamped_version: str
    sha256: str
    path: str
    uploaded_bytes: int


@dataclass(frozen=True)
class TargetReport:
    """A target and its job; values that are unknown after a plan or an error are None."""

    address: str
    job_id: int | None
    job_name: str
    job_url: str | None
    cluster_id: str | None
    status: str
    error: str | None
    wheels: tuple[WheelReport, ...]
    runs: tuple[RunResult, ...]


@dataclass(frozen=True)
class Report:
    """What a deploy did; `status` is planned, deployed (no runs), running, succeeded or failed."""

    workspace: str
    targets: tuple[TargetReport, ...]

    @property
    def status(self) -> str:
        """The worst status of the targets."""
        order = ("failed", "running", "succeeded", "deployed", "planned")
        return min((t.status for t in self.targets), key=order.index, default="deployed")

    def as_dict(self) -> dict[str, object]:
        """Return the report as a JSON value (docs/architecture.md)."""
        targets = [asdict(target) for target in self.targets]
        return {
            "schema": SCHEMA,
            "workspace": self.workspace,
            "status": self.status,
            "targets": targets,
        }


def write_report(report: Report, path: Path) -> None:
    """Write the report atomically. Raises LakeflowError if that fails."""
    text = json.dumps(report.as_dict(), indent=1) + "\n"
    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise LakeflowError(f"cannot write the report {path}: {error.strerror}") from error
