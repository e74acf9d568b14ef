"""The secrets of a run: read through dbutils, never handed over in parameters."""

from __future__ import annotations

import importlib
from typing import Any

from lakeflow_task.errors import TaskRefused


def secrets_of(scope: str) -> dict[str, str]:
    """The secrets of a scope by their keys. Raises TaskRefused where they cannot be read."""
    found = _dbutils()
    try:
        keys = [secret.key for secret in found.secrets.list(scope)]
        return {key: found.secrets.get(scope, key) for key in keys}
    except Exception as error:  # whatever the platform's own class is
        raise TaskRefused(
            f"the secret scope {scope} of this run cannot be read: {error}. It is kept for 7 days "
            "after its runs: start a new run. Who the job runs as needs READ on it."
        ) from None


def _dbutils() -> Any:
    """`dbutils`, from where databricks-sdk takes it in a runtime (databricks/sdk/runtime)."""
    try:
        runtime = importlib.import_module("dbruntime")
    except ImportError:
        raise TaskRefused(
            "this run has secrets, and there is no dbutils here to read them with"
        ) from None
    return runtime.UserNamespaceInitializer.getOrCreate().get_namespace_globals()["dbutils"]
