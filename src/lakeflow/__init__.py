"""lakeflow: from source code to a massively parallel job on Databricks.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lakeflow._version import __version__

if TYPE_CHECKING:
    from lakeflow.errors import LakeflowError, Refused, UsageError, WorkspaceError
    from lakeflow.launcher import Launcher
    from lakeflow.operations.copy import Copied
    from lakeflow.operations.doctor import Finding
    from lakeflow.operations.follow import Interrupted
    from lakeflow.operations.gc import Collectable
    from lakeflow.operations.logs import RunLogs, TaskLog
    from lakeflow.operations.observer import (
        NullObserver,
        OnTransfer,
        OutputSource,
        RunObserver,
        RunPrinter,
    )
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.report import Report, TargetReport, WheelReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.files import Entry
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.run_output import TaskExit
    from lakeflow.resources.runs import Run, State, Task
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.job import JobOptions

__all__ = [
    "Cluster",
    "Collectable",
    "Compute",
    "Copied",
    "Entry",
    "Finding",
    "Interrupted",
    "Job",
    "JobOptions",
    "LakeflowError",
    "Launcher",
    "NullObserver",
    "OnTransfer",
    "OutputFile",
    "OutputSource",
    "Refused",
    "Report",
    "Run",
    "RunLogs",
    "RunObserver",
    "RunPrinter",
    "RunResult",
    "State",
    "TargetReport",
    "Task",
    "TaskExit",
    "TaskLog",
    "UsageError",
    "WheelReport",
    "WorkspaceError",
    "__version__",
]

_HOMES = {
    "Cluster": "lakeflow.resources.clusters",
    "Collectable": "lakeflow.operations.gc",
    "Compute": "lakeflow.specs.compute",
    "Copied": "lakeflow.operations.copy",
    "Entry": "lakeflow.resources.files",
    "Finding": "lakeflow.operations.doctor",
    "Interrupted": "lakeflow.operations.follow",
    "Job": "lakeflow.resources.jobs",
    "LakeflowError": "lakeflow.errors",
    "Launcher": "lakeflow.launcher",
    "JobOptions": "lakeflow.specs.job",
    "NullObserver": "lakeflow.operations.observer",
    "OnTransfer": "lakeflow.operations.observer",
    "OutputFile": "lakeflow.operations.outputs",
    "OutputSource": "lakeflow.operations.observer",
    "Refused": "lakeflow.errors",
    "Report": "lakeflow.operations.report",
    "Run": "lakeflow.resources.runs",
    "RunLogs": "lakeflow.operations.logs",
    "RunObserver": "lakeflow.operations.observer",
    "RunPrinter": "lakeflow.operations.observer",
    "RunResult": "lakeflow.resources.run_now",
    "State": "lakeflow.resources.runs",
    "TargetReport": "lakeflow.operations.report",
    "Task": "lakeflow.resources.runs",
    "TaskExit": "lakeflow.resources.run_output",
    "TaskLog": "lakeflow.operations.logs",
    "UsageError": "lakeflow.errors",
    "WheelReport": "lakeflow.operations.report",
    "WorkspaceError": "lakeflow.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
