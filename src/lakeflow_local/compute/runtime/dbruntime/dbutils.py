"""`dbutils` of a task: files, secrets, task values, and parameters as widgets.

Source: docs.databricks.com/dev-tools/databricks-utils. Its other parts are refused by name.
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
    """Ask the workspace, as this task, past any proxy."""
    body = None
    if method == "GET":
        path += "?" + urllib.parse.urlencode(parameters)
    else:
        body = json.dumps(parameters).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(HOST + path, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ExecutionError(json.load(error)["message"]) from None


class Secrets:
    def get(self, scope: str, key: str) -> str:
        return self.getBytes(scope, key).decode()

    def getBytes(self, scope: str, key: str) -> bytes:
        answer = _ask("GET", "/api/2.0/secrets/get", scope=scope, key=key)
        return base64.b64decode(answer["value"])

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        answer = _ask("GET", "/api/2.0/secrets/list", scope=scope)
        return [SecretMetadata(secret["key"]) for secret in answer["secrets"]]

    def listScopes(self) -> Sequence[SecretScope]:
        answer = _ask("GET", "/api/2.0/secrets/scopes/list")
        return [SecretScope(scope["name"]) for scope in answer["scopes"]]


class TaskValues:
    """Values that tasks of one run leave for those after them."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value that JSON can hold, of at most 48 KiB as JSON."""
        text = json.dumps(value)
        if len(text) > MAX_TASK_VALUE_BYTES:
            raise ValueError(
                f"The task value '{key}' has {len(text)} bytes as JSON; "
                f"{MAX_TASK_VALUE_BYTES} are the limit."
            )
        _ask("POST", "/lakeflow/task-values", task_run_id=TASK_RUN_ID, key=key, value=text)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:
        """What a task of this run has set. `debugValue` is for notebooks outside of jobs.

        Raises:
            ValueError: it has set no such value, and there is no default.
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
    """A job's parameters by their names."""

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
    """What `dbutils` is in a notebook; `spark` is taken as Databricks' own class takes it."""

    fs = FileSystem()
    secrets = Secrets()
    jobs = Jobs()
    widgets = Widgets()

    def __init__(self, spark: object = None) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"The local workspace does not serve dbutils.{name} yet.")
