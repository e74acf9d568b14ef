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
    from lakeflow.operations.changes import Change, Resource
    from lakeflow.operations.clusters import ClusterPlan
    from lakeflow.operations.copy import Copied
    from lakeflow.operations.doctor import Finding
    from lakeflow.operations.follow import Interrupted
    from lakeflow.operations.gc import CollectionPlan, UnusedWheel
    from lakeflow.operations.logs import RunLogs, TaskLog
    from lakeflow.operations.observer import (
        NullObserver,
        OnTransfer,
        OutputSource,
        RunObserver,
        RunPrinter,
    )
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.plan import DeployPlan
    from lakeflow.operations.remote_files import FileRemovalPlan
    from lakeflow.operations.report import Report, TargetReport, WheelReport
    from lakeflow.resources.clusters import Cluster
    from lakeflow.resources.files import Entry
    from lakeflow.resources.jobs import Job
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.run_output import TaskExit
    from lakeflow.resources.runs import Run, State, Task
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.deploy import DeployRequest
    from lakeflow.specs.job import JobOptions

__all__ = [
    "Change",
    "Cluster",
    "ClusterPlan",
    "CollectionPlan",
    "Compute",
    "Copied",
    "DeployPlan",
    "DeployRequest",
    "Entry",
    "FileRemovalPlan",
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
    "Resource",
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
    "UnusedWheel",
    "UsageError",
    "WheelReport",
    "WorkspaceError",
    "__version__",
]

_HOMES = {
    "Change": "lakeflow.operations.changes",
    "Cluster": "lakeflow.resources.clusters",
    "ClusterPlan": "lakeflow.operations.clusters",
    "CollectionPlan": "lakeflow.operations.gc",
    "Compute": "lakeflow.specs.compute",
    "Copied": "lakeflow.operations.copy",
    "DeployPlan": "lakeflow.operations.plan",
    "DeployRequest": "lakeflow.specs.deploy",
    "Entry": "lakeflow.resources.files",
    "FileRemovalPlan": "lakeflow.operations.remote_files",
    "Finding": "lakeflow.operations.doctor",
    "Interrupted": "lakeflow.operations.follow",
    "Job": "lakeflow.resources.jobs",
    "JobOptions": "lakeflow.specs.job",
    "LakeflowError": "lakeflow.errors",
    "Launcher": "lakeflow.launcher",
    "NullObserver": "lakeflow.operations.observer",
    "OnTransfer": "lakeflow.operations.observer",
    "OutputFile": "lakeflow.operations.outputs",
    "OutputSource": "lakeflow.operations.observer",
    "Refused": "lakeflow.errors",
    "Report": "lakeflow.operations.report",
    "Resource": "lakeflow.operations.changes",
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
    "UnusedWheel": "lakeflow.operations.gc",
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
