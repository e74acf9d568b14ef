"""Runs tasks: takes those that wait, in order, as many at once as there are slots."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeflow.local import cleaning, lifecycle, processes, references, runs, schedules
from lakeflow.local.clusters import (
    CORES,
    Cluster,
    ClusterMissing,
    ClusterNotStarted,
    Clusters,
    LibraryFailed,
    environment_version,
    library_path,
)
from lakeflow.local.driver import OUT_OF_MEMORY
from lakeflow.local.environments import Environment
from lakeflow.local.files import Mount, PathOutside
from lakeflow.local.people import Principal
from lakeflow.local.rights import LEVELS, Rights, no_permission
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
MAX_ITERATIONS = 5000


class NotAllowed(Exception):
    """Whoever a task runs as may not use what it needs; the text says what."""


class ConfigurationInvalid(Exception):
    """A task can't run as it is set up; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where a task computes. `variables` are what its environment has of it."""

    environment: Environment
    home: Path
    variables: Mapping[str, str]


@dataclass
class Execution:
    """A task in the hands of a thread. `stop` is how it is to end, once somebody ends it.

    `token` is the task's own, good until it ends: what it asks the workspace with. `asker` is whose
    rights it has then, and its job run.
    """

    marker: str
    token: str = field(default_factory=lambda: secrets.token_hex(24))
    asker: tuple[Principal, int] | None = None
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
        rights: Rights,
        clusters: Clusters,
        mount: Mount,
        folder: Path,
        workspace_id: int,
        url: str,
        slots: int = CORES,
        *,
        is_mounted: bool = False,
        task_memory: int | None = None,
    ) -> None:
        self._store = store
        self._rights = rights
        self._clusters = clusters
        self._mount = mount
        self._folder = folder
        self._workspace_id = workspace_id
        self._url = url
        self._slots = slots
        self._is_mounted = is_mounted
        self._task_memory = task_memory
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
        left = [runs.task_run(row) for row in rows]
        for task in left:  # those who left their groups were ended by their marker
            processes.end_group(task.pid or 0, task.pid_started)
        with self._store.transaction() as database:
            for task in left:
                lifecycle.end_task(database, task, runs.INTERRUPTED, now())
        self._release()
        self._remove_unused_environments()
        cleaning.remove_strays(self._store, self._folder, self._folder.parent / "clusters")
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
                task = runs.task_run(row)
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
        """Whose rights the task has that was handed this token, and its job run."""
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
                execution.end(runs.CLUSTER_TERMINATED)

    def lose(self, task_run_id: int) -> None:
        """End a task as the loss of its machine does."""
        with self._lock:
            execution = self._executions.get(task_run_id)
        if execution is not None:
            execution.end(runs.PREEMPTED)

    def log_file(self, task: TaskRun) -> Path:
        """Where a task's standard output and error are."""
        return self._task_folder(task) / "log"

    def run_folder(self, job_run_id: int) -> Path:
        """Where the folders of a job run's tasks are."""
        return self._folder / str(job_run_id)

    def _task_folder(self, task: TaskRun) -> Path:
        return self.run_folder(task.job_run_id) / str(task.run_id)

    def _marker(self, task_run_id: int) -> str:
        return f"{self._workspace_id}/{task_run_id}"

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
        self._release()

    def _release(self) -> None:
        for cluster_id in self._clusters.release():
            shutil.rmtree(self._cluster_folder(cluster_id), ignore_errors=True)

    def _cluster_folder(self, name: str) -> Path:
        return self._folder.parent / "clusters" / name

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
                lifecycle.end_task(database, runs.task_run(row), outcome, now())

    def _run(self, task: TaskRun, execution: Execution) -> None:
        error = trace = None
        try:
            if "for_each_task" in task.task:
                outcome = self._expand(task)
            else:
                outcome, error, trace = self._attempt(task, execution)
        except ClusterMissing as problem:
            outcome = runs.cluster_missing(str(problem))
        except ClusterNotStarted as problem:
            outcome = runs.cluster_not_started(str(problem))
        except NotAllowed as problem:
            outcome = runs.not_allowed(str(problem))
        except ConfigurationInvalid as problem:
            outcome = runs.invalid_configuration(str(problem))
        except LibraryFailed as problem:
            outcome = runs.library_failed(
                "Library installation failed for library due to user error. Error messages:\n"
                f"{problem}"
            )
        except Exception as problem:
            log.exception("task run %s", task.run_id)
            outcome = runs.workspace_failed(problem)
        ended = execution.stop or outcome
        if ended is not None:
            self._record_end(task, ended, error, trace)
            if "existing_cluster_id" not in task.task:
                self._release()
        with self._lock:
            del self._executions[task.run_id]
        self.wake()

    def _expand(self, task: TaskRun) -> Outcome | None:
        """Begin the iterations of a for-each task; it ends with the last of them."""
        run = self._job_run(task)
        text = references.resolve(task.task["for_each_task"]["inputs"], self._values(run, task))
        try:
            inputs = json.loads(text)
        except ValueError:
            inputs = None
        if not isinstance(inputs, list) or len(inputs) > MAX_ITERATIONS:
            raise ConfigurationInvalid(
                f"The inputs of the for-each task {task.task_key} must be a JSON list of at most"
                f" {MAX_ITERATIONS} values: {text[:200]}"
            )
        with self._store.transaction() as database:
            lifecycle.expand(database, task, inputs, now())
        return None

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
                        ended = runs.task_run(row)
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
        place = self._place(run, task, who)
        parameters = self._parameters(run, task)
        call = self._call(place.environment, task, parameters)
        if call is None:
            return runs.package_missing(task.task["python_wheel_task"]["package_name"]), None, None
        folder = self._task_folder(task)
        work = folder / "work"
        work.mkdir(parents=True)
        context = {
            "HOST": self._url,
            "TOKEN": execution.token,
            "JOB_RUN_ID": run.run_id,
            "TASK_RUN_ID": task.run_id,
            "PARAMETERS": run.job_parameters,
        }
        with open(folder / "task.json", "x", encoding="utf-8", opener=_private) as file:
            json.dump({**call, "context": context, "memory": self._task_memory}, file)
        variables = self._variables(place, execution)
        with execution.lock, open(folder / "log", "xb") as output:
            if execution.stop is not None:
                return execution.stop, None, None
            process = subprocess.Popen(
                [place.environment.python, DRIVER, folder],
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            execution.pid = process.pid
            execution.pid_started = processes.started_at(process.pid)
        with _deadline(task, execution):
            with self._store.transaction() as database:
                lifecycle.execute(
                    database, task, parameters, process.pid, execution.pid_started, now()
                )
            if self.on_start is not None:
                self.on_start(run, task)
            processes.wait(process)
        return _read_result(folder, process.returncode)

    def _job_run(self, task: TaskRun) -> JobRun:
        row = self._store.row("SELECT * FROM runs WHERE run_id = ?", task.job_run_id)
        assert row is not None
        return runs.job_run(row)

    def _runs_as(self, run: JobRun) -> Principal:
        people = self._rights.people
        return (people.of_name(run.runs_as) if run.runs_as else None) or people.first

    def _place(self, run: JobRun, task: TaskRun, who: Principal) -> Place:
        """Bring up what the task is to compute on.

        Raises:
            ClusterMissing, ClusterNotStarted, LibraryFailed, NotAllowed
        """
        settings = task.task
        self._check_rights(run, task, who)
        if "environment_key" in settings:
            (spec,) = (
                entry.get("spec") or {}
                for entry in run.settings["environments"]
                if entry["environment_key"] == settings["environment_key"]
            )
            return Place(
                self._clusters.serverless(spec),
                self._cluster_folder("serverless") / "home",
                {"DATABRICKS_RUNTIME_VERSION": f"client.{environment_version(spec)}.0"},
            )
        cluster_id = task.cluster_id or self._job_cluster(run, task, who)
        environment = self._clusters.attach(cluster_id, settings.get("libraries", ()))
        cluster = self._clusters.get(cluster_id)
        return Place(
            environment,
            self._cluster_folder(cluster_id) / "home",
            {**self._clusters.variables(cluster_id), **_cluster_variables(cluster)},
        )

    def _check_rights(self, run: JobRun, task: TaskRun, who: Principal) -> None:
        """That the one whose rights the task has may use what it needs.

        Raises:
            ClusterMissing, LibraryFailed, NotAllowed
        """
        libraries: Sequence[Mapping[str, Any]] = task.task.get("libraries", ())
        paths = [path for library in libraries for path in library.values()]
        key = task.task.get("environment_key")
        for entry in run.settings.get("environments", ()) if key else ():
            if entry["environment_key"] == key:
                paths += (entry.get("spec") or {}).get("dependencies", ())
        for path in paths:
            if isinstance(path, str) and (why := self._rights.unreadable(who, path)):
                raise LibraryFailed(why)
        program = task.task.get("spark_python_task", {}).get("python_file", "")
        if why := self._rights.unreadable(who, program):
            raise NotAllowed(why)
        cluster_id = task.task.get("existing_cluster_id")
        if cluster_id is not None:
            self._check_rights_on_cluster(self._clusters.get(cluster_id), libraries, who)

    def _check_rights_on_cluster(
        self, cluster: Cluster, libraries: Sequence[Mapping[str, Any]], who: Principal
    ) -> None:
        cluster_id = cluster.cluster_id
        level = self._rights.on_cluster(who, cluster_id)
        if level < (LEVELS["clusters"]["CAN_RESTART"] if cluster.state == "TERMINATED" else 1):
            what = "Attach" if level == 0 else "Restart"
            raise NotAllowed(no_permission(who, what, cluster_id))
        single = cluster.single_user or who.name
        if single.casefold() != who.name.casefold():
            raise NotAllowed(
                f"Single-user check failed: user '{who.name}' attempted to run a command on"
                f" single-user cluster {cluster_id}, but the single user of this cluster is user"
                f" '{single}'"
            )
        if level < LEVELS["clusters"]["CAN_MANAGE"]:
            there = [item["library"] for item in self._clusters.library_statuses(cluster_id)]
            if any(library not in there for library in libraries):
                raise LibraryFailed(
                    "'Manage' permissions are required to install libraries on a cluster"
                )

    def _job_cluster(self, run: JobRun, task: TaskRun, who: Principal) -> str:
        key = task.task.get("job_cluster_key")
        spec = task.task.get("new_cluster")
        if key is not None:
            (spec,) = (
                entry["new_cluster"]
                for entry in run.settings["job_clusters"]
                if entry["job_cluster_key"] == key
            )
        assert spec is not None
        cluster_id = self._clusters.job_cluster(spec, run.run_id, key, task.run_id, who.name)
        with self._store.transaction() as database:
            database.execute(
                "UPDATE task_runs SET cluster_id = ? WHERE run_id = ?", (cluster_id, task.run_id)
            )
        return cluster_id

    def _call(
        self, environment: Environment, task: TaskRun, parameters: Sequence[str]
    ) -> dict[str, Any] | None:
        """What the driver is to run; None where the wheel task's package is not installed."""
        if "spark_python_task" in task.task:
            path = task.task["spark_python_task"]["python_file"]
            try:
                file = self._mount.real(library_path(path))
            except PathOutside:
                raise ConfigurationInvalid(f"Invalid path: {path}") from None
            if not file.is_file():
                raise ConfigurationInvalid(
                    f"Cannot read the python file {path}. Please check driver logs for more "
                    "details."
                )
            return {"file": str(file), "argv": [path, *parameters]}
        wheel_task = task.task["python_wheel_task"]
        package = wheel_task["package_name"]
        target = environment.entry_point(package, wheel_task["entry_point"])
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        return {
            "module": module.strip(),
            "attribute": attribute.strip() or wheel_task["entry_point"],
            "argv": [package, *parameters],
        }

    def _parameters(self, run: JobRun, task: TaskRun) -> list[str]:
        """What follows the program's name in the task's argv."""
        settings = task.task.get("python_wheel_task") or task.task["spark_python_task"]
        if "python_params" in run.trigger:
            given = list(run.trigger["python_params"])
        elif "python_named_params" in run.trigger and "python_wheel_task" in task.task:
            given = _named(run.trigger["python_named_params"])
        elif "named_parameters" in settings:
            # Job parameters are pushed down to keyword arguments, and win over the task's own.
            given = _named(settings["named_parameters"] | run.job_parameters)
        else:
            given = list(settings.get("parameters", ()))
        if not any("{{" in text for text in given):
            return given
        values = self._values(run, task)
        return [references.resolve(text, values) for text in given]

    def _values(self, run: JobRun, task: TaskRun) -> dict[str, str]:
        """What dynamic value references stand for in a task."""
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
            trigger_type=run.trigger_type,
            triggered=run.trigger.get("due", run.created),
            job_parameters=run.job_parameters,
        )
        if task.iteration is not None and task.input is not None:
            values |= references.input_values(json.loads(task.input))
        if "{{tasks." in json.dumps(task.task):
            values |= self._values_of_others(run)
        return values

    def _values_of_others(self, run: JobRun) -> dict[str, str]:
        with self._store.transaction() as database:
            tasks = lifecycle.latest_tasks(database, run.run_id)
            found: dict[str, str] = {}
            for key, task in tasks.items():
                found[f"tasks.{key}.run_id"] = str(task.run_id)
                found[f"tasks.{key}.execution_count"] = str(task.attempt + 1)
                if task.outcome is not None:
                    found[f"tasks.{key}.result_state"] = task.outcome.result.lower()
                for name, value in task_values(database, task.run_id).items():
                    found[f"tasks.{key}.values.{name}"] = references.as_text(value)
        return found

    def _variables(self, place: Place, execution: Execution) -> dict[str, str]:
        """A task's environment: what its compute has; where the trees are, if not at the root."""
        place.home.mkdir(parents=True, exist_ok=True)
        bin_folder = place.environment.folder / "bin"
        return {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "LANG": "C.UTF-8",
            "HOME": str(place.home),
            "USER": "root",
            **place.variables,
            "PATH": f"{bin_folder}:{place.variables.get('PATH', SYSTEM_PATH)}",
            "VIRTUAL_ENV": str(place.environment.folder),
            **({} if self._is_mounted else {"LAKEFLOW_MOUNT": str(self._mount.root)}),
            processes.MARKER: execution.marker,
        }

    def _watch_idle(self) -> None:
        while True:
            try:
                self._terminate_idle()
                self.wake()  # timers do not count the time that a machine sleeps
                cleaning.remove_old_runs(self._store, self._folder)
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


