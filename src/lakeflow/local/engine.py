"""Runs tasks: takes those that wait, in order, as many at once as there are slots."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lakeflow.local import processes, references, runs
from lakeflow.local.clusters import (
    CORES,
    Cluster,
    ClusterMissing,
    ClusterNotStarted,
    Clusters,
    LibraryFailed,
)
from lakeflow.local.environments import Environment
from lakeflow.local.files import Mount
from lakeflow.local.runs import JobRun, Outcome, TaskRun
from lakeflow.local.store import Store, now

log = logging.getLogger(__name__)

DRIVER = Path(__file__).with_name("driver.py")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "TZ",
]
"""What a task gets of the server's own environment: how this machine reaches the network."""

IDLE_CHECK_SECONDS = 30.0


@dataclass
class Execution:
    """A task in the hands of a thread. `stop` is how it is to end, once somebody ends it."""

    marker: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: Outcome | None = None
    pid: int | None = None
    pid_started: str | None = None

    def end(self, outcome: Outcome) -> None:
        """End the task with this outcome, unless somebody has ended it with another."""
        with self.lock:
            self.stop = self.stop or outcome
            if self.pid is not None:
                processes.end(self.pid, self.pid_started, self.marker)


class Engine:
    """The only one who starts and ends tasks' processes."""

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        mount: Mount,
        folder: Path,
        workspace_id: int,
        url: str,
        slots: int = CORES,
    ) -> None:
        self._store = store
        self._clusters = clusters
        self._mount = mount
        self._folder = folder
        self._workspace_id = workspace_id
        self._url = url
        self._slots = slots
        self._lock = threading.Lock()
        self._executions: dict[int, Execution] = {}
        self._stopping = threading.Event()
        self._idle: threading.Thread | None = None

    def start(self) -> None:
        """Mark what an earlier server left in the middle, and begin."""
        for row in self._store.rows("SELECT * FROM task_runs WHERE ended IS NULL"):
            task = runs.task_run(row)
            processes.end(task.pid or 0, task.pid_started, self._marker(task.run_id))
            with self._store.transaction() as database:
                runs.end_task(database, task, runs.INTERRUPTED, now())
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
            execution.end(runs.INTERRUPTED)

    def wake(self) -> None:
        """Start tasks that wait, while there are slots. To be called whenever one was added."""
        with self._lock:
            if self._stopping.is_set():
                return
            moment = now()
            rows = self._store.rows(
                "SELECT * FROM task_runs WHERE ended IS NULL AND phase = 'PENDING'"
                " ORDER BY run_id LIMIT ?",
                self._slots + len(self._executions) + 1000,  # some may wait for their retry
            )
            for row in rows:
                task = runs.task_run(row)
                if task.run_id in self._executions:
                    continue
                if task.not_before > moment:
                    self._wake_in((task.not_before - moment) / 1000)
                elif len(self._executions) < self._slots:
                    execution = Execution(self._marker(task.run_id))
                    self._executions[task.run_id] = execution
                    threading.Thread(
                        target=self._run,
                        args=(task, execution),
                        name=f"task run {task.run_id}",
                        daemon=True,
                    ).start()
                else:
                    break

    def active(self) -> int:
        """How many runs have not ended."""
        row = self._store.row("SELECT count(*) FROM runs WHERE ended IS NULL")
        return 0 if row is None else int(row[0])

    def cancel(self, run_id: int) -> None:
        """End a job run or a task run by a user's wish; returns when its processes are gone."""
        with self._store.transaction() as database:
            tasks = runs.cancel(database, run_id, now())
        for task_run_id in tasks:
            self._end(task_run_id, runs.CANCELED)
        self.wake()

    def end_tasks_on(self, cluster_id: str) -> None:
        """End the tasks that run on a cluster which is being stopped."""
        rows = self._store.rows(
            "SELECT run_id FROM task_runs WHERE ended IS NULL AND cluster_id = ?", cluster_id
        )
        for row in rows:
            with self._lock:
                execution = self._executions.get(row["run_id"])
            if execution is not None:
                execution.end(runs.CLUSTER_TERMINATED)

    def log_file(self, task: TaskRun) -> Path:
        """Where a task's standard output and error are."""
        return self._task_folder(task) / "log"

    def _task_folder(self, task: TaskRun) -> Path:
        return self._folder / str(task.job_run_id) / str(task.run_id)

    def _marker(self, task_run_id: int) -> str:
        return f"{self._workspace_id}/{task_run_id}"

    def _wake_in(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.wake)
        timer.daemon = True
        timer.start()

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
                runs.end_task(database, runs.task_run(row), outcome, now())

    def _run(self, task: TaskRun, execution: Execution) -> None:
        error = trace = None
        try:
            outcome, error, trace = self._attempt(task, execution)
        except (ClusterMissing, ClusterNotStarted) as problem:
            missing = isinstance(problem, ClusterMissing)
            outcome = (
                runs.cluster_missing(task.cluster_id)
                if missing
                else runs.cluster_not_started(str(problem))
            )
        except LibraryFailed as problem:
            outcome = runs.library_failed(
                "Library installation failed for library due to user error. Error messages:\n"
                f"{problem}"
            )
        except Exception as problem:
            log.exception("task run %s", task.run_id)
            outcome = runs.workspace_failed(problem)
        self._record_end(task, execution.stop or outcome, error, trace)
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
                        runs.end_task(database, runs.task_run(row), outcome, now(), error, trace)
                        database.execute(
                            "UPDATE clusters SET active = ? WHERE cluster_id = ?",
                            (now(), task.cluster_id),
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
        row = self._store.row("SELECT * FROM runs WHERE run_id = ?", task.job_run_id)
        assert row is not None
        run = runs.job_run(row)
        environment = self._clusters.attach(task.cluster_id, task.task.get("libraries", ()))
        wheel_task = task.task["python_wheel_task"]
        package = wheel_task["package_name"]
        target = environment.entry_point(package, wheel_task["entry_point"])
        if target is None:
            return runs.package_missing(package), None, None
        parameters = self._parameters(run, task)
        folder = self._task_folder(task)
        work = folder / "work"
        work.mkdir(parents=True)
        module, _, attribute = target.partition(":")
        call = {
            "module": module.strip(),
            "attribute": attribute.strip() or wheel_task["entry_point"],
            "argv": [package, *parameters],
        }
        (folder / "task.json").write_text(json.dumps(call), encoding="utf-8")
        variables = self._variables(self._clusters.get(task.cluster_id), environment, execution)
        with execution.lock, open(folder / "log", "xb") as output:
            if execution.stop is not None:
                return execution.stop, None, None
            process = subprocess.Popen(
                [environment.python, DRIVER, folder],
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            execution.pid = process.pid
            execution.pid_started = processes.started_at(process.pid)
        with self._deadline(run, task, execution):
            with self._store.transaction() as database:
                runs.execute(database, task, parameters, process.pid, execution.pid_started, now())
            processes.wait(process)
        return _read_result(folder, process.returncode)

    def _parameters(self, run: JobRun, task: TaskRun) -> list[str]:
        """What follows the package's name in the task's argv."""
        wheel_task = task.task["python_wheel_task"]
        if "python_params" in run.trigger:
            given = list(run.trigger["python_params"])
        elif "python_named_params" in run.trigger:
            given = _named(run.trigger["python_named_params"])
        elif "named_parameters" in wheel_task:
            # Job parameters are pushed down to keyword arguments, and win over the task's own.
            given = _named(wheel_task["named_parameters"] | run.job_parameters)
        else:
            given = list(wheel_task.get("parameters", ()))
        values = references.run_values(
            job_id=run.job_id,
            job_name=run.settings["name"],
            job_run_id=run.run_id,
            task_run_id=task.run_id,
            task_key=task.task_key,
            attempt=task.attempt,
            started=run.created,
            workspace_id=self._workspace_id,
            workspace_url=self._url,
            job_parameters=run.job_parameters,
        )
        return [references.resolve(text, values) for text in given]

    def _variables(
        self, cluster: Cluster, environment: Environment, execution: Execution
    ) -> dict[str, str]:
        """A task's environment: what a cluster has, and nothing of ours but the mount."""
        home = self._folder.parent / "clusters" / cluster.cluster_id / "home"
        home.mkdir(parents=True, exist_ok=True)
        own = cluster.spec.get("spark_env_vars", {})
        return {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "USER": "root",
            **own,
            "PATH": f"{environment.folder / 'bin'}:{own.get('PATH', SYSTEM_PATH)}",
            "VIRTUAL_ENV": str(environment.folder),
            "DATABRICKS_RUNTIME_VERSION": ".".join(cluster.spec["spark_version"].split(".")[:2]),
            "DB_CLUSTER_ID": cluster.cluster_id,
            "DB_CLUSTER_NAME": cluster.spec.get("cluster_name", ""),
            "DB_IS_DRIVER": "TRUE",
            "DB_IS_JOB_CLUSTER": "FALSE",
            "DB_DRIVER_IP": "127.0.0.1",
            "DB_CONTAINER_IP": "127.0.0.1",
            "DB_INSTANCE_TYPE": cluster.spec.get("node_type_id", ""),
            "LAKEFLOW_MOUNT": str(self._mount.root),
            processes.MARKER: execution.marker,
        }

    @contextmanager
    def _deadline(self, run: JobRun, task: TaskRun, execution: Execution) -> Iterator[None]:
        """End the task when its own time or that of its run is over; 0 is no limit."""
        limits = []
        if task.task.get("timeout_seconds", 0):
            limits.append(float(task.task["timeout_seconds"]))
        if run.settings.get("timeout_seconds", 0):
            limits.append(run.settings["timeout_seconds"] - (now() - run.created) / 1000)
        if not limits:
            yield
            return
        timer = threading.Timer(max(0.0, min(limits)), execution.end, (runs.TIMED_OUT,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _watch_idle(self) -> None:
        while not self._stopping.wait(IDLE_CHECK_SECONDS):
            try:
                self._terminate_idle()
            except sqlite3.OperationalError:
                log.exception("idle clusters could not be terminated yet")

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


def _named(parameters: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in parameters.items()]


def _read_result(folder: Path, returncode: int) -> tuple[Outcome, str | None, str | None]:
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        end = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        error = f"The Python process ended with {end} before the entry point returned."
        return runs.WORKLOAD_FAILED, error, None
    finally:
        (folder / "task.json").unlink()
        _remove_if_empty(folder / "work")
    if result["error"] is not None:
        return runs.WORKLOAD_FAILED, result["error"], result["error_trace"]
    return runs.SUCCEEDED, None, None


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
