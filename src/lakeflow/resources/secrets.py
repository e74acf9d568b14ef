"""Secrets of runs: from the local environment to a secret scope for each invocation.

Nothing else that leaves this process or is written by it has their values. The runner finds the
scope's name in the call and sets the variables (lakeflow_task/run_secrets.py). Databricks redacts
secrets in notebooks only, not in the output of wheel tasks.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakeflow.client.http_errors import ApiError, suppress_missing
from lakeflow.client.workspace import Workspace
from lakeflow.errors import UsageError
from lakeflow.resources.jobs import CALL_PARAMETER, Job
from lakeflow.state.invocations import Invocation

_log = logging.getLogger(__name__)

VALUE_LIMIT = 128 * 1024
"""Maximum size of a secret in bytes (Secrets API, put)."""

NAME_LIMIT = 128
"""Maximum length of a secret's key (Secrets API, put)."""

COUNT_LIMIT = 1000
"""Maximum number of secrets in a scope (Secrets API, put)."""

_FILE_LIMIT = 16 * 1024 * 1024
"""The most bytes of a secrets file: a file of names and values, not a device."""

KEPT_DAYS = 7
"""How long a scope is kept after its runs have finished."""

_API = "/api/2.0/secrets"
_NAME = re.compile(r"lakeflow-(?:(?P<job>\d{1,20})-)?(?P<created>\d{10})-[0-9a-f]{24}")
"""Names of earlier versions have no job id."""
_EXAMPLE = f"lakeflow-{'0' * 20}-0000000000-{'0' * 24}"

_RUNS_PAGE = 24
"""Runs in a page: Databricks takes fewer than 25 (Jobs API, runs/list)."""


@dataclass(frozen=True)
class Scope:
    """A scope created by lakeflow; `created` is Unix seconds, `job_id` None if unknown."""

    name: str
    created: int
    job_id: int | None


def read(names: Sequence[str], file: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of `--secret-env-var` and `--secrets-file` by name.

    The file has lines `NAME=VALUE`; empty lines, lines that start with `#` and quotes around a
    value are ignored.
    Raises UsageError for a secret that is missing, empty, or cannot be stored by Databricks.
    """
    found = dict(_lines(file)) if file is not None else {}
    for name in names:
        if name not in environ:
            raise UsageError(
                f"--secret-env-var {name}: {name} is not set in this environment. Nothing was "
                f"sent. Set it first, without its value in your history: read -rs {name}; "
                f"export {name}"
            )
        found[name] = environ[name]
    if len(found) > COUNT_LIMIT:
        raise UsageError(
            f"{len(found):,} secrets are too many: a scope of Databricks holds {COUNT_LIMIT:,}"
        )
    folded: dict[str, str] = {}
    for name, value in found.items():
        if not re.fullmatch(rf"[A-Za-z_][A-Za-z0-9_]{{0,{NAME_LIMIT - 1}}}", name):
            raise UsageError(
                f"Databricks cannot store a secret named {name!r}: names have at most "
                f"{NAME_LIMIT} letters, digits and _, and start with no digit"
            )
        if folded.setdefault(name.lower(), name) != name:
            raise UsageError(
                f"the secrets {folded[name.lower()]} and {name} are the same to Databricks, which "
                "does not tell letters from capitals. Rename one."
            )
        size = len(value.encode())
        if not 0 < size <= VALUE_LIMIT:
            raise UsageError(
                f"the secret {name} has {size:,} bytes; Databricks keeps 1 to {VALUE_LIMIT:,}"
            )
    return found


def scope_of(invocation: Invocation, job_id: int) -> str:
    """Return the name of the scope of an invocation's job, the same when it is resumed."""
    return f"lakeflow-{job_id}-{int(invocation.began_at):010d}-{invocation.id[:24]}"


def any_scope() -> str:
    """Return an example of a scope's name, to check a call's size beforehand."""
    return _EXAMPLE


def store(workspace: Workspace, scope: str, values: Mapping[str, str], job: Job) -> None:
    """Store secrets in a scope, created if missing and readable for the run-as principal."""
    try:
        workspace.post(f"{_API}/scopes/create", {"scope": scope}, repeatable=True)
    except ApiError as error:
        if not error.exists:  # resumed, or the reply was lost
            raise
    reader = job.run_as
    if reader is not None and reader != workspace.me:
        grant = {"scope": scope, "principal": reader, "permission": "READ"}
        workspace.post(f"{_API}/acls/put", grant, repeatable=True)
    for name, value in values.items():
        body = {"scope": scope, "key": name, "string_value": value}
        workspace.post(f"{_API}/put", body, repeatable=True)


def expired(workspace: Workspace, days: float = KEPT_DAYS) -> list[Scope]:
    """Return lakeflow's scopes that no run has used for so many days, oldest first.

    Requests only the runs of jobs that have an old scope.
    """
    before = time.time() - days * 24 * 3600
    reply = workspace.get(f"{_API}/scopes/list")
    matches = [_NAME.fullmatch(str(scope["name"])) for scope in reply.get("scopes", [])]
    found = [
        Scope(m[0], int(m["created"]), int(m["job"]) if m["job"] else None) for m in matches if m
    ]
    old = sorted((s for s in found if s.created <= before), key=lambda scope: scope.created)
    used: set[str] = set()
    for job_id in dict.fromkeys(scope.job_id for scope in old):
        since = min(scope.created for scope in old if scope.job_id == job_id)
        with suppress_missing():  # the job was deleted, with its runs
            used |= _used_scopes(workspace, job_id, since, before)
    return [scope for scope in old if scope.name not in used]


def _used_scopes(workspace: Workspace, job_id: int | None, since: float, before: float) -> set[str]:
    """Return the scopes of runs started after `since` that were active after `before`.

    Both are Unix seconds. Without a job these are the runs of all jobs.
    """
    query = {"limit": _RUNS_PAGE, "start_time_from": int(since) * 1000 - 3600_000}  # clocks differ
    if job_id is not None:
        query["job_id"] = job_id
    used: set[str] = set()
    for run in workspace.pages("/api/2.2/jobs/runs/list", "runs", **query):
        finished = int(run.get("end_time") or 0)
        if finished == 0 or finished / 1000 > before:
            used.add(_scope_in(run.get("job_parameters") or []))
    return used


def remove(workspace: Workspace, scope: Scope) -> bool:
    """Delete a scope with its secrets, if it exists; return False if that is not permitted."""
    try:
        workspace.post(f"{_API}/scopes/delete", {"scope": scope.name}, repeatable=True)
    except ApiError as error:
        if not error.missing:
            _log.info(f"scope {scope.name}: not removed, {error}")  # another user's
            return False
    return True


def _scope_in(parameters: Sequence[Mapping[str, str]]) -> str:
    """Return the scope named by a run's call, empty if none."""
    for parameter in parameters:
        if parameter.get("name") == CALL_PARAMETER:
            try:
                call = json.loads(parameter.get("value") or parameter.get("default") or "{}")
            except ValueError:
                return ""
            return str(call.get("scope") or "")
    return ""


def _lines(file: Path) -> list[tuple[str, str]]:
    try:
        with file.open("rb") as content:
            data = content.read(_FILE_LIMIT + 1)
        lines = data.decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"cannot read the secrets file {file}: {reason}") from None
    if len(data) > _FILE_LIMIT:
        raise UsageError(
            f"cannot read the secrets file {file}: it has more than {_FILE_LIMIT:,} bytes"
        )
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals:  # the line may hold a secret, so the error has its number only
            raise UsageError(f"{file}, line {number}: not NAME=VALUE")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found.append((name.strip(), value))
    return found
