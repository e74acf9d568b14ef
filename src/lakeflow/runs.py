"""Runs: triggered exactly once for each thing asked, followed to their end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lakeflow.errors import LakeflowError, UsageError
from lakeflow.jobs import CALL_PARAMETER
from lakeflow.journal import Invocation
from lakeflow.logs import Ending, TaskOutput
from lakeflow.workspace import ApiError, Workspace

_API = "/api/2.2/jobs"
_TRIGGERS_AT_ONCE = 8
_REQUESTS_A_SECOND = 20.0
"""Status requests that all followed runs share; runs/get allows 100 a workspace and second."""

_PAGE = 24
"""Runs that one page of runs/list holds at most (Jobs API, runs/list)."""

_ROOT = "--root="


@dataclass(frozen=True)
class State:
    """Where a run is: `life` in Databricks' words, `outcome` once it has ended, else None.

    Outcomes are `succeeded`, `failed`, `cancelled` and `skipped`.
    """

    life: str
    outcome: str | None
    message: str

    @property
    def began(self) -> bool:
        """Whether its code may have been started."""
        return self.outcome is not None or self.life in ("RUNNING", "TERMINATING")


@dataclass(frozen=True)
class Task:
    """The last attempt of a task of a run; `root` is where its runner ships its output."""

    key: str
    run_id: int
    state: State
    root: str | None


@dataclass(frozen=True)
class Run:
    """A run of a job. Times are Unix milliseconds; 0 where it has not come to that."""

    id: int
    job_id: int
    url: str
    state: State
    tasks: tuple[Task, ...]
    started: int
    ended: int


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
        return _read(workspace.get(f"{_API}/runs/get", run_id=run_id))
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no run {run_id} in {workspace.host}") from error
        raise


def of_job(workspace: Workspace, job_id: int, limit: int) -> list[Run]:
    """The newest runs of a job, at most `limit`."""
    found: list[Run] = []
    token: dict[str, str] = {}
    while len(found) < limit:
        size = min(_PAGE, limit - len(found))
        page = workspace.get(f"{_API}/runs/list", job_id=job_id, limit=size, **token)
        found += [_read(raw) for raw in page.get("runs", [])]
        if not page.get("next_page_token"):
            break
        token = {"page_token": page["next_page_token"]}
    return found[:limit]


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
            run, ending = _follow(workspace, run_id, lambda text: screen.output(index, text), crew)
        except UsageError as gone:  # the run of an earlier, interrupted command was deleted
            return replace(started[index], status="failed", error=str(gone))
        screen.ended(index, run, ending)
        return _result(it, run, ending)

    crew = _Crew(len(asked), one)
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
    asked = [Asked(get(workspace, run_id).job_id, n, (), {}) for n, run_id in enumerate(run_ids)]

    def one(index: int) -> RunResult:
        run_id = run_ids[index]
        screen.started(index, run_id, url_of(workspace, asked[index].job_id, run_id))
        run, ending = _follow(workspace, run_id, lambda text: screen.output(index, text), crew)
        screen.ended(index, run, ending)
        return _result(asked[index], run, ending)

    crew = _Crew(len(run_ids), one)
    try:
        return crew.work(len(run_ids))
    except KeyboardInterrupt:
        running = {n: _running(workspace, asked[n], run_id) for n, run_id in enumerate(run_ids)}
        so_far = {**running, **crew.results}
        raise Interrupted([so_far[n] for n in sorted(so_far)], len(run_ids)) from None


def show_output(workspace: Workspace, run: Run, show: Callable[[str], None]) -> Ending:
    """Show what there is of a run's output now; how it ended, where it has."""
    ending = Ending()
    for task in run.tasks:
        output = _output_of(workspace, run, task, show)
        if task.state.outcome is None:
            output.pull()
        else:
            ending = _worse(ending, output.finish(succeeded=task.state.outcome == "succeeded"))
    return ending


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
        """Seconds between two status requests of one run: one, and more when there are many."""
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


def _follow(
    workspace: Workspace, run_id: int, show: Callable[[str], None], crew: _Crew
) -> tuple[Run, Ending]:
    outputs: dict[int, TaskOutput] = {}
    pause = threading.Event()
    while True:
        run = get(workspace, run_id)
        for task in run.tasks:
            if task.run_id not in outputs:
                outputs[task.run_id] = _output_of(workspace, run, task, show)
            if task.state.began:
                outputs[task.run_id].pull()
        if run.state.outcome is not None:
            break
        pause.wait(crew.pace)
    ending = Ending()
    for task in run.tasks:
        succeeded = task.state.outcome == "succeeded"
        ending = _worse(ending, outputs[task.run_id].finish(succeeded=succeeded))
    return run, ending


def _output_of(
    workspace: Workspace, run: Run, task: Task, show: Callable[[str], None]
) -> TaskOutput:
    folder = f"{task.root}/runs/{run.id}/{task.run_id}" if task.root else None
    return TaskOutput(workspace, task.run_id, folder, show)


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
    tasks: dict[str, Mapping[str, Any]] = {}
    for task in sorted(raw.get("tasks") or [], key=lambda task: task.get("attempt_number") or 0):
        tasks[task["task_key"]] = task  # runs/get lists every attempt: the last one counts
    return Run(
        id=int(raw["run_id"]),
        job_id=int(raw.get("job_id") or 0),
        url=str(raw.get("run_page_url") or ""),
        state=_state(raw),
        tasks=tuple(_task(task) for task in tasks.values()),
        started=int(raw.get("start_time") or 0),
        ended=int(raw.get("end_time") or 0),
    )


def _task(raw: Mapping[str, Any]) -> Task:
    parameters = (raw.get("python_wheel_task") or {}).get("parameters") or []
    roots = [p[len(_ROOT) :] for p in parameters if p.startswith(_ROOT)]
    ours = parameters[:1] == ["--lakeflow-protocol=1"]
    root = roots[0] if ours and roots else None
    return Task(str(raw["task_key"]), int(raw["run_id"]), _state(raw), root)


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
    return State(life, outcome, message)


_OUTCOMES = {
    "SUCCESS": "succeeded",
    "SUCCESS_WITH_FAILURES": "succeeded",
    "CANCELED": "cancelled",
    "USER_CANCELED": "cancelled",
    "SKIPPED": "skipped",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "skipped",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "skipped",
}
