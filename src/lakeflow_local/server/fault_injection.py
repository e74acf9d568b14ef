"""Inject faults: make requests fail, drop connections and lose tasks, as the rules say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lakeflow_local.server.fault_rules import Faults, Rule
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.task_run_repository import TaskRun

RESPONSES = {
    "429": (429, "REQUEST_LIMIT_EXCEEDED", "Current request has exceeded the rate limit."),
    "500": (500, "INTERNAL_ERROR", "There was an internal error handling this request."),
    "503": (503, "TEMPORARILY_UNAVAILABLE", "The service is taking too long to process requests."),
}


def inject_task_faults(workspace: Workspace, faults: Faults) -> None:
    """Lose tasks as the rules say. Call it before the engine starts."""

    def lose(rule: Rule, task_run_id: int) -> None:
        task = workspace.storage.task_runs.get(task_run_id)
        cluster_id = None if task is None else task.cluster_id
        if rule.kind == "cluster-lost" and cluster_id:
            reason = {"instance_id": "local"}
            workspace.clusters.terminate(cluster_id, "CLOUD_PROVIDER_SHUTDOWN", reason)
            workspace.scheduler.kill_tasks_on(cluster_id)
        else:
            workspace.scheduler.preempt(task_run_id)

    def on_start(run: JobRun, task: TaskRun) -> None:
        rule = faults.for_task(run.settings["name"])
        if rule is not None:
            timer = threading.Timer(rule.milliseconds / 1000, lose, (rule, task.run_id))
            timer.daemon = True
            timer.start()

    workspace.task_runner.on_start = on_start


def inject_workspace_faults(workspace: Workspace, faults: Faults) -> None:
    """Let the workspace behave as another kind of workspace, as the rules say."""
    workspace.clusters.is_serverless_only = faults.has("serverless-only")
    workspace.clusters.has_node_types = not faults.has("no-node-types")


Connections = MutableMapping[tuple[str, int], asyncio.Transport]
"""Open connections by their clients' addresses."""


def droppable(connections: Connections) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol, with a record of open connections in `connections`."""

    class DroppableProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                connections[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.client is not None:
                connections.pop(self.client, None)

    return DroppableProtocol


class FaultInjection:
    """ASGI middleware that makes the requests fail that a rule hits."""

    def __init__(self, app: ASGIApp, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = None
        if scope["type"] == "http":
            rule = self._faults.for_request(scope["method"], scope["path"])
        if rule is None:
            await self._app(scope, receive, send)
        elif rule.kind == "slow":
            await asyncio.sleep(rule.milliseconds / 1000)
            await self._app(scope, receive, send)
        elif rule.kind == "dropped-before":
            await self._drop(scope, receive)
        elif rule.kind == "dropped-after":
            await self._app(scope, receive, _discard)
            await self._drop(scope, receive)
        else:
            await _refuse(rule, scope, receive, send)

    async def _drop(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a response."""
        self._connections[scope["client"]].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


async def _discard(message: Message) -> None:
    """Discard a response whose connection is dropped."""


async def _refuse(rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with an error, after reading the whole request."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass
    status, code, text = RESPONSES[rule.kind]
    headers = None if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    body = {"error_code": code, "message": f"{text} (A rule of the local workspace's faults.)"}
    await JSONResponse(body, status, headers)(scope, receive, send)
