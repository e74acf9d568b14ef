"""Start runs of a job, once for each thing requested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lakeflow.operations import follow
from lakeflow.operations.pending_invocations import (
    hint_if_interrupted,
    invocation_of,
    withdrawn_if_refused,
)
from lakeflow.operations.run_requests import check_job_calls, requests_for_job
from lakeflow.operations.session import Session
from lakeflow.resources import jobs, run_now
from lakeflow.resources.jobs import Job
from lakeflow.resources.run_now import RunResult
from lakeflow.state import invocations
from lakeflow.state.invocations import Invocation

PATIENCE_SECONDS = 20.0
"""How long an equal request that is being worked on is waited for."""


def trigger_run(
    session: Session,
    job_id: int,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    secret_values: Mapping[str, str] | None = None,
    wait: bool = False,
) -> RunResult:
    """Start a run of a job with these arguments, and with `wait` follow it until it finishes.

    Raises UsageError for an unknown job and for arguments that cannot be sent.
    """
    workspace = session.workspace
    job = jobs.get(workspace, job_id)
    env, secret_values = env or {}, secret_values or {}
    check_job_calls(job, [argv], env, secret_values)
    command = [workspace.host, job_id, list(argv), dict(env), sorted(secret_values)]
    with invocation_of(command, 1) as invocation, withdrawn_if_refused(invocation):
        requests = requests_for_job(session, invocation, job, [argv], env, secret_values)
        if not wait:
            return run_now.start(workspace, requests, invocation)[0]
        with hint_if_interrupted(session):
            group = follow.RunGroup(requests, invocation, in_flight=1, labels=[""])
            (found,) = follow.start_and_follow(workspace, [group], session.observer)
        if found.error is not None:
            raise found.error
        return found.results[0]


@dataclass(frozen=True)
class Requested:
    """The runs of a request, and whether an earlier call of it had started them all."""

    runs: tuple[RunResult, ...]
    repeated: bool


class PendingTrigger:
    """A request for runs of a job, identified by its request id and locked by this process."""

    def __init__(
        self,
        session: Session,
        invocation: Invocation,
        job: Job,
        calls: Sequence[Sequence[str]],
        env: Mapping[str, str],
        secret_values: Mapping[str, str],
    ) -> None:
        self._session = session
        self._invocation = invocation
        self._job = job
        self._calls = calls
        self._env = env
        self._secret_values = secret_values

    @property
    def is_new(self) -> bool:
        """Whether none of its runs was started yet."""
        return not self._invocation.started

    def start(self) -> Requested:
        """Start the runs that are missing."""
        invocation, calls = self._invocation, self._calls
        repeated = len(invocation.started) == len(calls)
        if repeated:
            requests = run_now.numbered(self._job.id, calls, [{}] * len(calls))
        else:
            requests = requests_for_job(
                self._session, invocation, self._job, calls, self._env, self._secret_values
            )
        return Requested(run_now.start(self._session.workspace, requests, invocation), repeated)


@contextmanager
def begin_trigger(
    session: Session,
    job_id: int,
    calls: Sequence[Sequence[str]],
    *,
    request_id: str,
    env: Mapping[str, str] | None = None,
    secret_values: Mapping[str, str] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[PendingTrigger]:
    """Lock the request for a run of a job for each of `calls`, identified by `request_id`.

    Repeated with the same id, at once or after a restart, it starts what is missing and returns the
    runs it has. An equal request that is being worked on is waited for, up to `patience` seconds.
    Refused or UsageError raised inside frees the id of a request for which nothing was done.

    Raises UsageError for an unknown job and for arguments that cannot be sent, and Refused if the
    request id was used for another request, or after `patience` seconds.
    """
    job = jobs.get(session.workspace, job_id)
    env, secret_values = env or {}, secret_values or {}
    check_job_calls(job, calls, env, secret_values)
    name = ["trigger-runs", session.workspace.host, request_id]
    request = [job_id, [list(argv) for argv in calls], dict(env), sorted(secret_values)]
    invocation = invocations.begin_named(invocations.folder(), name, request, patience)
    try:
        with withdrawn_if_refused(invocation):
            yield PendingTrigger(session, invocation, job, calls, env, secret_values)
    finally:
        invocation.close()
