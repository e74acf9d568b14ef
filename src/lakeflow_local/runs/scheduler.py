"""Schedules task runs: starts those that are ready while there are slots, and stops runs.

It wakes up for cron schedules, delayed retries and timeouts of runs.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable

from lakeflow_local.compute.execution import Execution, TaskIdentity
from lakeflow_local.runs import lifecycle, schedules
from lakeflow_local.runs.conditions import STOPPED
from lakeflow_local.runs.task_runner import TaskRunner
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.database import now
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.task_run_repository import TaskRun

log = logging.getLogger(__name__)


class Scheduler:
    """Runs each task in a thread, at most `slots` at once, oldest first."""

    def __init__(self, storage: Storage, runner: TaskRunner, slots: int) -> None:
        self._storage = storage
        self._runner = runner
        self._slots = slots
        self._lock = threading.Lock()
        self._executions: dict[int, Execution] = {}
        self._is_stopped = False
        self._alarm: threading.Timer | None = None
        self._alarm_at = 0

    def wake(self) -> None:
        """Start what is due and ready. Call it whenever a task became ready."""
        moment = now()
        for run_id in self._storage.runs.overdue(moment):
            self._stop_run(run_id, "TIMEDOUT")
        next_due = schedules.start_due(self._storage, moment)
        with self._lock:
            if self._is_stopped:
                return
            limit = self._slots + len(self._executions)
            for task in self._storage.task_runs.ready(moment, limit):
                if len(self._executions) >= self._slots:
                    break
                if task.run_id not in self._executions:
                    self._start(task)
            for wake_at in (
                self._storage.task_runs.next_retry(moment),
                next_due,
                self._storage.runs.next_deadline(moment),
            ):
                if wake_at is not None:
                    self._wake_at(wake_at)

    def cancel(self, run_id: int) -> None:
        """Cancel a job run or a task run; its processes are gone when this returns."""
        self._stop_run(run_id, "CANCELED")
        self.wake()

    def stop(self) -> None:
        """Kill all tasks, as INTERRUPTED, and start no others."""
        with self._lock:
            self._is_stopped = True
            executions = list(self._executions.values())
        self._runner.stopping.set()
        for execution in executions:
            execution.kill(outcomes.INTERRUPTED)

    def active_runs(self) -> int:
        """Return how many runs have not finished."""
        return self._storage.runs.count_active()

    def identity_of_token(self, token: str) -> TaskIdentity | None:
        """Return the identity of the running task that has this token."""
        given = token.encode()
        with self._lock:
            executions = list(self._executions.values())
        for execution in executions:
            if hmac.compare_digest(given, execution.token.encode()):
                return execution.identity
        return None

    def kill_tasks_on(self, cluster_id: str) -> None:
        """Kill the tasks on a cluster that is being terminated."""
        for task_run_id in self._storage.task_runs.active_on(cluster_id):
            self._kill(task_run_id, outcomes.CLUSTER_TERMINATED)

    def preempt(self, task_run_id: int) -> None:
        """Kill a task as if the cloud had reclaimed its machine."""
        self._kill(task_run_id, outcomes.PREEMPTED)

    def run_while_idle(self, action: Callable[[], None]) -> None:
        """Run an action if no task is running; none starts before it has finished."""
        with self._lock:
            if not self._executions:
                action()

    def _start(self, task: TaskRun) -> None:
        """Run a task in a new thread. Called with the lock held."""
        execution = self._runner.execution(task)
        self._executions[task.run_id] = execution

        def work() -> None:
            try:
                self._runner.run(task, execution)
            except Exception:  # its outcome is stored: only the cleanup after it can fail
                log.exception("task run %s", task.run_id)
            finally:
                with self._lock:
                    del self._executions[task.run_id]
            self.wake()

        threading.Thread(target=work, name=f"task run {task.run_id}", daemon=True).start()

    def _wake_at(self, moment: int) -> None:
        """Wake up at a time, or earlier. Called with the lock held."""
        if self._alarm is not None and self._alarm.is_alive() and self._alarm_at <= moment:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = threading.Timer(max(0.0, (moment - now()) / 1000), self._ring)
        self._alarm.daemon = True
        self._alarm_at = moment
        self._alarm.start()

    def _ring(self) -> None:
        with self._lock:
            self._alarm = None
        self.wake()

    def _stop_run(self, run_id: int, how: str) -> None:
        for task_run_id in lifecycle.stop(self._storage, run_id, how, now()):
            self._stop_task(task_run_id, STOPPED[how])
        self._runner.release_clusters()

    def _stop_task(self, task_run_id: int, outcome: Outcome) -> None:
        execution = self._kill(task_run_id, outcome)
        if execution is not None and execution.pid is not None:
            return  # its thread sees the process exit, and stores the outcome
        with self._storage.transaction():
            task = self._storage.task_runs.get(task_run_id)
            if task is not None:
                lifecycle.finish_task(self._storage, task, outcome, now())

    def _kill(self, task_run_id: int, outcome: Outcome) -> Execution | None:
        with self._lock:
            execution = self._executions.get(task_run_id)
        if execution is not None:
            execution.kill(outcome)
        return execution
