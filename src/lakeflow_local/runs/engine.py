"""Runs tasks: takes those that wait, in order, as many at once as there are slots."""

from __future__ import annotations

import hmac
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from lakeflow_local.compute import processes
from lakeflow_local.compute.clusters import ClusterNotStarted, Clusters
from lakeflow_local.compute.execution import (
    Execution,
    begin,
    deadline,
    program,
    read_result,
    variables,
)
from lakeflow_local.compute.execution_contexts import ContextsExceeded, ExecutionContexts
from lakeflow_local.compute.libraries import ClusterMissing, LibraryFailed
from lakeflow_local.compute.placement import NotAllowed, Placement, TaskCompute
from lakeflow_local.config import ServerConfig
from lakeflow_local.errors import ConfigurationInvalid
from lakeflow_local.identity.permissions import Permissions
from lakeflow_local.identity.principals import Principal
from lakeflow_local.runs import lifecycle, parameters, retention, schedules
from lakeflow_local.runs.parameters import Site
from lakeflow_local.storage import records
from lakeflow_local.storage.database import Database, now
from lakeflow_local.storage.files import Mount
from lakeflow_local.storage.records import JobRun, Outcome, TaskRun

log = logging.getLogger(__name__)

IDLE_CHECK_SECONDS = 30.0


