"""`dbutils` of a task: files, secrets, task values, and parameters as widgets.

Source: docs.databricks.com/dev-tools/databricks-utils. Other utilities raise an error.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, NamedTuple

from .context import HOST, JOB_RUN_ID, PARAMETERS, TASK_RUN_ID, TOKEN
from .errors import ExecutionError
from .fs import FileSystem

MAX_TASK_VALUE_BYTES = 48 * 1024


class SecretScope(NamedTuple):
    name: str

    def getName(self) -> str:
        return self.name


class SecretMetadata(NamedTuple):
    key: str


def _ask(method: str, path: str, **parameters: Any) -> Any:
    """Send a request to the workspace as this task, bypassing proxies."""
    body = None
    if method == "GET":
        path += "?" + urllib.parse.urlencode(parameters)
    else:
        body = json.dumps(parameters).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(HOST + path, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise ExecutionError(json.load(error)["message"]) from None


class Secrets:
    def get(self, scope: str, key: str) -> str:
        return self.getBytes(scope, key).decode()

    def getBytes(self, scope: str, key: str) -> bytes:
        reply = _ask("GET", "/api/2.0/secrets/get", scope=scope, key=key)
        return base64.b64decode(reply["value"])

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        reply = _ask("GET", "/api/2.0/secrets/list", scope=scope)
        return [SecretMetadata(secret["key"]) for secret in reply["secrets"]]

    def listScopes(self) -> Sequence[SecretScope]:
        reply = _ask("GET", "/api/2.0/secrets/scopes/list")
        return [SecretScope(scope["name"]) for scope in reply["scopes"]]


class TaskValues:
    """Task values: what tasks of a run pass to later tasks."""

    def set(self, key: str, value: Any) -> None:
        """Store a JSON value of at most 48 KiB."""
        text = json.dumps(value)
        if len(text) > MAX_TASK_VALUE_BYTES:
            raise ValueError(
                f"The task value '{key}' has {len(text)} bytes as JSON; "
                f"{MAX_TASK_VALUE_BYTES} are the limit."
            )
        _ask("POST", "/lakeflow/task-values", task_run_id=TASK_RUN_ID, key=key, value=text)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:
        """Return the value that a task of this run has set. `debugValue` is for notebooks only.

        Raises:
            ValueError: the task has not set it, and no default was given.
        """
        found = _ask(
            "GET", "/lakeflow/task-values", job_run_id=JOB_RUN_ID, task_key=taskKey, key=key
        )
        if "value" in found:
            return json.loads(found["value"])
        if default is None:
            raise ValueError(f"No task value with key '{key}' was set by the task '{taskKey}'.")
        return default


class Jobs:
    taskValues = TaskValues()


class Widgets:
    """Job parameters by name."""

    def get(self, name: str) -> str:
        if name not in PARAMETERS:
            raise ExecutionError(f"InputWidgetNotDefined: No input widget named {name} is defined")
        return PARAMETERS[name]

    def getArgument(self, name: str, defaultValue: str = "") -> str:
        return PARAMETERS.get(name, defaultValue)

    def getAll(self) -> dict[str, str]:
        return dict(PARAMETERS)

    def text(self, name: str, defaultValue: str, label: str = "") -> None:
        PARAMETERS.setdefault(name, defaultValue)

    def dropdown(
        self, name: str, defaultValue: str, choices: Sequence[str], label: str = ""
    ) -> None:
        self.text(name, defaultValue)

    combobox = multiselect = dropdown

    def remove(self, name: str) -> None:
        PARAMETERS.pop(name, None)

    def removeAll(self) -> None:
        PARAMETERS.clear()


class DBUtils:
    """`dbutils` of a notebook; the argument `spark` is accepted, as on Databricks."""

    fs = FileSystem()
    secrets = Secrets()
    jobs = Jobs()
    widgets = Widgets()

    def __init__(self, spark: object = None) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"The local workspace does not serve dbutils.{name} yet.")
