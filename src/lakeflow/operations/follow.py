"""Follow runs until they finish, many at a time, with few requests."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError, UsageError
from lakeflow.operations.observer import Gate, OutputSource, RunObserver
from lakeflow.operations.run_poller import RunPoller
from lakeflow.resources import run_now, runs
from lakeflow.resources.run_now import RunRequest, RunResult
from lakeflow.resources.run_output import Output, TaskExit
from lakeflow.resources.runs import Run
from lakeflow.state.invocations import Invocation

_REQUESTS_A_SECOND = 30.0
"""Requests for output that all followed runs share; export allows 60 a workspace and second."""

_OUTPUT_SECONDS = 0.5
"""Between two requests for a run's output, where that is not too many requests."""


class Interrupted(LakeflowError):
    """Ctrl-C while runs were started or followed: the runs keep running.

    `results` are the runs that were started, `running` the ids of those that had not finished.
    """

    exit_code = 130

    def __init__(self, results: Sequence[RunResult], requested: int) -> None:
        running = [result.run_id for result in results if result.status == "running"]
        super().__init__(
            f"interrupted; {len(results)} of {requested} runs were started, {len(running)} are "
            "still running"
        )
        self.results = tuple(results)
        self.running = tuple(running)
        self.all_started = len(results) == requested
        self.hint = ""

    def __str__(self) -> str:
        return f"{super().__str__()}\nhint: {self.hint}" if self.hint else super().__str__()


def start_and_follow(
    workspace: Workspace,
    requests: Sequence[RunRequest],
    invocation: Invocation,
    observer: RunObserver,
    *,
    in_flight: int,
    labels: Sequence[str],
) -> tuple[RunResult, ...]:
    """Start the requested runs, `in_flight` at a time, and follow each until it finishes.

    The invocation is finished when all runs have finished, or on Ctrl-C after all were started; in
    every other case the same command resumes it. Raises Interrupted on Ctrl-C.
    """

    def start(request: RunRequest) -> int:
        return run_now.trigger(workspace, request, invocation)

    try:
        results = _follow(workspace, requests, start, {}, observer, labels, in_flight)
    except Interrupted as stop:
        if stop.all_started:
            invocation.finish()
        raise
    invocation.finish()
    return results


def follow(
    workspace: Workspace, run_ids: Sequence[int], observer: RunObserver, labels: Sequence[str]
) -> tuple[RunResult, ...]:
    """Follow runs that were started before, all at the same time.

    Raises UsageError for an unknown run and Interrupted on Ctrl-C.
    """
    with ThreadPoolExecutor(run_now.AT_ONCE) as pool:
        found = list(pool.map(lambda run_id: runs.get(workspace, run_id), run_ids))
    requests = [RunRequest(run.job_id, n, run.argv or (), {}) for n, run in enumerate(found)]
    started = dict(enumerate(run_ids))

    def start(request: RunRequest) -> int:
        return started[request.ordinal]

    return _follow(workspace, requests, start, started, observer, labels, len(requests))


def _follow(
    workspace: Workspace,
    requests: Sequence[RunRequest],
    start: Callable[[RunRequest], int],
    started: Mapping[int, int],
    observer: RunObserver,
    labels: Sequence[str],
    in_flight: int,
) -> tuple[RunResult, ...]:
    """Follow runs; `start` returns a request's run id, `started` has those known before it."""
    poller, gate = RunPoller(workspace), Gate(observer)
    results = {n: run_now.running(workspace, requests[n], started[n]) for n in started}

    def follow_one(index: int) -> None:
        request = requests[index]
        run_id = start(request)
        results[index] = run_now.running(workspace, request, run_id)
        source = OutputSource(run_id, labels[index], results[index].url)
        gate.started(source)
        output = Output(workspace, lambda task, text: gate.output(source, text))
        try:
            run, task_exit = _until_finished(poller, pool, output, request.job_id, run_id)
        except UsageError as gone:  # it was deleted, perhaps before an earlier command was resumed
            results[index] = replace(results[index], status="failed", error=str(gone))
            return
        gate.finished(source, run, task_exit)
        results[index] = _result(request, run, task_exit)

    pool = _WorkerPool(len(requests), follow_one)
    try:
        pool.work(in_flight)
    except KeyboardInterrupt:
        gate.close()
        found = dict(results)  # workers are still adding to it
        raise Interrupted([found[n] for n in sorted(found)], len(requests)) from None
    return tuple(results[index] for index in sorted(results))


class _WorkerPool:
    """Threads that take the numbers 0 to `count` in order, some of them at a time.

    After a failure no further number is taken, but those that were taken are worked through; then
    the failure is raised. The threads are daemons, so that Ctrl-C does not wait for them.
    """

    def __init__(self, count: int, work_on: Callable[[int], None]) -> None:
        self._waiting = deque(range(count))
        self._work_on = work_on
        self._failures: list[BaseException] = []
        self._active = 0
        self._lock = threading.Lock()

    @property
    def pace(self) -> float:
        """Seconds between two requests for one run's output: more when there are many runs."""
        return max(_OUTPUT_SECONDS, self._active / _REQUESTS_A_SECOND)

    def work(self, at_once: int) -> None:
        """Work through all numbers."""
        count = min(max(at_once, 1), len(self._waiting))
        threads = [threading.Thread(target=self._take, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _take(self) -> None:
        while True:
            with self._lock:
                if self._failures or not self._waiting:
                    return
                index = self._waiting.popleft()
                self._active += 1
            try:
                self._work_on(index)
            except BaseException as error:
                self._failures.append(error)
            finally:
                with self._lock:
                    self._active -= 1


def _until_finished(
    poller: RunPoller, pool: _WorkerPool, output: Output, job_id: int, run_id: int
) -> tuple[Run, TaskExit]:
    """Follow a run until it finishes, and show what the last attempts of its tasks print."""
    pause, tick, shown = threading.Event(), poller.tick, -math.inf
    run = poller.look_up(job_id, run_id, tick)
    while run.state.outcome is None:
        if time.monotonic() - shown >= pool.pace:
            shown = time.monotonic()
            output.pull(run, run.tasks)
        next_look, next_show = poller.start_of(tick + 1), shown + pool.pace
        pause.wait(max(0.0, min(next_look, next_show) - time.monotonic()))
        if time.monotonic() >= next_look:
            tick = poller.tick
            run = poller.look_up(job_id, run_id, tick)
    return run, output.finish(run, run.tasks)


def _result(request: RunRequest, run: Run, task_exit: TaskExit) -> RunResult:
    succeeded = run.state.outcome == "succeeded"
    error = None if succeeded else (task_exit.error or run.state.message or run.state.outcome)
    return RunResult(
        ordinal=request.ordinal,
        argv=request.argv,
        run_id=run.id,
        url=run.url,
        status="succeeded" if succeeded else "failed",
        exit_code=task_exit.exit_code,
        error=error,
    )
