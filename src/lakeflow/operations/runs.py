"""List, look up, cancel and follow runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from lakeflow.operations import follow
from lakeflow.operations.pending_invocations import hint_if_interrupted
from lakeflow.operations.session import Session
from lakeflow.resources import jobs, runs
from lakeflow.resources.run_now import RunResult
from lakeflow.resources.runs import Run

_log = logging.getLogger(__name__)


def list_job_runs(session: Session, job_id: int, *, limit: int) -> list[Run]:
    """Return the newest runs of a job. Raises UsageError for an unknown job."""
    found = runs.of_job(session.workspace, job_id, limit)
    if not found:
        jobs.get(session.workspace, job_id)
    return found


def get_run(session: Session, run_id: int) -> Run:
    """Return a run with its tasks. Raises UsageError for an unknown run."""
    return runs.get(session.workspace, run_id)


def url_of_run(session: Session, run_id: int) -> str:
    """Return the URL of a run in the web UI. Raises UsageError for an unknown run."""
    run = runs.get(session.workspace, run_id)
    return run.url or runs.url_of(session.workspace, run.job_id, run.id)


def cancel_runs(session: Session, run_ids: Sequence[int], *, wait: bool) -> tuple[Run, ...]:
    """Cancel queued or running runs, and with `wait` return when they have finished.

    All are looked up first: raises UsageError for an unknown run before any is cancelled.
    """
    workspace = session.workspace
    found = [runs.get(workspace, run_id) for run_id in run_ids]
    for run in found:
        if run.state.outcome is not None:
            _log.info(f"run {run.id} has finished already ({run.state.outcome})")
        else:
            runs.cancel(workspace, run.id)
            _log.info(f"Cancelling run {run.id}.")
    pause = threading.Event()
    for index, run in enumerate(found):
        if not wait or run.state.outcome is not None:
            continue
        while found[index].state.outcome is None:
            found[index] = runs.get(workspace, run.id)
            if found[index].state.outcome is None:
                pause.wait(1.0)
        _log.info(f"run {run.id} has finished ({found[index].state.outcome})")
    return tuple(found)


def wait(session: Session, run_ids: Sequence[int]) -> tuple[RunResult, ...]:
    """Follow runs that were started before until they finish.

    Raises UsageError for an unknown run and Interrupted on Ctrl-C.
    """
    labels = [str(run_id) if len(run_ids) > 1 else "" for run_id in run_ids]
    with hint_if_interrupted(session):
        return follow.follow(session.workspace, run_ids, session.observer, labels)
