"""Runs: triggered exactly once for each thing asked, followed to their end."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lakeflow.errors import LakeflowError, UsageError
from lakeflow.jobs import CALL_PARAMETER
from lakeflow.journal import Invocation
from lakeflow.logs import Ending, TaskOutput
from lakeflow.workspace import ApiError, ReplyLost, Workspace
from lakeflow_task.protocol import decode_call

_API = "/api/2.2/jobs"
_TRIGGERS_AT_ONCE = 8
_REQUESTS_A_SECOND = 20.0
"""Requests for output that all followed runs share; export allows 60 a workspace and second."""

_PAGE = 24
"""Runs that one page of runs/list holds at most (Jobs API, runs/list)."""

_POLL_SECONDS = 1.0
"""Between two looks at a run that is followed."""

_ASKED_ONE_BY_ONE = 3
"""Runs of one job that are asked for one by one; more of them share one list."""

_SHARED_SECONDS = 0.8
"""How old a list may be that is shared; less than the time between two looks."""

_ROOT = "--root="
_REQUIRES = "--requires="


@dataclass(frozen=True)
class State:
    """Where a run is: `life` in Databricks' words, `outcome` once it has ended, else None.

    Outcomes are `succeeded`, `failed`, `cancelled` and `skipped`.
    """

    life: str
    outcome: str | None
    message: str
    code: str = ""
    """Databricks' `termination_details.code`, once it has ended."""

    @property
    def began(self) -> bool:
        """Whether its code may have been started."""
        return self.outcome is not None or self.life in ("RUNNING", "TERMINATING")


@dataclass(frozen=True)
class Task:
    """An attempt of a task of a run; `root` is where its runner ships its output.

    `attempt` counts from 0. Times are Unix milliseconds; 0 where it has not come to that.
    """

    key: str
    run_id: int
    state: State
    root: str | None
    attempt: int = 0
    started: int = 0
    ended: int = 0
    url: str = ""
    code: tuple[str, ...] = ()
    """Its libraries and the versions that its runner insists on, as `code_of` tells them."""


@dataclass(frozen=True)
class Run:
    """A run of a job. Times are Unix milliseconds; 0 where it has not come to that.

    `tasks` are the last attempts, `attempts` are all. `argv` is what it was triggered with: None
    where another client sent something that is no list of arguments.
    """

    id: int
    job_id: int
    url: str
    state: State
    tasks: tuple[Task, ...]
    started: int
    ended: int
    attempts: tuple[Task, ...] = ()
    name: str = ""
    argv: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    """The names of the environment variables that it was given."""
    call: str | None = None
    """The job parameter that it was triggered with, to be sent again."""


@dataclass(frozen=True)
class Asked:
    """A run that is asked for: the `ordinal`-th call of a job."""

    job_id: int
    ordinal: int
    argv: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What became of a run that was asked for; `status` is running, succeeded or failed."""

    ordinal: int
    argv: tuple[str, ...]
    run_id: int
    url: str
    status: str
    exit_code: int | None
    error: str | None


class Screen(Protocol):
    """Where followed runs show themselves. Called from several threads."""

    def started(self, index: int, run_id: int, url: str) -> None:
        """A run was triggered, or found to have been."""

    def output(self, index: int, text: str) -> None:
        """A piece of a run's output, which may begin and end within a line."""

    def ended(self, index: int, run: Run, ending: Ending) -> None:
        """A run has ended."""


class Interrupted(LakeflowError):
    """Ctrl-C while runs were started or followed: the runs go on."""

    exit_code = 130

    def __init__(self, results: Sequence[RunResult], asked: int) -> None:
        going = [result.run_id for result in results if result.status == "running"]
        super().__init__(
            f"interrupted; {len(results)} of {asked} runs were started, {len(going)} go on"
        )
        self.results = tuple(results)
        self.going = tuple(going)
        self.all_started = len(results) == asked
        self.advice = ""

    def __str__(self) -> str:
        return f"{super().__str__()}. {self.advice}".rstrip()


def call_parameters(call: str) -> dict[str, Any]:
    """What run-now takes to hand a call to a job that lakeflow deployed."""
    return {"job_parameters": {CALL_PARAMETER: call}}


