"""Run the failed tasks of a run again, once for each thing requested."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused, UsageError
from lakeflow.operations import follow
from lakeflow.operations.pending_invocations import hint_if_interrupted, withdrawn_if_refused
from lakeflow.operations.session import Session
from lakeflow.operations.trigger import PATIENCE_SECONDS, Requested
from lakeflow.resources import jobs, run_now, runs
from lakeflow.resources.run_now import RunResult
from lakeflow.resources.runs import Run
from lakeflow.state import invocations
from lakeflow.state.invocations import Invocation

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepairPlan:
    """The tasks to run again, and the parameters to send with them."""

    tasks: tuple[str, ...]
    parameters: dict[str, Any]


def plan_repair(workspace: Workspace, run: Run, *, with_current: bool) -> RepairPlan:
    """Find what a repair of a run would run again.

    Raises UsageError for an unknown job, and Refused if there is nothing to repair or if the job's
    code has changed and `with_current` is false.
    """
    if run.state.outcome is None:
        raise Refused(
            f"run {run.id} has not finished\nhint: wait for it, or cancel it with cancel-run"
        )
    failed = [task for task in run.tasks if task.state.outcome != "succeeded"]
    if not failed:
        raise Refused(f"run {run.id} has no failed tasks to repair")
    job = jobs.get(workspace, run.job_id)
    current = {task["task_key"]: runs.code_of(task) for task in job.settings.get("tasks", [])}
    changed = [task.key for task in failed if current.get(task.key) != task.code]
    if changed and not with_current:
        raise Refused(
            f"the job {job.name} ({job.id}) was deployed again after run {run.id}: the code of "
            f"{', '.join(changed)} has changed\nhint: pass --with-current to repair the run with "
            "the current code, or start a new run with trigger-run"
        )
    if run.call is not None:
        parameters = run_now.call_parameters(run.call)
    else:
        parameters = {"python_params": list(run.argv)} if run.argv else {}
    return RepairPlan(tuple(task.key for task in failed), parameters)


def repair_run(
    session: Session, run_id: int, *, with_current: bool = False, wait: bool = False
) -> RunResult:
    """Run the failed tasks of a finished run again, with the arguments it was started with.

    The run keeps its id. Databricks uses the job's current settings; if these name other code than
    the run had, the repair is refused unless `with_current` is true. A command that was killed and
    is typed again repairs once.

    Raises UsageError for an unknown run or job and Refused if there is nothing to repair.
    """
    workspace = session.workspace
    run = runs.get(workspace, run_id)
    command = ["repair-run", workspace.host, run_id, with_current]
    invocation = invocations.begin(invocations.folder(), command)
    try:
        # The newest repair is recorded before the request: if it is another one when the command
        # is resumed, the request took effect although its reply was lost.
        newest = runs.last_repair(workspace, run_id) or 0
        if invocation.started.get((run_id, 0), newest) == newest:
            try:
                plan = plan_repair(workspace, run, with_current=with_current)
            except (Refused, UsageError):
                invocation.finish()
                raise
            invocation.record(run_id, 0, newest)
            runs.repair(workspace, run_id, plan.parameters)
            _log.info(f"Retrying failed tasks of run {run_id}: {', '.join(plan.tasks)}. {run.url}")
        else:
            _log.info(f"run {run_id} is being repaired already: {run.url}")
        invocation.finish()
    finally:
        invocation.close()
    if wait:
        with hint_if_interrupted(session):
            return follow.follow(workspace, [run_id], session.observer, [""])[0]
    return run_now.still_running(run)


class PendingRepair:
    """A request for a repair, identified by its request id and locked by this process."""

    def __init__(
        self, session: Session, invocation: Invocation, run_id: int, with_current: bool
    ) -> None:
        self._session = session
        self._invocation = invocation
        self._run_id = run_id
        self._with_current = with_current

    @property
    def is_new(self) -> bool:
        """Whether no earlier call of it got as far as starting the repair."""
        return not self._invocation.started

    def start(self) -> Requested:
        """Repair the run, unless an earlier call of the request has."""
        workspace, invocation, run_id = self._session.workspace, self._invocation, self._run_id
        # The invocation has the run's newest repair before the request, then the one after it.
        before, after = (run_id, 0), (run_id, 1)
        newest = runs.last_repair(workspace, run_id) or 0
        if self.is_new:
            invocation.record(*before, newest)
        if after in invocation.started or newest != invocation.started[before]:
            return Requested((run_now.still_running(runs.get(workspace, run_id)),), True)
        try:
            result = repair_run(self._session, run_id, with_current=self._with_current)
        except (Refused, UsageError):
            invocation.withdraw()
            raise
        invocation.record(*after, runs.last_repair(workspace, run_id) or 0)
        return Requested((result,), False)


@contextmanager
def begin_repair(
    session: Session,
    run_id: int,
    *,
    request_id: str,
    with_current: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[PendingRepair]:
    """Lock the request for a repair of a run (see `lakeflow.operations.trigger.begin_trigger`)."""
    name = ["repair-run", session.workspace.host, request_id]
    request = [run_id, with_current]
    invocation = invocations.begin_named(invocations.folder(), name, request, patience)
    try:
        with withdrawn_if_refused(invocation):
            yield PendingRepair(session, invocation, run_id, with_current)
    finally:
        invocation.close()
