"""Runs followed to their end, many at a time, with few requests."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, UsageError
from lakeflow.resources import run_now, runs
from lakeflow.resources.run_now import Asked, RunResult
from lakeflow.resources.run_output import Ending, Output
from lakeflow.resources.runs import Run, Task
from lakeflow.state.invocations import Invocation

_REQUESTS_A_SECOND = 30.0
"""Requests for output that all followed runs share; export allows 60 a workspace and second."""

_OUTPUT_SECONDS = 0.5
"""Between two looks at a run's output, where that is not too many requests."""

_TICK_SECONDS = 1.1
"""Between two looks at whether runs have ended."""

_ASKED_ONE_BY_ONE = 3
"""Runs of one job that are asked for one by one; more of them share one list."""


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
        run_id = run_now.trigger(workspace, it, invocation)
        started[index] = run_now.running(workspace, it, run_id)
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
    with ThreadPoolExecutor(run_now.AT_ONCE) as pool:
        known = list(pool.map(lambda run_id: runs.get(workspace, run_id), run_ids))
    asked = [Asked(run.job_id, n, run.argv or (), {}) for n, run in enumerate(known)]

    def one(index: int) -> RunResult:
        run_id = run_ids[index]
        screen.started(index, run_id, runs.url_of(workspace, asked[index].job_id, run_id))
        run, ending = _follow(board, asked[index].job_id, run_id, crew, show_at(index))
        screen.ended(index, run, ending)
        return _result(asked[index], run, ending)

    def show_at(index: int) -> Callable[[Task, str], None]:
        return lambda task, text: screen.output(index, text)

    board, crew = _Board(workspace), _Crew(len(run_ids), one)
    try:
        return crew.work(len(run_ids))
    except KeyboardInterrupt:
        running = {
            n: run_now.running(workspace, asked[n], run_id) for n, run_id in enumerate(run_ids)
        }
        so_far = {**running, **crew.results}
        raise Interrupted([so_far[n] for n in sorted(so_far)], len(run_ids)) from None


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
        """Seconds between two looks at one run's output: more when there are many."""
        return max(_OUTPUT_SECONDS, self._active / _REQUESTS_A_SECOND)

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
    """Where followed runs are, looked at once in a tick.

    All look at the same time, so that many runs of one job share one list of the active ones and
    none learns of its end later than a tick after it.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._begun = time.monotonic()
        self._followed: dict[int, set[int]] = defaultdict(set)
        self._active: dict[int, tuple[int, dict[int, Run]]] = {}
        self._locks: dict[int, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    @property
    def tick(self) -> int:
        """The number of the tick that it is."""
        return math.floor((time.monotonic() - self._begun) / _TICK_SECONDS)

    def start_of(self, tick: int) -> float:
        """When a tick begins, on the monotonic clock."""
        return self._begun + tick * _TICK_SECONDS

    def look(self, job_id: int, run_id: int, tick: int) -> Run:
        """The run as it is now, or was in this tick."""
        with self._lock:
            followed = self._followed[job_id]
            followed.add(run_id)
            lock, many = self._locks[job_id], len(followed) > _ASKED_ONE_BY_ONE
        active: dict[int, Run] = {}
        if many:
            with lock:
                seen, active = self._active.get(job_id, (-1, active))
                if seen < tick:
                    active = self._list(job_id)
                    self._active[job_id] = tick, active
        if run_id in active:
            return active[run_id]
        run = runs.get(self.workspace, run_id)  # the only one who knows of its end
        if run.state.outcome is not None:
            with self._lock:
                self._followed[job_id].discard(run_id)
        return run

    def _list(self, job_id: int) -> dict[int, Run]:
        """The active ones of the runs that are followed."""
        with self._lock:
            missing = set(self._followed[job_id])
        options = {"active_only": "true", "expand_tasks": "true", "limit": runs.PAGE}
        found: dict[int, Run] = {}
        for raw in self.workspace.pages(f"{runs.API}/runs/list", "runs", job_id=job_id, **options):
            run_id = int(raw["run_id"])
            if run_id in missing:
                missing.remove(run_id)
                found[run_id] = runs.read(raw)
            if not missing:
                break
        return found


def _follow(
    board: _Board, job_id: int, run_id: int, crew: _Crew, show: Callable[[Task, str], None]
) -> tuple[Run, Ending]:
    """Follow a run to its end and show what the last attempts of its tasks print meanwhile."""
    output, pause = Output(board.workspace, show), threading.Event()
    tick, shown = board.tick, -math.inf
    run = board.look(job_id, run_id, tick)
    while run.state.outcome is None:
        if time.monotonic() - shown >= crew.pace:
            shown = time.monotonic()
            output.pull(run, run.tasks)
        next_look, next_show = board.start_of(tick + 1), shown + crew.pace
        pause.wait(max(0.0, min(next_look, next_show) - time.monotonic()))
        if time.monotonic() >= next_look:
            tick = board.tick
            run = board.look(job_id, run_id, tick)
    return run, output.finish(run, run.tasks)


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