def task_values(database: sqlite3.Connection, task_run_id: int) -> dict[str, Any]:
    """What a task run has set with `dbutils.jobs.taskValues.set`."""
    rows = database.execute(
        "SELECT key, value FROM task_values WHERE task_run_id = ?", (task_run_id,)
    )
    return {row["key"]: json.loads(row["value"]) for row in rows}


def _cluster_variables(cluster: Cluster) -> dict[str, str]:
    """What the environment of every process on a cluster's driver says of the cluster."""
    return {
        "DATABRICKS_RUNTIME_VERSION": cluster.runtime_version,
        "DB_CLUSTER_ID": cluster.cluster_id,
        "DB_CLUSTER_NAME": cluster.spec.get("cluster_name", ""),
        "DB_IS_DRIVER": "TRUE",
        "DB_IS_JOB_CLUSTER": "FALSE" if cluster.job_run_id is None else "TRUE",
        "DB_DRIVER_IP": "127.0.0.1",
        "DB_CONTAINER_IP": "127.0.0.1",
        "DB_INSTANCE_TYPE": cluster.spec.get("node_type_id", ""),
    }


@contextmanager
def _deadline(task: TaskRun, execution: Execution) -> Iterator[None]:
    """End the task when its own time is over; 0 is no limit."""
    seconds = task.task.get("timeout_seconds", 0)
    if not seconds:
        yield
        return
    timer = threading.Timer(seconds, execution.end, (runs.TIMED_OUT,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _named(parameters: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in parameters.items()]


def _read_result(folder: Path, returncode: int) -> tuple[Outcome, str | None, str | None]:
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        end = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        error = f"The Python process ended with {end} before the entry point returned."
        if returncode == -signal.SIGKILL:
            error = OUT_OF_MEMORY
        return runs.WORKLOAD_FAILED, error, None
    finally:
        (folder / "task.json").unlink(missing_ok=True)
        _remove_if_empty(folder / "work")
    if result["error"] is not None:
        return runs.WORKLOAD_FAILED, result["error"], result["error_trace"]
    return runs.SUCCEEDED, None, None


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