class Engine:
    """The only one who starts and ends tasks' processes."""

    def __init__(
        self,
        store: Database,
        permissions: Permissions,
        clusters: Clusters,
        mount: Mount,
        config: ServerConfig,
        workspace_id: int,
        url: str,
        *,
        is_mounted: bool,
    ) -> None:
        self._store = store
        self._permissions = permissions
        self._clusters = clusters
        self._placement = Placement(store, permissions, clusters, config.folder / "clusters")
        self._contexts = ExecutionContexts()
        self._mount = mount
        self._folder = config.folder / "runs"
        self._site = Site(store, workspace_id, url)
        self._slots = config.max_processes
        self._is_mounted = is_mounted
        self._task_memory = config.task_memory
        self._lock = threading.Lock()
        self._executions: dict[int, Execution] = {}
        self._stopping = threading.Event()
        self._idle: threading.Thread | None = None
        self.on_start: Callable[[JobRun, TaskRun], None] | None = None
        self._alarm: threading.Timer | None = None
        self._alarm_at = 0

    def start(self) -> None:
        """Mark what an earlier server left in the middle, and begin."""
        rows = self._store.rows("SELECT * FROM task_runs WHERE ended IS NULL ORDER BY run_id")
        left = [records.task_run(row) for row in rows]
        for task in left:  # those who left their groups were ended by their marker
            processes.end_group(task.pid or 0, task.pid_started)
        with self._store.transaction() as database:
            for task in left:
                lifecycle.end_task(database, task, records.INTERRUPTED, now())
        self._placement.release()
        self._remove_unused_environments()
        retention.remove_strays(self._store, self._folder, self._folder.parent / "clusters")
        self._clusters.recover()
        self._idle = threading.Thread(target=self._watch_idle, name="idle clusters", daemon=True)
        self._idle.start()
        self.wake()

    def stop(self) -> None:
        """End every task, as an end of the server by force would."""
        with self._lock:
            self._stopping.set()
            executions = list(self._executions.values())
        for execution in executions:
            execution.end(records.INTERRUPTED)

    def wake(self) -> None:
        """Start tasks that wait, while there are slots. To be called whenever one was added."""
        moment = now()
        late = self._store.rows(
            "SELECT run_id FROM runs WHERE ended IS NULL AND deadline <= ? AND stopping IS NULL",
            moment,
        )
        for row in late:
            self._stop(row["run_id"], "TIMEDOUT")
        next_due = self._start_due(moment)
        with self._lock:
            if self._stopping.is_set():
                return
            rows = self._store.rows(
                "SELECT * FROM task_runs WHERE ended IS NULL AND phase = 'PENDING'"
                " AND not_before <= max(?, created) ORDER BY run_id LIMIT ?",
                moment,
                self._slots + len(self._executions),
            )
            for row in rows:
                if len(self._executions) >= self._slots:
                    break
                task = records.task_run(row)
                if task.run_id in self._executions:
                    continue
                execution = Execution(self._marker(task.run_id))
                self._executions[task.run_id] = execution
                threading.Thread(
                    target=self._run,
                    args=(task, execution),
                    name=f"task run {task.run_id}",
                    daemon=True,
                ).start()
            next_retry = self._store.row(
                "SELECT min(not_before) AS at FROM task_runs"
                " WHERE ended IS NULL AND not_before > created AND not_before > ?",
                moment,
            )
            if next_retry is not None and next_retry["at"] is not None:
                self._wake_at(next_retry["at"])
            if next_due is not None:
                self._wake_at(next_due)
            next_late = self._store.row(
                "SELECT min(deadline) AS at FROM runs WHERE ended IS NULL AND deadline > ?", moment
            )
            if next_late is not None and next_late["at"] is not None:
                self._wake_at(next_late["at"])

    def active(self) -> int:
        """How many runs have not ended."""
        row = self._store.row("SELECT count(*) FROM runs WHERE ended IS NULL")
        return 0 if row is None else int(row[0])

    def cancel(self, run_id: int) -> None:
        """End a job run or a task run by a user's wish; returns when its processes are gone."""
        self._stop(run_id, "CANCELED")
        self.wake()

    def of_token(self, token: str) -> tuple[Principal, int] | None:
        """Whose permissions the task has that was handed this token, and its job run."""
        given = token.encode()
        with self._lock:
            executions = list(self._executions.values())
        for found in executions:
            if hmac.compare_digest(given, found.token.encode()) and found.asker is not None:
                return found.asker
        return None

    def end_tasks_on(self, cluster_id: str) -> None:
        """End the tasks that run on a cluster which is being stopped."""
        rows = self._store.rows(
            "SELECT run_id FROM task_runs WHERE ended IS NULL AND cluster_id = ?", cluster_id
        )
        for row in rows:
            with self._lock:
                execution = self._executions.get(row["run_id"])
            if execution is not None:
                execution.end(records.CLUSTER_TERMINATED)

    def lose(self, task_run_id: int) -> None:
        """End a task as the loss of its machine does."""
        with self._lock:
            execution = self._executions.get(task_run_id)
        if execution is not None:
            execution.end(records.PREEMPTED)

    def log_file(self, task: TaskRun) -> Path:
        """Where a task's standard output and error are."""
        return self._task_folder(task) / "log"

    def run_folder(self, job_run_id: int) -> Path:
        """Where the folders of a job run's tasks are."""
        return self._folder / str(job_run_id)

    def _task_folder(self, task: TaskRun) -> Path:
        return self.run_folder(task.job_run_id) / str(task.run_id)

    def _marker(self, task_run_id: int) -> str:
        return f"{self._site.workspace_id}/{task_run_id}"

    def _wake_at(self, moment: int) -> None:
        """Have `wake` called at a time, and maybe at an earlier one. Called with the lock held."""
        if self._alarm is not None and self._alarm.is_alive() and self._alarm_at <= moment:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = threading.Timer(max(0.0, (moment - now()) / 1000), self._ring)
        self._alarm.daemon = True
        self._alarm_at = moment
        self._alarm.start()

    def _start_due(self, moment: int) -> int | None:
        """Start what is due by a schedule. When something will be next."""
        row = self._store.row("SELECT min(due) AS at FROM schedules")
        due: int | None = None if row is None else row["at"]
        if due is None or due > moment:
            return due
        with self._store.transaction() as database:
            return schedules.start_due(database, moment)

    def _ring(self) -> None:
        with self._lock:
            self._alarm = None
        self.wake()

    def _stop(self, run_id: int, how: str) -> None:
        with self._store.transaction() as database:
            tasks = lifecycle.stop(database, run_id, how, now())
        for task_run_id in tasks:
            self._end(task_run_id, lifecycle.STOPPED[how])
        self._placement.release()

    def _end(self, task_run_id: int, outcome: Outcome) -> None:
        with self._lock:
            execution = self._executions.get(task_run_id)
        if execution is not None:
            execution.end(outcome)
            if execution.pid is not None:
                return  # its thread sees the end of the process, and stores it
        with self._store.transaction() as database:
            row = database.execute(
                "SELECT * FROM task_runs WHERE run_id = ?", (task_run_id,)
            ).fetchone()
            if row is not None:
                lifecycle.end_task(database, records.task_run(row), outcome, now())

    def _run(self, task: TaskRun, execution: Execution) -> None:
        error = trace = None
        outcome: Outcome | None
        try:
            if "for_each_task" in task.task:
                outcome = None  # it ends with the last of its iterations
                found = parameters.inputs(self._site, self._job_run(task), task)
                with self._store.transaction() as database:
                    lifecycle.expand(database, task, found, now())
            else:
                outcome, error, trace = self._attempt(task, execution)
        except ClusterMissing as problem:
            outcome = records.cluster_missing(str(problem))
        except ClusterNotStarted as problem:
            outcome = records.cluster_not_started(str(problem))
        except ContextsExceeded:
            outcome = records.CONTEXTS_EXCEEDED
        except NotAllowed as problem:
            outcome = records.not_allowed(str(problem))
        except ConfigurationInvalid as problem:
            outcome = records.invalid_configuration(str(problem))
        except LibraryFailed as problem:
            outcome = records.library_failed(
                "Library installation failed for library due to user error. Error messages:\n"
                f"{problem}"
            )
        except Exception as problem:
            log.exception("task run %s", task.run_id)
            outcome = records.workspace_failed(problem)
        ended = execution.stop or outcome
        if ended is not None:
            self._record_end(task, ended, error, trace)
            if "existing_cluster_id" not in task.task:
                self._placement.release()
        with self._lock:
            del self._executions[task.run_id]
        self.wake()

    def _record_end(
        self, task: TaskRun, outcome: Outcome, error: str | None, trace: str | None
    ) -> None:
        """Store how a task ended; where the disk is full, as soon as it no longer is."""
        while True:
            try:
                with self._store.transaction() as database:
                    row = database.execute(
                        "SELECT * FROM task_runs WHERE run_id = ?", (task.run_id,)
                    ).fetchone()
                    if row is not None:
                        ended = records.task_run(row)
                        lifecycle.end_task(database, ended, outcome, now(), error, trace)
                        database.execute(
                            "UPDATE clusters SET active = ? WHERE cluster_id = ?",
                            (now(), ended.cluster_id),
                        )
                return
            except sqlite3.OperationalError:
                log.exception("the end of task run %s could not be stored yet", task.run_id)
                if self._stopping.wait(1.0):
                    return

    def _attempt(
        self, task: TaskRun, execution: Execution
    ) -> tuple[Outcome, str | None, str | None]:
        """Run a task to its end: how it ended, its error line and its traceback."""
        run = self._job_run(task)
        who = self._runs_as(run)
        execution.asker = (who, run.run_id)
        place = self._placement.prepare(run, task, who)
        with self._contexts.hold(place.cluster_id):
            return self._compute(run, task, execution, place)

    def _compute(
        self, run: JobRun, task: TaskRun, execution: Execution, place: TaskCompute
    ) -> tuple[Outcome, str | None, str | None]:
        arguments = parameters.arguments(self._site, run, task)
        call = program(self._mount, place.environment, task, arguments)
        if call is None:
            return (
                records.package_missing(task.task["python_wheel_task"]["package_name"]),
                None,
                None,
            )
        context = {
            "HOST": self._site.url,
            "TOKEN": execution.token,
            "JOB_RUN_ID": run.run_id,
            "TASK_RUN_ID": task.run_id,
            "PARAMETERS": run.job_parameters,
        }
        folder = self._task_folder(task)
        process = begin(
            execution,
            place.environment.python,
            folder,
            {**call, "context": context, "memory": self._task_memory},
            variables(place, execution, None if self._is_mounted else self._mount.root),
        )
        if process is None or execution.pid is None:
            return execution.stop or records.CANCELED, None, None
        with deadline(task, execution):
            with self._store.transaction() as database:
                lifecycle.execute(
                    database, task, arguments, execution.pid, execution.pid_started, now()
                )
            if self.on_start is not None:
                self.on_start(run, task)
            processes.wait(process)
        return read_result(folder, process.returncode)

    def _job_run(self, task: TaskRun) -> JobRun:
        row = self._store.row("SELECT * FROM runs WHERE run_id = ?", task.job_run_id)
        assert row is not None
        return records.job_run(row)

    def _runs_as(self, run: JobRun) -> Principal:
        principals = self._permissions.principals
        return (principals.by_name(run.runs_as) if run.runs_as else None) or principals.first

    def _watch_idle(self) -> None:
        while True:
            try:
                self._terminate_idle()
                self.wake()  # timers do not count the time that a machine sleeps
                retention.remove_old_runs(self._store, self._folder)
                self._remove_unused_environments()
            except sqlite3.OperationalError:
                log.exception("idle clusters and old runs could not be looked after yet")
            if self._stopping.wait(IDLE_CHECK_SECONDS):
                return

    def _remove_unused_environments(self) -> None:
        with self._lock:
            if not self._executions:
                self._clusters.remove_unused_environments()

    def _terminate_idle(self) -> None:
        for cluster in self._clusters.all():
            minutes = cluster.spec.get("autotermination_minutes", 0)
            if (
                cluster.state == "RUNNING"
                and minutes
                and now() - cluster.active > minutes * 60_000
                and not self._busy(cluster.cluster_id)
            ):
                self._clusters.terminate(
                    cluster.cluster_id, "INACTIVITY", {"inactivity_duration_min": str(minutes)}
                )

    def _busy(self, cluster_id: str) -> bool:
        row = self._store.row(
            "SELECT 1 FROM task_runs WHERE ended IS NULL AND cluster_id = ?", cluster_id
        )
        return row is not None
