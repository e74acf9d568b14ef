"""Read the secrets of a run through dbutils; they are never passed in parameters."""

from __future__ import annotations

import importlib
from typing import Any

from lakeflow_task.errors import TaskRefused


def read_secrets(scope: str) -> dict[str, str]:
    """Return the secrets of a scope by key. Raises TaskRefused if they cannot be read."""
    dbutils = _dbutils()
    try:
        keys = [secret.key for secret in dbutils.secrets.list(scope)]
        return {key: dbutils.secrets.get(scope, key) for key in keys}
    except Exception as error:  # the platform's exception classes are not public
        raise TaskRefused(
            f"the secret scope {scope} of this run cannot be read: {error}\n"
            "hint: scopes are kept for 7 days after their runs: start a new run. The job's run-as "
            "principal needs READ on the scope."
        ) from None


def _dbutils() -> Any:
    """Return `dbutils` from where databricks-sdk takes it in a runtime (databricks/sdk/runtime)."""
    try:
        runtime = importlib.import_module("dbruntime")
    except ImportError:
        raise TaskRefused(
            "this run has secrets, but there is no dbutils here to read them"
        ) from None
    return runtime.UserNamespaceInitializer.getOrCreate().get_namespace_globals()["dbutils"]
