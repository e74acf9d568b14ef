"""How long a task takes to start in a warm environment of the local workspace.

From sending `run-now` to the first statement of the user's code, beside the floor: starting
`python -m lakeflow_task` with the same parameters in the same environment. The two take turns.
Times are wall milliseconds.

    ./pants run benchmarks/task_start.py -- [RUNS]
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.probe import Probe, judge, make_probe, temporary_workspace, wait


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with temporary_workspace() as state:
        warm, floor = measure(make_probe(state), count)
    print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}   ms, {count} each")
    for name, times in (("run-now to user code", warm), ("floor: python -m lakeflow_task", floor)):
        cells = (statistics.median(times), min(times), max(times))
        print(f"{name:34}" + "".join(f"{1000 * cell:8.0f}" for cell in cells))
    ratios = [a / b for a, b in zip(warm, floor, strict=True)]
    print(f"{'ratio, pair by pair':34}{statistics.median(ratios):8.2f}")
    judge("start of a warm run, to that of its process", statistics.median(ratios), 1.5)


def measure(probe: Probe, count: int) -> tuple[list[float], list[float]]:
    """Seconds of `count` starts in the workspace, and of as many without it."""
    warm, floor = [], []
    for run_id in range(count):
        started = time.time()
        wait(probe.client, probe.trigger())
        warm.append(said(probe) - started)
        started = time.time()
        probe.run_directly(run_id)
        floor.append(said(probe) - started)
    return warm, floor


def said(probe: Probe) -> float:
    """When the user's code began that ran last."""
    return float(json.loads(probe.said.read_text())["started"])


if __name__ == "__main__":
    main()