def get(workspace: Workspace, run_id: int) -> Run:
    """The run with this id. Raises UsageError where there is none."""
    try:
        raw = workspace.get(f"{_API}/runs/get", run_id=run_id)
        token = raw.get("next_page_token")
        while token:  # of more than 100 tasks
            page = workspace.get(f"{_API}/runs/get", run_id=run_id, page_token=token)
            raw["tasks"] += page.get("tasks") or []
            token = page.get("next_page_token")
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no run {run_id} in {workspace.host}") from error
        raise
    return _read(raw)


def cancel(workspace: Workspace, run_id: int) -> None:
    """Ask for the end of a run, which comes soon after. One that has ended stays as it is."""
    try:
        workspace.post(f"{_API}/runs/cancel", {"run_id": run_id}, repeatable=True)
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no run {run_id} in {workspace.host}") from error
        raise


def repair(workspace: Workspace, run_id: int, parameters: Mapping[str, Any]) -> int:
    """Run again what failed of a run that has ended, and what depends on it; the repair's id.

    The tasks take the job's current settings, and the parameters have to be sent again (Jobs API,
    runs/repair). It is asked for once: where the reply was lost, the history tells.
    """
    last = _last_repair(workspace, run_id)
    body = {
        "run_id": run_id,
        "rerun_all_failed_tasks": True,
        "rerun_dependent_tasks": True,
        **parameters,
    }
    if last is not None:
        body["latest_repair_id"] = last
    try:
        reply = workspace.post(f"{_API}/runs/repair", body, repeatable=False)
    except ReplyLost:
        made = _last_repair(workspace, run_id)
        if made is None or made == last:
            raise
        return made
    return int(reply["repair_id"])


def _last_repair(workspace: Workspace, run_id: int) -> int | None:
    run = workspace.get(f"{_API}/runs/get", run_id=run_id, include_history="true")
    history = [item for item in run.get("repair_history") or [] if item.get("type") == "REPAIR"]
    last = max(history, key=lambda item: int(item.get("start_time") or 0), default=None)
    return None if last is None else int(last["id"])


def code_of(task: Mapping[str, Any]) -> tuple[str, ...]:
    """What decides which code a task runs, in the settings of a job and in a run alike."""
    parameters = (task.get("python_wheel_task") or {}).get("parameters") or []
    requires = [text for text in parameters if text.startswith(_REQUIRES)]
    libraries = [json.dumps(library, sort_keys=True) for library in task.get("libraries") or []]
    return (*sorted(libraries), *sorted(requires))


def why(state: State) -> str | None:
    """What Databricks' short message about an unsuccessful end means, and what to do about it."""
    return None if state.outcome in (None, "succeeded") else _MEANING.get(state.code)


def of_job(workspace: Workspace, job_id: int, limit: int) -> list[Run]:
    """The newest runs of a job, at most `limit`."""
    size = min(_PAGE, limit)
    found = workspace.pages(f"{_API}/runs/list", "runs", job_id=job_id, limit=size)
    return [_read(raw) for raw in itertools.islice(found, limit)]


def any_active(workspace: Workspace, job_id: int) -> bool:
    """Whether a run of a job waits or computes."""
    page = workspace.get(f"{_API}/runs/list", job_id=job_id, active_only="true", limit=1)
    return bool(page.get("runs"))


def trigger(workspace: Workspace, asked: Asked, invocation: Invocation) -> int:
    """The id of the run that is asked for, started now or by this invocation before."""
    known = invocation.started.get((asked.job_id, asked.ordinal))
    if known is not None:
        return known
    body = {
        "job_id": asked.job_id,
        "idempotency_token": invocation.token(workspace.host, asked.job_id, asked.ordinal),
        **asked.parameters,
    }
    run_id = int(workspace.post(f"{_API}/run-now", body, repeatable=True)["run_id"])
    invocation.record(asked.job_id, asked.ordinal, run_id)
    return run_id


def start(
    workspace: Workspace, asked: Sequence[Asked], invocation: Invocation
) -> tuple[RunResult, ...]:
    """Trigger every run that is asked for and return at once."""

    def one(it: Asked) -> RunResult:
        return _running(workspace, it, trigger(workspace, it, invocation))

    with ThreadPoolExecutor(_TRIGGERS_AT_ONCE) as pool:
        results = tuple(pool.map(one, asked))
    invocation.finish()
    return results


