"""Bad weather on demand: requests that fail and tasks that are lost, by the rules of a file.

A rule is met by a number of matching requests (or starts of tasks), counted from 1. Which of them
it hits follows from the file alone: the same requests in the same order meet the same faults. Only
a limit per second goes by the clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lakeflow_local.errors import UsageError
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.records import JobRun, TaskRun

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_PATHS = "/lakeflow/"
"""The server's own calls, by which it is found and stopped: no rule is for them."""

ANSWERS = {
    "429": (429, "REQUEST_LIMIT_EXCEEDED", "Current request has exceeded the rate limit."),
    "500": (500, "INTERNAL_ERROR", "There was an internal error handling this request."),
    "503": (503, "TEMPORARILY_UNAVAILABLE", "The service is taking too long to process requests."),
}
CONNECTION_KINDS = ("slow", "dropped-before", "dropped-after")
TASK_KINDS = ("cluster-lost", "task-preempted")
KINDS = (*ANSWERS, *CONNECTION_KINDS, *TASK_KINDS)


@dataclass(frozen=True)
class Rule:
    """One `[[rule]]`. `path`, `method` and `job` are shell patterns in which `*` matches all.

    It hits those of what it matches whose number is in `nth`, or what is more than `per_second`, or
    else a share of `rate`.
    `retry_after` (whole seconds) is for 429 and 503; `milliseconds` is how long a slow request
    waits, or how long after its start a task is lost.
    """

    kind: str
    path: str = "*"
    method: str = "*"
    job: str = "*"
    rate: float = 1.0
    nth: tuple[int, ...] = ()
    per_second: int | None = None
    retry_after: int | None = None
    milliseconds: int = 0

    def hits(self, number: int, seed: str) -> bool:
        """Whether the `number`-th match is hit. `seed` names the file's seed and the rule."""
        if self.nth:
            return number in self.nth
        digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.rate * 2**64


class Limit:
    """Lets `per_second` requests through in any second. Those that it refuses do not count."""

    def __init__(self, per_second: int) -> None:
        self._passed: deque[float] = deque(maxlen=per_second)

    def passes(self, moment: float) -> bool:
        """Whether a request at this moment (seconds, never less than before) goes through."""
        passed = self._passed
        if len(passed) == passed.maxlen and moment - passed[0] < 1:
            return False
        passed.append(moment)
        return True


class Faults:
    """The rules of a file, and how often each was met. `digest` tells files apart."""

    def __init__(self, rules: tuple[Rule, ...], seed: int) -> None:
        self.rules = rules
        self.digest = hashlib.sha256(repr((rules, seed)).encode()).hexdigest()[:16]
        self._seed = seed
        self._lock = threading.Lock()
        self._met = [0] * len(rules)
        self._limits = {
            index: Limit(rule.per_second)
            for index, rule in enumerate(rules)
            if rule.per_second is not None
        }

    def of_request(self, method: str, path: str) -> Rule | None:
        """The first rule that hits a request; every rule that it matches counts it."""
        if path.startswith(OWN_PATHS):
            return None
        return self._first(
            lambda rule: (
                rule.kind not in TASK_KINDS
                and fnmatchcase(path, rule.path)
                and fnmatchcase(method, rule.method)
            )
        )

    def of_task(self, job: str) -> Rule | None:
        """The first rule that hits a task of this job, which has just started."""
        return self._first(lambda rule: rule.kind in TASK_KINDS and fnmatchcase(job, rule.job))

    def _first(self, matches: Callable[[Rule], bool]) -> Rule | None:
        found: Rule | None = None
        with self._lock:
            for index, rule in enumerate(self.rules):
                if matches(rule) and self._hits(index) and found is None:
                    found = rule
        return found

    def _hits(self, index: int) -> bool:
        self._met[index] += 1
        if index in self._limits:
            return not self._limits[index].passes(time.monotonic())
        return self.rules[index].hits(self._met[index], f"{self._seed} {index}")


def read_faults(path: Path) -> Faults:
    """Read a file of rules.

    Raises:
        UsageError: it can't be read or makes no sense; the text names the line and the rule.
    """
    try:
        source = path.read_text(encoding="utf-8")
        content = tomllib.loads(source)
    except OSError as error:
        raise UsageError(f"the faults in {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the faults in {path} can't be read: no UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}") from None

    def wrong(message: str, key: str, number: int = 0) -> UsageError:
        rule = f"rule {number}: " if number else ""
        return UsageError(f"{path}, line {_line_of(source, key, number)}: {rule}{message}")

    for key in content:
        if key not in ("seed", "rule"):
            raise wrong(f"unknown name '{key}'; a file of faults has 'seed' and [[rule]]s", key)
    seed = content.get("seed", 0)
    if type(seed) is not int:
        raise wrong("'seed' must be a whole number", "seed")
    listed = content.get("rule", [])
    if not isinstance(listed, list) or not all(isinstance(given, dict) for given in listed):
        raise wrong("rules are written as [[rule]], each with its names below", "rule")
    if not listed:
        raise UsageError(f"{path} has no [[rule]]")
    rules = []
    for number, given in enumerate(listed, 1):
        try:
            rules.append(_rule(given))
        except _Wrong as error:
            raise wrong(str(error), error.key, number) from None
    return Faults(tuple(rules), seed)


