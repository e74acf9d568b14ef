"""lakeflow: from source code to a massively parallel job on Databricks.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeflow.clusters import Cluster
    from lakeflow.compute import Compute
    from lakeflow.console import Console
    from lakeflow.copying import Copied
    from lakeflow.doctor import Finding
    from lakeflow.errors import LakeflowError, Refused, UsageError, WorkspaceError
    from lakeflow.files import Entry
    from lakeflow.following import Interrupted
    from lakeflow.gc import Collectable
    from lakeflow.job_options import Options
    from lakeflow.jobs import Job
    from lakeflow.launcher import Launcher
    from lakeflow.outputs import OutputFile
    from lakeflow.report import Report, TargetReport, WheelReport
    from lakeflow.run_logs import RunLogs, TaskLog
    from lakeflow.runs import Run, State, Task
    from lakeflow.triggers import RunResult

__version__ = "0.1.0"

__all__ = [
    "Cluster",
    "Collectable",
    "Compute",
    "Console",
    "Copied",
    "Entry",
    "Finding",
    "Interrupted",
    "Job",
    "LakeflowError",
    "Launcher",
    "Options",
    "OutputFile",
    "Refused",
    "Report",
    "Run",
    "RunLogs",
    "RunResult",
    "State",
    "TargetReport",
    "Task",
    "TaskLog",
    "UsageError",
    "WheelReport",
    "WorkspaceError",
    "__version__",
]

_HOMES = {
    "Cluster": "lakeflow.clusters",
    "Collectable": "lakeflow.gc",
    "Compute": "lakeflow.compute",
    "Console": "lakeflow.console",
    "Copied": "lakeflow.copying",
    "Entry": "lakeflow.files",
    "Finding": "lakeflow.doctor",
    "Interrupted": "lakeflow.following",
    "Job": "lakeflow.jobs",
    "LakeflowError": "lakeflow.errors",
    "Launcher": "lakeflow.launcher",
    "Options": "lakeflow.job_options",
    "OutputFile": "lakeflow.outputs",
    "Refused": "lakeflow.errors",
    "Report": "lakeflow.report",
    "Run": "lakeflow.runs",
    "RunLogs": "lakeflow.run_logs",
    "RunResult": "lakeflow.triggers",
    "State": "lakeflow.runs",
    "TargetReport": "lakeflow.report",
    "Task": "lakeflow.runs",
    "TaskLog": "lakeflow.run_logs",
    "UsageError": "lakeflow.errors",
    "WheelReport": "lakeflow.report",
    "WorkspaceError": "lakeflow.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