def start_and_follow(
    workspace: Workspace,
    asked: Sequence[Asked],
    invocation: Invocation,
    screen: Screen,
    *,
    in_flight: int,
) -> tuple[RunResult, ...]:
    """Trigger the runs that are asked for, `in_flight` at a time, and follow each to its end.

    Raises Interrupted on Ctrl-C. The invocation is finished when all have ended, or when they are
    interrupted after all were started; in every other case the same command resumes it.
    """
    started: dict[int, RunResult] = {}

    def one(index: int) -> RunResult:
        it = asked[index]
        run_id = trigger(workspace, it, invocation)
        started[index] = _running(workspace, it, run_id)
        screen.started(index, run_id, started[index].url)
        try:
            run, ending = _follow(board, it.job_id, run_id, crew, show_at(index))
        except UsageError as gone:  # the run of an earlier, interrupted command was deleted
            return replace(started[index], status="failed", error=str(gone))
        screen.ended(index, run, ending)
        return _result(it, run, ending)

    def show_at(index: int) -> Callable[[Task, str], None]:
        return lambda task, text: screen.output(index, text)

    board, crew = _Board(workspace), _Crew(len(asked), one)
    try:
        results = crew.work(in_flight)
    except KeyboardInterrupt:
        so_far = {**started, **crew.results}
        if len(so_far) == len(asked):
            invocation.finish()
        raise Interrupted([so_far[index] for index in sorted(so_far)], len(asked)) from None
    invocation.finish()
    return results


def follow(workspace: Workspace, run_ids: Sequence[int], screen: Screen) -> tuple[RunResult, ...]:
    """Follow runs that were started before. Raises UsageError for an unknown one, Interrupted."""
    with ThreadPoolExecutor(_TRIGGERS_AT_ONCE) as pool:
        known = list(pool.map(lambda run_id: get(workspace, run_id), run_ids))
    asked = [Asked(run.job_id, n, run.argv or (), {}) for n, run in enumerate(known)]

    def one(index: int) -> RunResult:
        run_id = run_ids[index]
        screen.started(index, run_id, url_of(workspace, asked[index].job_id, run_id))
        run, ending = _follow(board, asked[index].job_id, run_id, crew, show_at(index))
        screen.ended(index, run, ending)
        return _result(asked[index], run, ending)

    def show_at(index: int) -> Callable[[Task, str], None]:
        return lambda task, text: screen.output(index, text)

    board, crew = _Board(workspace), _Crew(len(run_ids), one)
    try:
        return crew.work(len(run_ids))
    except KeyboardInterrupt:
        running = {n: _running(workspace, asked[n], run_id) for n, run_id in enumerate(run_ids)}
        so_far = {**running, **crew.results}
        raise Interrupted([so_far[n] for n in sorted(so_far)], len(run_ids)) from None


def url_of(workspace: Workspace, job_id: int, run_id: int) -> str:
    """The page of a run."""
    return f"{workspace.host}/jobs/{job_id}/runs/{run_id}"


