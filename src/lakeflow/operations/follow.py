"""Follow runs until they finish, many at a time, with few requests."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

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

    `groups` are the runs that were started of each group, `results` all of them, and `running` the
    ids of those that had not finished.
    """

    exit_code = 130

    def __init__(self, groups: Sequence[Sequence[RunResult]], requested: int) -> None:
        results = [result for group in groups for result in group]
        running = [result.run_id for result in results if result.status == "running"]
        super().__init__(
            f"interrupted; {len(results)} of {requested} runs were started, {len(running)} are "
            "still running"
        )
        self.groups = tuple(tuple(group) for group in groups)
        self.results = tuple(results)
        self.running = tuple(running)
        self.all_started = len(results) == requested
        self.hint = ""

    def __str__(self) -> str:
        return f"{super().__str__()}. {self.hint}".rstrip()


@dataclass(frozen=True)
class RunGroup:
    """Runs of one invocation to start, `in_flight` at a time; each has a label for its output."""

    requests: Sequence[RunRequest]
    invocation: Invocation
    in_flight: int
    labels: Sequence[str]


@dataclass(frozen=True)
class GroupResult:
    """The runs of a group that were started; `error` is what kept the others from it."""

    results: tuple[RunResult, ...]
    error: LakeflowError | None = None


def start_and_follow(
    workspace: Workspace, groups: Sequence[RunGroup], observer: RunObserver
) -> tuple[GroupResult, ...]:
    """Start the runs of all groups in parallel, and follow each until it finishes.

    A group's invocation is finished when all its runs have finished, or on Ctrl-C after all were
    started; in every other case the same command resumes it. Raises Interrupted on Ctrl-C, with
    the results group by group.
    """

    def starter(invocation: Invocation) -> Callable[[RunRequest], int]:
        return lambda request: run_now.trigger(workspace, request, invocation)

    followed = [
        _Group(group.requests, starter(group.invocation), {}, group.labels, group.in_flight)
        for group in groups
    ]
    try:
        found = _follow(workspace, followed, observer)
    except Interrupted as stop:
        for group, results in zip(groups, stop.groups, strict=True):
            if len(results) == len(group.requests):
                group.invocation.finish()
        raise
    for group, result in zip(groups, found, strict=True):
        if result.error is None:
            group.invocation.finish()
    return found


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

    group = _Group(requests, start, started, labels, len(requests))
    (result,) = _follow(workspace, [group], observer)
    if result.error is not None:
        raise result.error
    return result.results


@dataclass(frozen=True)
class _Group:
    """Runs to follow: `start` returns a request's run id, `started` has those known before it."""

    requests: Sequence[RunRequest]
    start: Callable[[RunRequest], int]
    started: Mapping[int, int]
    labels: Sequence[str]
    in_flight: int


def _follow(
    workspace: Workspace, groups: Sequence[_Group], observer: RunObserver
) -> tuple[GroupResult, ...]:
    """Follow the runs of all groups, each group at its own pace."""
    poller, gate = RunPoller(workspace), Gate(observer)
    results = [
        {n: run_now.running(workspace, group.requests[n], group.started[n]) for n in group.started}
        for group in groups
    ]

    def follow_one(group: _Group, found: dict[int, RunResult], index: int) -> None:
        request = group.requests[index]
        run_id = group.start(request)
        found[index] = run_now.running(workspace, request, run_id)
        source = OutputSource(run_id, group.labels[index], found[index].url)
        gate.started(source)
        output = Output(workspace, lambda task, text: gate.output(source, text))
        try:
            run, task_exit = _until_finished(poller, pool, output, request.job_id, run_id)
        except UsageError as gone:  # it was deleted, perhaps before an earlier command was resumed
            found[index] = replace(found[index], status="failed", error=str(gone))
            return
        gate.finished(source, run, task_exit)
        found[index] = _result(request, run, task_exit)

    pool = _WorkerPool(
        _Lane(len(group.requests), group.in_flight, partial(follow_one, group, found))
        for group, found in zip(groups, results, strict=True)
    )
    try:
        pool.work()
    except KeyboardInterrupt:
        gate.close()
        started = [_in_order(dict(found)) for found in results]  # workers are still adding to it
        raise Interrupted(started, sum(len(group.requests) for group in groups)) from None
    return tuple(
        GroupResult(_in_order(found), lane.error)
        for found, lane in zip(results, pool.lanes, strict=True)
    )


def _in_order(results: Mapping[int, RunResult]) -> tuple[RunResult, ...]:
    return tuple(results[index] for index in sorted(results))


class _Lane:
    """The numbers 0 to `count`, worked on in order, `at_once` at a time, until one fails."""

    def __init__(self, count: int, at_once: int, work_on: Callable[[int], None]) -> None:
        self.waiting = deque(range(count))
        self.threads = min(max(at_once, 1), count)
        self.work_on = work_on
        self.failures: list[BaseException] = []

    @property
    def error(self) -> LakeflowError | None:
        """The first failure. Raises it if it is no error of ours."""
        if not self.failures:
            return None
        if isinstance(self.failures[0], LakeflowError):
            return self.failures[0]
        raise self.failures[0]


class _WorkerPool:
    """Threads that work on lanes, all lanes in parallel.

    After a failure no further number of its lane is taken, but those that were taken are finished.
    The threads are daemons, so that Ctrl-C does not wait for them.
    """

    def __init__(self, lanes: Iterable[_Lane]) -> None:
        self.lanes = tuple(lanes)
        self._active = 0
        self._lock = threading.Lock()

    @property
    def pace(self) -> float:
        """Seconds between two requests for one run's output: more when there are many runs."""
        return max(_OUTPUT_SECONDS, self._active / _REQUESTS_A_SECOND)

    def work(self) -> None:
        """Work through all numbers of all lanes."""
        threads = [
            threading.Thread(target=self._take, args=(lane,), daemon=True)
            for lane in self.lanes
            for _ in range(lane.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _take(self, lane: _Lane) -> None:
        while True:
            with self._lock:
                if lane.failures or not lane.waiting:
                    return
                index = lane.waiting.popleft()
                self._active += 1
            try:
                lane.work_on(index)
            except BaseException as error:
                lane.failures.append(error)
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
