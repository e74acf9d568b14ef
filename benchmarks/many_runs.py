"""How long many runs of a trivial wheel take in the local workspace, all in all.

Two clients trigger them as fast as the server takes them, and it keeps as many running as there
are cores. The floor are as many processes `python -m lakeflow_task` in the same environment, as
many at once. The two take turns, a fifth each. Times are wall seconds.

    ./pants run benchmarks/many_runs.py -- [RUNS]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from databricks.sdk.service.jobs import RunResultState

from benchmarks.probe import Probe, judge, make_probe, temporary_workspace

CORES = os.cpu_count() or 1
CLIENTS = 2
TURNS = 5


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    share = max(1, count // TURNS)
    runs, floor = [], []
    with temporary_workspace(max_processes=CORES) as state:
        probe = make_probe(state)
        for turn in range(TURNS):
            ids = range(turn * share, (turn + 1) * share)
            floor.append(seconds(partial(run_directly, probe, ids)))
            runs.append(seconds(partial(run_in_workspace, probe, share)))
    print(f"{'':34}{'total':>8}{'a run':>8}   s, {TURNS * share} each, {CORES} at once")
    for name, times in (("run-now to the end", runs), ("floor: python -m lakeflow_task", floor)):
        print(f"{name:34}{sum(times):8.1f}{sum(times) / (TURNS * share):8.3f}")
    ratios = [a / b for a, b in zip(runs, floor, strict=True)]
    print(f"{'ratio, turn by turn':34}{statistics.median(ratios):8.2f}")
    judge("wall time of runs, to that of their processes", statistics.median(ratios), 1.5)


def seconds(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def run_directly(probe: Probe, run_ids: range) -> None:
    with ThreadPoolExecutor(CORES) as pool:
        for _ in pool.map(probe.run_directly, run_ids):
            pass


def run_in_workspace(probe: Probe, count: int) -> None:
    """Trigger the runs, wait until none is active, and see that each succeeded."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        requested = {pool.submit(probe.trigger) for _ in range(count)}
        triggered = {done.result() for done in requested}
    assert len(triggered) == count
    client = probe.client
    while any(client.jobs.list_runs(job_id=probe.job_id, active_only=True, limit=1)):
        time.sleep(0.2)
    first = min(triggered)
    finished = [
        run for run in client.jobs.list_runs(job_id=probe.job_id) if (run.run_id or 0) >= first
    ]
    results = {run.run_id: run.state.result_state if run.state else None for run in finished}
    assert results == dict.fromkeys(triggered, RunResultState.SUCCESS)


if __name__ == "__main__":
    main()
