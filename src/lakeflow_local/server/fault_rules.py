"""Read the rules for injected faults, and decide which requests and tasks they hit.

Each rule counts the requests (or started tasks) that match it, from 1. Which of them it hits
depends only on the file: the same requests in the same order get the same faults. Only a limit per
second depends on the clock.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lakeflow_local.behaviors import BEHAVIORS
from lakeflow_local.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_PATHS = "/lakeflow/"
"""Requests that find and administer the server: no rule applies to them."""

ERROR_KINDS = ("429", "500", "503")
CONNECTION_KINDS = ("slow", "dropped-before", "dropped-after")
TASK_KINDS = ("cluster-lost", "task-preempted")
WORKSPACE_KINDS = ("serverless-only", "no-node-types")
"""They hold for the whole workspace, for as long as it is up."""
KINDS = (*ERROR_KINDS, *CONNECTION_KINDS, *TASK_KINDS, *WORKSPACE_KINDS)


@dataclass(frozen=True)
class Rule:
    """One `[[rule]]`.

    It hits the matches whose number is in `nth`, or those beyond `per_second`, or else a share of
    `rate` of them.

    Attributes:
        kind: One of `KINDS`.
        path: A shell pattern, as `method` and `job` are; `*` also matches slashes.
        retry_after: Whole seconds, for 429 and 503.
        milliseconds: The delay of a slow request, or from the start of a task to its loss.
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
        """Return whether the `number`-th match is hit. `seed` identifies file and rule."""
        if self.nth:
            return number in self.nth
        digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.rate * 2**64


class RateLimit:
    """Pass at most `per_second` requests in any second. Refused requests do not count."""

    def __init__(self, per_second: int) -> None:
        self._passed: deque[float] = deque(maxlen=per_second)

    def passes(self, seconds: float) -> bool:
        """Return whether a request at this time (never decreasing) passes."""
        passed = self._passed
        if len(passed) == passed.maxlen and seconds - passed[0] < 1:
            return False
        passed.append(seconds)
        return True


class Faults:
    """The rules of a file, and how often each matched. `digest` identifies the content.

    `behaviors` names what is true of some workspaces, and of this one as long as it runs.
    """

    def __init__(
        self, rules: tuple[Rule, ...], seed: int, behaviors: frozenset[str] = frozenset()
    ) -> None:
        self.rules = rules
        self.behaviors = behaviors
        content = (rules, seed, sorted(behaviors)) if behaviors else (rules, seed)
        self.digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
        self._seed = seed
        self._lock = threading.Lock()
        self._matched = [0] * len(rules)
        self._limits = {
            index: RateLimit(rule.per_second)
            for index, rule in enumerate(rules)
            if rule.per_second is not None
        }

    def for_request(self, method: str, path: str) -> Rule | None:
        """Return the first rule that hits a request. Every rule that matches counts it."""
        if path.startswith(OWN_PATHS):
            return None
        return self._first(
            lambda rule: (
                rule.kind not in (*TASK_KINDS, *WORKSPACE_KINDS)
                and fnmatchcase(path, rule.path)
                and fnmatchcase(method, rule.method)
            )
        )

    def for_task(self, job: str) -> Rule | None:
        """Return the first rule that hits a task of this job that has just started."""
        return self._first(lambda rule: rule.kind in TASK_KINDS and fnmatchcase(job, rule.job))

    def has(self, kind: str) -> bool:
        """Return whether there is a rule of this kind, one of `WORKSPACE_KINDS`."""
        return any(rule.kind == kind for rule in self.rules)

    def _first(self, matches: Callable[[Rule], bool]) -> Rule | None:
        found: Rule | None = None
        with self._lock:
            for index, rule in enumerate(self.rules):
                if matches(rule) and self._hits(index) and found is None:
                    found = rule
        return found

    def _hits(self, index: int) -> bool:
        self._matched[index] += 1
        if index in self._limits:
            return not self._limits[index].passes(time.monotonic())
        return self.rules[index].hits(self._matched[index], f"{self._seed} {index}")


