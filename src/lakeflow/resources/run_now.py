"""Start runs with run-now, once for each requested run."""

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
"""Simultaneous requests when many runs are triggered or looked up."""


@dataclass(frozen=True)
class RunRequest:
    """A requested run: the call of a job with this ordinal, and run-now's parameters."""

    job_id: int
    ordinal: int
    argv: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """The result so far of a requested run; `status` is running, succeeded or failed."""

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
    """Return a request for each of `calls`, with its parameters of run-now."""
    return [
        RunRequest(job_id, ordinal, tuple(argv), sent)
        for ordinal, (argv, sent) in enumerate(zip(calls, parameters, strict=True))
    ]


def call_parameters(call: str) -> dict[str, Any]:
    """Return run-now's parameters that pass a call to a job deployed by lakeflow."""
    return {"job_parameters": {CALL_PARAMETER: call}}


def trigger(workspace: Workspace, request: RunRequest, invocation: Invocation) -> int:
    """Start a requested run, unless this invocation has started it before; return its id."""
    started = invocation.started.get((request.job_id, request.ordinal))
    if started is not None:
        return started
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
    """Start the requested runs, finish the invocation, and return without waiting."""

    def start_one(request: RunRequest) -> RunResult:
        return running(workspace, request, trigger(workspace, request, invocation))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = tuple(pool.map(start_one, requests))
    invocation.finish()
    return results


def running(workspace: Workspace, request: RunRequest, run_id: int) -> RunResult:
    """Return the result so far of a run that was just started."""
    url = runs.url_of(workspace, request.job_id, run_id)
    return RunResult(request.ordinal, request.argv, run_id, url, "running", None, None)


def still_running(run: runs.Run) -> RunResult:
    """Return the result so far of a run that was looked up."""
    return RunResult(0, run.argv or (), run.id, run.url, "running", None, None)
