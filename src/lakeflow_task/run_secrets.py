"""Read the secrets of a run through dbutils; they are never passed in parameters.

No place of `dbutils` works everywhere: in standard access mode and on serverless, whose tasks are
clients of Spark Connect, the notebook's namespace raises CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT, and
serverless environments 5 and 6 have no Py4J gateway.
Source: databricks-sdk (databricks/sdk/runtime), documentation of serverless environment version 6.
"""

from __future__ import annotations

import importlib
from typing import Any

from lakeflow_task.errors import TaskRefused


def read_secrets(scope: str) -> dict[str, str]:
    """Return the secrets of a scope by key. Raises TaskRefused if they cannot be read."""
    missing: list[str] = []
    refusals: list[str] = []
    for find in (_of_namespace, _of_ipython, _of_sdk):
        try:
            dbutils = find()
        except Exception as error:  # the platform's exception classes are not public
            missing.append(_line(error))
            continue
        try:
            keys = [secret.key for secret in dbutils.secrets.list(scope)]
            return {key: dbutils.secrets.get(scope, key) for key in keys}
        except Exception as error:
            refusals.append(_line(error))
    if not refusals:
        raise TaskRefused(
            "this run has secrets, but there is no dbutils here to read them: "
            + "; ".join(dict.fromkeys(missing))
        ) from None
    raise TaskRefused(
        f"the secret scope {scope} of this run cannot be read: "
        + "; ".join(dict.fromkeys(refusals + missing))
        + "\nhint: scopes are kept for 7 days after their runs: start a new run. The job's run-as "
        "principal needs READ on the scope."
    ) from None


def _of_namespace() -> Any:
    """Return `dbutils` from where databricks-sdk takes it in a runtime (databricks/sdk/runtime)."""
    runtime = importlib.import_module("dbruntime")
    return runtime.UserNamespaceInitializer.getOrCreate().get_namespace_globals()["dbutils"]


def _of_ipython() -> Any:
    """Return the `dbutils` of the IPython shell that a task runs in."""
    shell = importlib.import_module("IPython").get_ipython()
    if shell is None or "dbutils" not in shell.user_ns:
        raise LookupError("IPython has no dbutils")
    return shell.user_ns["dbutils"]


def _of_sdk() -> Any:
    """Return the `dbutils` of databricks-sdk, which sends requests to the workspace."""
    return importlib.import_module("databricks.sdk.dbutils").RemoteDbUtils()


def _line(error: Exception) -> str:
    """Return the first line of an error, without the SDK's configuration."""
    text = str(error).strip().partition("\n")[0].partition(". Config: ")[0]
    return text or type(error).__name__