class _Crew:
    """Threads that take the numbers 0 to `count` in order and work on some of them at a time.

    After a failure none is begun, but those begun are worked out; then the failure is raised.
    The threads are daemons, so that Ctrl-C does not wait for what they wait for.
    """

    def __init__(self, count: int, one: Callable[[int], RunResult]) -> None:
        self._waiting = deque(range(count))
        self._one = one
        self.results: dict[int, RunResult] = {}
        self._failures: list[BaseException] = []
        self._active = 0
        self._lock = threading.Lock()

    @property
    def pace(self) -> float:
        """Seconds between two looks at one run's output: one, and more when there are many."""
        return max(1.0, self._active / _REQUESTS_A_SECOND)

    def work(self, at_once: int) -> tuple[RunResult, ...]:
        """Do all of it and return the results in order."""
        count = min(max(at_once, 1), len(self._waiting))
        threads = [threading.Thread(target=self._take, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return tuple(self.results[index] for index in sorted(self.results))

    def _take(self) -> None:
        while True:
            with self._lock:
                if self._failures or not self._waiting:
                    return
                index = self._waiting.popleft()
                self._active += 1
            try:
                self.results[index] = self._one(index)
            except BaseException as error:
                self._failures.append(error)
            finally:
                with self._lock:
                    self._active -= 1


class _Board:
    """Where followed runs are. Many of one job share one list of the job's active runs."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._followed: dict[int, set[int]] = defaultdict(set)
        self._active: dict[int, tuple[float, dict[int, Run]]] = {}
        self._locks: dict[int, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def look(self, job_id: int, run_id: int) -> Run:
        """The run as it is now, or was less than `_SHARED_SECONDS` ago."""
        with self._lock:
            followed = self._followed[job_id]
            followed.add(run_id)
            lock, many = self._locks[job_id], len(followed) > _ASKED_ONE_BY_ONE
        active: dict[int, Run] = {}
        if many:
            with lock:
                seen, active = self._active.get(job_id, (0.0, active))
                if time.monotonic() - seen > _SHARED_SECONDS:
                    seen, active = time.monotonic(), self._list(job_id)
                    self._active[job_id] = seen, active
        if run_id in active:
            return active[run_id]
        run = get(self.workspace, run_id)  # the only one who knows of its end
        if run.state.outcome is not None:
            with self._lock:
                self._followed[job_id].discard(run_id)
        return run

    def _list(self, job_id: int) -> dict[int, Run]:
        """The active ones of the runs that are followed."""
        with self._lock:
            missing = set(self._followed[job_id])
        options = {"active_only": "true", "expand_tasks": "true", "limit": _PAGE}
        found: dict[int, Run] = {}
        for raw in self.workspace.pages(f"{_API}/runs/list", "runs", job_id=job_id, **options):
            run_id = int(raw["run_id"])
            if run_id in missing:
                missing.remove(run_id)
                found[run_id] = _read(raw)
            if not missing:
                break
        return found


def _follow(
    board: _Board, job_id: int, run_id: int, crew: _Crew, show: Callable[[Task, str], None]
) -> tuple[Run, Ending]:
    """Follow a run to its end and show what the last attempts of its tasks print meanwhile."""
    output = Output(board.workspace, show)
    pause, shown = threading.Event(), -math.inf
    while True:
        run = board.look(job_id, run_id)
        if run.state.outcome is not None:
            return run, output.finish(run, run.tasks)
        if time.monotonic() - shown >= crew.pace:
            output.pull(run, run.tasks)
            shown = time.monotonic()
        pause.wait(_POLL_SECONDS)


class Output:
    """What the tasks of a run print, shown as it arrives; the last `tail` lines of what is there.

    `show` is called with the task and a piece of text, which may begin and end within a line.
    """

    def __init__(
        self, workspace: Workspace, show: Callable[[Task, str], None], tail: int | None = None
    ) -> None:
        self._workspace = workspace
        self._show = show
        self._tail = tail
        self._outputs: dict[int, TaskOutput] = {}
        self.endings: dict[int, Ending] = {}
        """How tasks that were finished have ended, by their run's id."""

    def pull(self, run: Run, tasks: Sequence[Task]) -> None:
        """Show what was shipped since the last time."""
        for task in tasks:
            if task.state.began:
                self._of(run, task).pull()

    def finish(self, run: Run, tasks: Sequence[Task]) -> Ending:
        """Show the rest of tasks that have ended, and say how the first that failed did."""
        worst = Ending()
        for task in tasks:
            if task.run_id not in self.endings:
                succeeded = task.state.outcome == "succeeded"
                ending = self._of(run, task).finish(succeeded=succeeded)
                self.endings[task.run_id] = ending
            worst = _worse(worst, self.endings[task.run_id])
        return worst

    def _of(self, run: Run, task: Task) -> TaskOutput:
        known = self._outputs.get(task.run_id)
        if known is None:
            folder = folder_of(run, task)

            def show(text: str) -> None:
                self._show(task, text)

            known = TaskOutput(self._workspace, task.run_id, folder, show, self._tail)
            self._outputs[task.run_id] = known
        return known


def folder_of(run: Run, task: Task) -> str | None:
    """Where a task's runner writes; None for a task that lakeflow did not deploy."""
    return f"{task.root}/runs/{run.id}/{task.run_id}" if task.root else None


def _worse(one: Ending, other: Ending) -> Ending:
    return one if one.error or one.exit_code else other


def _running(workspace: Workspace, asked: Asked, run_id: int) -> RunResult:
    url = url_of(workspace, asked.job_id, run_id)
    return RunResult(asked.ordinal, asked.argv, run_id, url, "running", None, None)


def _result(asked: Asked, run: Run, ending: Ending) -> RunResult:
    succeeded = run.state.outcome == "succeeded"
    error = None if succeeded else (ending.error or run.state.message or run.state.outcome)
    return RunResult(
        ordinal=asked.ordinal,
        argv=asked.argv,
        run_id=run.id,
        url=run.url,
        status="succeeded" if succeeded else "failed",
        exit_code=ending.exit_code,
        error=error,
    )


def _read(raw: Mapping[str, Any]) -> Run:
    listed = sorted(raw.get("tasks") or [], key=_turn)
    attempts = tuple(_task(task) for task in listed)  # every attempt: the last one counts
    last = {task.key: task for task in attempts}
    call, argv, env = _asked(raw)
    return Run(
        id=int(raw["run_id"]),
        job_id=int(raw.get("job_id") or 0),
        url=str(raw.get("run_page_url") or ""),
        state=_state(raw),
        tasks=tuple(last.values()),
        started=int(raw.get("start_time") or 0),
        ended=int(raw.get("end_time") or 0),
        attempts=attempts,
        name=str(raw.get("run_name") or ""),
        argv=argv,
        env=env,
        call=call,
    )


def _turn(task: Mapping[str, Any]) -> tuple[float, int]:
    """What sorts attempts, those of a repair too, as they came."""
    return task.get("start_time") or math.inf, task.get("attempt_number") or 0


def _asked(raw: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None, tuple[str, ...]]:
    """What a run was triggered with: the call as it was sent, its arguments, its variables."""
    for parameter in raw.get("job_parameters") or []:
        if parameter.get("name") == CALL_PARAMETER:
            call = str(parameter.get("value") or parameter.get("default") or "")
            try:
                decoded = decode_call(call)
            except ValueError:
                return call, None, ()
            return call, decoded.argv, tuple(name for name, _ in decoded.env)
    given = (raw.get("overriding_parameters") or {}).get("python_params")
    return None, None if given is None else tuple(given), ()


def _task(raw: Mapping[str, Any]) -> Task:
    parameters = (raw.get("python_wheel_task") or {}).get("parameters") or []
    roots = [p[len(_ROOT) :] for p in parameters if p.startswith(_ROOT)]
    ours = parameters[:1] == ["--lakeflow-protocol=1"]
    return Task(
        key=str(raw["task_key"]),
        run_id=int(raw["run_id"]),
        state=_state(raw),
        root=roots[0] if ours and roots else None,
        attempt=int(raw.get("attempt_number") or 0),
        started=int(raw.get("start_time") or 0),
        ended=int(raw.get("end_time") or 0),
        url=str(raw.get("run_page_url") or ""),
        code=code_of(raw),
    )


def _state(raw: Mapping[str, Any]) -> State:
    """The state of a run or a task, from the new `status` or, where that lacks, the old `state`."""
    status, old = raw.get("status") or {}, raw.get("state") or {}
    if status.get("state"):
        life = str(status["state"])
        details = status.get("termination_details") or {}
        code = str(details.get("code") or old.get("result_state") or "")
        message = str(details.get("message") or "")
        ended = life == "TERMINATED"
    else:
        life = str(old.get("life_cycle_state", ""))
        code, message = str(old.get("result_state") or life), ""
        ended = life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
    message = message or str(old.get("state_message") or "")
    outcome = _OUTCOMES.get(code, "failed") if ended else None
    return State(life, outcome, message, code if ended else "")


_OUTCOMES = {
    "SUCCESS": "succeeded",
    "SUCCESS_WITH_FAILURES": "succeeded",
    "CANCELED": "cancelled",
    "USER_CANCELED": "cancelled",
    "SKIPPED": "skipped",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "skipped",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "skipped",
}

# The codes are those of the Jobs API reference, TerminationCode.
_MEANING = {
    "RUN_EXECUTION_ERROR": "the code itself failed: what it printed says why",
    "CLUSTER_ERROR": "the cluster could not be used: it was ended, or did not start; its page in "
    "the workspace says why",
    "DRIVER_ERROR": "the driver's process died, often because it had no memory left: use a larger "
    "node type, or start fewer runs at once (--runs-per-driver)",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed on the cluster: the message "
    "above names it",
    "CLOUD_FAILURE": "the cloud provider failed; try again later",
    "STORAGE_ACCESS_ERROR": "storage that the run needs could not be read or written",
    "RESOURCE_NOT_FOUND": "something that the job names is gone: deploy it again",
    "UNAUTHORIZED_ERROR": "the identity that the job runs as may not use what it needs",
    "INVALID_CLUSTER_REQUEST": "the cluster that the job describes cannot be made as described",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "too many runs are active in the whole workspace",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "as many runs of the job were active as it allows, and it does "
    "not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "too many runs of the job were waiting",
    "USER_CANCELED": "somebody cancelled it",
    "CANCELED": "the platform ended it, such as when it had lasted longer than it may",
    "INTERNAL_ERROR": "the platform failed, not your code; start it again",
}
