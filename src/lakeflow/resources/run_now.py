"""Runs asked for, and started exactly once for each thing request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.resources import runs
from lakeflow.resources.jobs import CALL_PARAMETER
from lakeflow.state.invocations import Invocation

AT_ONCE = 8
"""Requests side by side where many runs are triggered or looked up."""


@dataclass(frozen=True)
class RunRequest:
    """A run that is asked for: the `ordinal`-th call of a job."""

    job_id: int
    ordinal: int
    argv: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What became of a run that was asked for; `status` is running, succeeded or failed."""

    ordinal: int
    argv: tuple[str, ...]
    run_id: int
    url: str
    status: str
    exit_code: int | None
    error: str | None


def numbered(
    job_id: int, calls: Sequence[Sequence[str]], parameters: Iterable[Mapping[str, Any]]
) -> list[RunRequest]:
    """A run of a job for each of `calls`, with what run-now takes for it."""
    return [
        RunRequest(job_id, ordinal, tuple(argv), sent)
        for ordinal, (argv, sent) in enumerate(zip(calls, parameters, strict=True))
    ]


def call_parameters(call: str) -> dict[str, Any]:
    """What run-now takes to hand a call to a job that lakeflow deployed."""
    return {"job_parameters": {CALL_PARAMETER: call}}


def trigger(workspace: Workspace, request: RunRequest, invocation: Invocation) -> int:
    """The id of the run that is asked for, started now or by this invocation before."""
    known = invocation.started.get((request.job_id, request.ordinal))
    if known is not None:
        return known
    body = {
        "job_id": request.job_id,
        "idempotency_token": invocation.token(workspace.host, request.job_id, request.ordinal),
        **request.parameters,
    }
    reply = workspace.post(f"{runs.API}/run-now", body, repeatable=True)
    run_id = int(workspace.member(reply, "run_id"))
    invocation.record(request.job_id, request.ordinal, run_id)
    return run_id


def start(
    workspace: Workspace, requests: Sequence[RunRequest], invocation: Invocation
) -> tuple[RunResult, ...]:
    """Trigger every run that is asked for and return at once."""

    def one(it: RunRequest) -> RunResult:
        return running(workspace, it, trigger(workspace, it, invocation))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = tuple(pool.map(one, requests))
    invocation.finish()
    return results


def running(workspace: Workspace, request: RunRequest, run_id: int) -> RunResult:
    """A run that was triggered, and has not been looked at since."""
    url = runs.url_of(workspace, request.job_id, run_id)
    return RunResult(request.ordinal, request.argv, run_id, url, "running", None, None)


def still_running(run: runs.Run) -> RunResult:
    """Return the result so far of a run that was looked up."""
    return RunResult(0, run.argv or (), run.id, run.url, "running", None, None)