def read_faults(path: Path) -> Faults:
    """Read a file of rules.

    Raises:
        UsageError: It can't be read or is invalid; the text names the line and the rule.
    """
    try:
        source = path.read_text(encoding="utf-8")
        content = tomllib.loads(source)
    except OSError as error:
        raise UsageError(f"the faults in {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the faults in {path} can't be read: not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None

    def error_at(message: str, key: str, number: int = 0) -> UsageError:
        rule = f"rule {number}: " if number else ""
        return UsageError(f"{path}, line {_line_number(source, key, number)}: {rule}{message}")

    for key in content:
        if key not in ("seed", "behaviors", "rule"):
            raise error_at(
                f"unknown key '{key}'; a file of faults has 'seed', 'behaviors' and [[rule]]s", key
            )
    seed = content.get("seed", 0)
    if type(seed) is not int:
        raise error_at("'seed' must be a whole number", "seed")
    behaviors = content.get("behaviors", [])
    if not isinstance(behaviors, list) or not all(name in BEHAVIORS for name in behaviors):
        names = ", ".join(BEHAVIORS)
        raise error_at(f"'behaviors' must be a list of names; they are {names}", "behaviors")
    listed = content.get("rule", [])
    if not isinstance(listed, list) or not all(isinstance(given, dict) for given in listed):
        raise error_at("rules are written as [[rule]], each followed by its keys", "rule")
    if not listed and not behaviors:
        raise UsageError(f"{path} has no [[rule]] and no 'behaviors'")
    rules = []
    for number, given in enumerate(listed, 1):
        try:
            rules.append(_rule(given))
        except _InvalidKey as error:
            raise error_at(str(error), error.key, number) from None
    return Faults(tuple(rules), seed, frozenset(behaviors))


class _InvalidKey(Exception):
    """A `key` of a rule is invalid."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _rule(given: Mapping[str, Any]) -> Rule:
    kind = given.get("kind")
    kind = str(kind) if type(kind) is int else kind
    if kind not in KINDS:
        problem = "'kind' is missing" if kind is None else f"unknown kind {kind!r}"
        raise _InvalidKey("kind", f"{problem}; kinds are {', '.join(KINDS)}")
    allowed = {"kind", "rate", "nth", *(["job"] if kind in TASK_KINDS else ["path", "method"])}
    if kind in WORKSPACE_KINDS:
        allowed = {"kind"}
    if kind in ("429", "503"):
        allowed.add("retry_after")
    if kind == "429":
        allowed.add("per_second")
    if kind == "slow" or kind in TASK_KINDS:
        allowed.add("milliseconds")
    for key in given:
        if key not in allowed:
            names = ", ".join(sorted(allowed))
            raise _InvalidKey(key, f"'{key}' is not a key of the kind {kind}, which takes {names}")
    for key in ("path", "method", "job"):
        if key in given and (not isinstance(given[key], str) or not given[key]):
            raise _InvalidKey(key, f"'{key}' must be a pattern such as {EXAMPLES[key]}")
    if "path" in given and not given["path"].startswith(("/", "*")):
        raise _InvalidKey("path", f"'path' must begin with a slash, as in {EXAMPLES['path']}")
    minimums = {"retry_after": 0, "milliseconds": 1 if kind == "slow" else 0, "per_second": 1}
    for key, minimum in minimums.items():
        if key in given and (type(given[key]) is not int or not minimum <= given[key] <= 3_600_000):
            raise _InvalidKey(key, f"'{key}' must be a whole number from {minimum} to 3600000")
    if kind == "slow" and "milliseconds" not in given:
        raise _InvalidKey("kind", "the kind slow needs 'milliseconds'")
    selectors = [key for key in ("rate", "nth", "per_second") if key in given]
    if len(selectors) > 1:
        raise _InvalidKey(selectors[1], f"has both '{selectors[0]}' and '{selectors[1]}': give one")
    rate = given.get("rate", 1)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise _InvalidKey("rate", "'rate' must be a number from 0 to 1")
    nth = given.get("nth", [])
    nth = nth if isinstance(nth, list) else [nth]
    if not all(type(number) is int and number > 0 for number in nth):
        raise _InvalidKey("nth", "'nth' must be a number from 1, or a list of them")
    if "nth" in given and not nth:
        raise _InvalidKey("nth", "'nth' must not be empty")
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


def _line_number(source: str, key: str, rule: int) -> int:
    """Return the line of a key in the `rule`-th rule (0: before all), else of the rule itself."""
    line, here, found = 1, 0, 0
    for number, text in enumerate(source.splitlines(), 1):
        if re.match(r"\s*\[\[\s*rule\s*\]\]", text):
            here += 1
            if here == rule:
                line = number
        elif not found and here == rule and re.match(rf"\s*\[?[\"']?{re.escape(key)}\b", text):
            found = number
    return found or line