class _Wrong(Exception):
    """What is wrong with the value of a rule's `key`."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _rule(given: Mapping[str, Any]) -> Rule:
    kind = given.get("kind")
    kind = str(kind) if type(kind) is int else kind
    if kind not in KINDS:
        said = "'kind' is missing" if kind is None else f"unknown kind {kind!r}"
        raise _Wrong("kind", f"{said}; kinds are {', '.join(KINDS)}")
    allowed = {"kind", "rate", "nth", *(["job"] if kind in TASK_KINDS else ["path", "method"])}
    if kind in ("429", "503"):
        allowed.add("retry_after")
    if kind == "429":
        allowed.add("per_second")
    if kind == "slow" or kind in TASK_KINDS:
        allowed.add("milliseconds")
    for key in given:
        if key not in allowed:
            names = ", ".join(sorted(allowed))
            raise _Wrong(key, f"'{key}' is nothing for the kind {kind}, which takes {names}")
    for key in ("path", "method", "job"):
        if key in given and (not isinstance(given[key], str) or not given[key]):
            raise _Wrong(key, f"'{key}' must be a pattern such as {EXAMPLES[key]}")
    if "path" in given and not given["path"].startswith(("/", "*")):
        raise _Wrong("path", f"'path' begins with a slash, as {EXAMPLES['path']}")
    least_of = {"retry_after": 0, "milliseconds": 1 if kind == "slow" else 0, "per_second": 1}
    for key, least in least_of.items():
        if key in given and (type(given[key]) is not int or not least <= given[key] <= 3_600_000):
            raise _Wrong(key, f"'{key}' must be a whole number from {least} to 3600000")
    if kind == "slow" and "milliseconds" not in given:
        raise _Wrong("kind", "the kind slow needs 'milliseconds'")
    which = [key for key in ("rate", "nth", "per_second") if key in given]
    if len(which) > 1:
        raise _Wrong(which[1], f"has both '{which[0]}' and '{which[1]}': give one")
    rate = given.get("rate", 1)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise _Wrong("rate", "'rate' must be a number from 0 to 1")
    nth = given.get("nth", [])
    nth = nth if isinstance(nth, list) else [nth]
    if not all(type(number) is int and number > 0 for number in nth):
        raise _Wrong("nth", "'nth' must be a number from 1, or a list of them")
    if "nth" in given and not nth:
        raise _Wrong("nth", "'nth' must not be empty")
    return Rule(
        kind=kind,
        path=given.get("path", "*"),
        method=given.get("method", "*").upper(),
        job=given.get("job", "*"),
        rate=float(rate),
        nth=tuple(nth),
        per_second=given.get("per_second"),
        retry_after=given.get("retry_after"),
        milliseconds=given.get("milliseconds", 0),
    )


EXAMPLES = {"path": '"/api/2.*/jobs/run-now"', "method": '"POST"', "job": '"nightly-*"'}


def _line_of(source: str, key: str, rule: int) -> int:
    """Where a name stands: of the `rule`-th rule, or before all rules. Else where that begins."""
    line, here, found = 1, 0, 0
    for number, text in enumerate(source.splitlines(), 1):
        if re.match(r"\s*\[\[\s*rule\s*\]\]", text):
            here += 1
            if here == rule:
                line = number
        elif not found and here == rule and re.match(rf"\s*\[?[\"']?{re.escape(key)}\b", text):
            found = number
    return found or line


def lose_tasks(workspace: Workspace, faults: Faults) -> None:
    """Let the rules' faults happen to tasks. To be called before the engine starts."""

    def lose(rule: Rule, task_run_id: int) -> None:
        row = workspace.store.row("SELECT cluster_id FROM task_runs WHERE run_id = ?", task_run_id)
        cluster_id = row["cluster_id"] if row is not None else None
        if rule.kind == "cluster-lost" and cluster_id:
            reason = {"instance_id": "local"}
            workspace.clusters.terminate(cluster_id, "CLOUD_PROVIDER_SHUTDOWN", reason)
            workspace.engine.end_tasks_on(cluster_id)
        else:
            workspace.engine.lose(task_run_id)

    def on_start(run: JobRun, task: TaskRun) -> None:
        rule = faults.of_task(run.settings["name"])
        if rule is not None:
            timer = threading.Timer(rule.milliseconds / 1000, lose, (rule, task.run_id))
            timer.daemon = True
            timer.start()

    workspace.engine.on_start = on_start


Connections = MutableMapping[tuple[str, int], asyncio.Transport]


def droppable(connections: Connections) -> type[asyncio.Protocol]:
    """uvicorn's protocol, keeping the open connections by their clients' addresses."""

    class Droppable(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                connections[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.client is not None:
                connections.pop(self.client, None)

    return Droppable


class Weather:
    """Stands before the application and lets the rules' faults happen to requests."""

    def __init__(self, app: ASGIApp, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = None
        if scope["type"] == "http":
            rule = self._faults.of_request(scope["method"], scope["path"])
        if rule is None:
            await self._app(scope, receive, send)
        elif rule.kind == "slow":
            await asyncio.sleep(rule.milliseconds / 1000)
            await self._app(scope, receive, send)
        elif rule.kind == "dropped-before":
            await self._drop(scope, receive)
        elif rule.kind == "dropped-after":
            await self._app(scope, receive, _unsent)
            await self._drop(scope, receive)
        else:
            await _refuse(rule, scope, receive, send)

    async def _drop(self, scope: Scope, receive: Receive) -> None:
        """End the connection without an answer."""
        self._connections[scope["client"]].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


async def _unsent(message: Message) -> None:
    """What becomes of an answer whose connection is dropped."""


async def _refuse(rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with an error instead, once the request has come in whole."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass
    status, code, text = ANSWERS[rule.kind]
    headers = None if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    body = {"error_code": code, "message": f"{text} (A rule of the local workspace's faults.)"}
    await JSONResponse(body, status, headers)(scope, receive, send)
