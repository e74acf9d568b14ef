"""lakeflow: from source code to a massively parallel job on Databricks.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeflow.errors import LakeflowError, Refused, UsageError, WorkspaceError
    from lakeflow.launcher import Launcher
    from lakeflow.report import Report
    from lakeflow.triggers import RunResult

__version__ = "0.1.0"

__all__ = [
    "LakeflowError",
    "Launcher",
    "Refused",
    "Report",
    "RunResult",
    "UsageError",
    "WorkspaceError",
    "__version__",
]

_HOMES = {
    "LakeflowError": "lakeflow.errors",
    "Launcher": "lakeflow.launcher",
    "Refused": "lakeflow.errors",
    "Report": "lakeflow.report",
    "RunResult": "lakeflow.triggers",
    "UsageError": "lakeflow.errors",
    "WorkspaceError": "lakeflow.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
