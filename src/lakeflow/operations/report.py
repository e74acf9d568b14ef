"""The report of a deploy: what was asked, what is there now, and how the runs ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lakeflow.errors import LakeflowError
from lakeflow.resources.run_now import RunResult

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
    """A target and its job; what is not known (in a dry run, after an error) is None."""

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
class TargetPlan:
    """What a deploy is about to do for a target: its steps, and a diff of the job's settings.

    Equal plans do the same; how busy or asleep a cluster is at the moment is not part of it.
    """

    address: str
    job_name: str
    steps: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """`status`: planned (dry run), deployed (nothing run), running, succeeded or failed."""

    workspace: str
    targets: tuple[TargetReport, ...]

    @property
    def status(self) -> str:
        """The status of the whole: the worst of its targets."""
        order = ("failed", "running", "succeeded", "deployed", "planned")
        return min((t.status for t in self.targets), key=order.index)

    def as_dict(self) -> dict[str, object]:
        """The report as JSON holds it (docs/architecture.md)."""
        targets = [asdict(target) for target in self.targets]
        return {
            "schema": SCHEMA,
            "workspace": self.workspace,
            "status": self.status,
            "targets": targets,
        }


def write_report(report: Report, path: Path) -> None:
    """Write the report whole or not at all. Raises LakeflowError where it can't be written."""
    text = json.dumps(report.as_dict(), indent=1) + "\n"
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(text, encoding="utf-8")
        hidden.replace(path)
    except OSError as error:
        raise LakeflowError(f"cannot write the report {path}: {error.strerror}") from error
