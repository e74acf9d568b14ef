"""Runs one task: prepares its compute, starts its process and stores how it finished."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

from lakeflow_local.behaviors import OF_TASKS
from lakeflow_local.compute import processes
from lakeflow_local.compute.errors import (
    ClusterMissing,
    ClusterNotStarted,
    ConfigurationInvalid,
    ContextsExceeded,
    LibraryFailed,
    NotAllowed,
)
from lakeflow_local.compute.execution import (
    Execution,
    Result,
    TaskIdentity,
    deadline,
    program,
    read_result,
    start_driver,
    variables,
)
from lakeflow_local.compute.execution_contexts import ExecutionContexts
from lakeflow_local.compute.placement import Placement, TaskCompute
from lakeflow_local.config import ServerConfig
from lakeflow_local.identity.principals import Principals
from lakeflow_local.runs import lifecycle, parameters
from lakeflow_local.runs.parameters import Site
from lakeflow_local.runs.run_folders import RunFolders
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.database import now
from lakeflow_local.storage.files import Mount
from lakeflow_local.storage.outcomes import Outcome
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import JobRun
from lakeflow_local.storage.task_run_repository import TaskRun

log = logging.getLogger(__name__)


class TaskRunner:
    """Runs tasks, each in a thread of its caller. `on_start` is called when a process started."""

    def __init__(
        self,
        storage: Storage,
        principals: Principals,
        placement: Placement,
        mount: Mount,
        folders: RunFolders,
        site: Site,
        config: ServerConfig,
        *,
        is_mounted: bool,
        behaviors: frozenset[str],
    ) -> None:
        self._storage = storage
        self._principals = principals
        self._placement = placement
        self._contexts = ExecutionContexts()
        self._mount = mount
        self._folders = folders
        self._site = site
        self._is_mounted = is_mounted
        self._behaviors = sorted(behaviors & set(OF_TASKS))
        self._task_memory = config.task_memory
        self.stopping = threading.Event()
        self.on_start: Callable[[JobRun, TaskRun], None] | None = None

    def execution(self, task: TaskRun) -> Execution:
        """Return a new execution; its marker identifies all processes of the task."""
        return Execution(f"{self._site.workspace_id}/{task.run_id}")

    def run(self, task: TaskRun, execution: Execution) -> None:
        """Run a task until it has finished; a for-each task until its iterations are created."""
        result = self._result(task, execution)
        outcome = execution.stop or (None if result is None else result.outcome)
        if outcome is None:
            return  # the last iteration finishes a for-each task
        error, trace = (None, None) if result is None else (result.error, result.error_trace)
        self._finish(task, outcome, error, trace)
        if "existing_cluster_id" not in task.task:
            self._placement.release()

    def release_clusters(self) -> None:
        """Terminate the job clusters that no task needs any more."""
        self._placement.release()

    def _result(self, task: TaskRun, execution: Execution) -> Result | None:
        """Run a task; None if it is a for-each task whose iterations were created."""
        try:
            if "for_each_task" not in task.task:
                return self._attempt(task, execution)
            run = self._storage.runs.existing(task.job_run_id)
            lifecycle.expand(self._storage, task, parameters.inputs(self._site, run, task), now())
        except Exception as error:
            return Result(_outcome_of_error(task, error))
        return None

    def _attempt(self, task: TaskRun, execution: Execution) -> Result:
        run = self._storage.runs.existing(task.job_run_id)
        principal = self._principals.by_name_or_owner(run.runs_as)
        execution.identity = TaskIdentity(principal, run.run_id)
        compute = self._placement.prepare(run, task, principal)
        with self._contexts.hold(compute.cluster_id):
            return self._run_process(run, task, execution, compute)

    def _run_process(
        self, run: JobRun, task: TaskRun, execution: Execution, compute: TaskCompute
    ) -> Result:
        arguments = parameters.arguments(self._site, run, task)
        call = program(self._mount, compute.environment, task, arguments)
        if call is None:
            package = task.task["python_wheel_task"]["package_name"]
            return Result(outcomes.package_missing(package))
        context = {
            "HOST": self._site.url,
            "TOKEN": execution.token,
            "JOB_RUN_ID": run.run_id,
            "TASK_RUN_ID": task.run_id,
            "PARAMETERS": run.job_parameters,
            "BEHAVIORS": self._behaviors,
        }
        folder = self._folders.of_task(task)
        process = start_driver(
            execution,
            compute.environment.python,
            folder,
            {**call, "context": context, "memory": self._task_memory},
            variables(compute, execution, None if self._is_mounted else self._mount.root),
        )
        if process is None or execution.pid is None:
            return Result(execution.stop or outcomes.CANCELED)
        with deadline(task, execution):
            lifecycle.start_process(
                self._storage, task, arguments, execution.pid, execution.pid_started, now()
            )
            if self.on_start is not None:
                self.on_start(run, task)
            processes.wait(process)
        return read_result(folder, process.returncode)

    def _finish(
        self, task: TaskRun, outcome: Outcome, error: str | None, trace: str | None
    ) -> None:
        """Store how a task finished; while the disk is full, try again every second.

        If this outcome cannot be stored, store an internal error: a run that never finished would
        keep its slot.
        """
        while True:
            try:
                with self._storage.transaction():
                    current = self._storage.task_runs.get(task.run_id)
                    if current is not None:
                        lifecycle.finish_task(self._storage, current, outcome, now(), error, trace)
                        self._storage.clusters.touch(current.cluster_id)
                return
            except sqlite3.OperationalError:
                log.exception("the outcome of task run %s could not be stored yet", task.run_id)
            except Exception as problem:
                log.exception("the outcome of task run %s could not be stored", task.run_id)
                if error is not None or trace is not None:
                    outcome, error, trace = outcomes.not_stored(problem), None, None
                    continue
                outcome = outcomes.not_stored(problem)
            if self.stopping.wait(1.0):
                return


def _outcome_of_error(task: TaskRun, error: Exception) -> Outcome:
    """Return the outcome of a task that could not run."""
    text = str(error)
    if isinstance(error, ClusterMissing):
        return outcomes.cluster_missing(text)
    if isinstance(error, ClusterNotStarted):
        return outcomes.cluster_not_started(text)
    if isinstance(error, ContextsExceeded):
        return outcomes.CONTEXTS_EXCEEDED
    if isinstance(error, NotAllowed):
        return outcomes.not_allowed(text)
    if isinstance(error, ConfigurationInvalid):
        return outcomes.invalid_configuration(text)
    if isinstance(error, LibraryFailed):
        return outcomes.library_failed(
            "Library installation failed for library due to user error. Error messages:\n" + text
        )
    log.error("task run %s", task.run_id, exc_info=error)
    return outcomes.workspace_failed(error)
