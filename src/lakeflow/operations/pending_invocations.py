"""Pending invocations of commands that start runs, and how to resume after an interruption."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from lakeflow.errors import Refused, UsageError
from lakeflow.operations.follow import Interrupted
from lakeflow.operations.session import Session
from lakeflow.state import invocations
from lakeflow.state.invocations import Invocation

_log = logging.getLogger(__name__)


@contextmanager
def invocation_of(command: object, count: int) -> Iterator[Invocation]:
    """Begin the invocation of a command that starts `count` runs, or resume a pending one.

    `command` is a JSON value, equal if and only if the same command was typed again.
    """
    invocation = invocations.begin(invocations.folder(), command)
    if invocation.resumed:
        when = datetime.fromtimestamp(invocation.began_at).strftime("%Y-%m-%d %H:%M:%S")
        _log.info(
            f"resuming the same command of {when}, which did not finish: "
            f"{len(invocation.started)} of {count_of_runs(count)} are known to be started"
        )
    try:
        yield invocation
    finally:
        invocation.close()


@contextmanager
def withdrawn_if_refused(invocation: Invocation) -> Iterator[None]:
    """End an invocation whose request is refused before anything was done, and free its name.

    A resumed one stays: the reply to its run-now may have been lost.
    """
    try:
        yield
    except (Refused, UsageError):
        if not invocation.started and invocation.named:
            invocation.withdraw()
        elif not invocation.started and not invocation.resumed:
            invocation.finish()
        raise


@contextmanager
def hint_if_interrupted(session: Session, command: str | None = None) -> Iterator[None]:
    """Add to an interruption how to resume; `command` starts what deploys the same again."""
    try:
        yield
    except Interrupted as stop:
        if not stop.all_started:
            stop.hint = "Type the same command again to start the missing ones."
        elif stop.running:
            stop.hint = f"To follow them again: {follow_command(session, stop.running, command)}"
        raise


def follow_command(session: Session, run_ids: Sequence[int], command: str | None = None) -> str:
    """Return the command that follows these runs until they finish."""
    ids = [str(run_id) for run_id in run_ids]
    if command:
        attach = [word for run_id in ids for word in ("--attach", run_id)]
        return f"{command} {shlex.join([*attach, *session.workspace_options])}"
    return shlex.join(["lakeflow", "wait", *ids, *session.workspace_options])


def count_of_runs(count: int) -> str:
    """Return a number of runs in words."""
    return "1 run" if count == 1 else f"{count} runs"
