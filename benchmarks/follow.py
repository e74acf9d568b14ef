"""How soon a follower shows a run's first line and notices its end, and what it asks for that.

The command itself follows, through a proxy that counts. A task prints the time when it prints;
that is compared with the time when the line comes out of the command. The end of a run is the
workspace's own `end_time`; it is noticed when the command says so. Times are wall seconds.

    ./pants run benchmarks/follow.py -- [SECONDS [RUNS]]

One run lasts SECONDS (default: 70), as many as RUNS (default: 40) last half a minute at once.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from databricks.sdk import WorkspaceClient

from benchmarks.probe import connect, judge, temporary_workspace
from lakeflow_local import daemon
from tests.support.proxy import ForwardingProxy
from tests.support.wheels import make_wheel

SLEEPER = """
import sys, time
def main():
    quiet, rest = map(float, sys.argv[1:3])
    time.sleep(quiet)
    print("printed", time.time(), flush=True)
    time.sleep(rest)
"""


@dataclass
class Followed:
    """What was seen of a command that follows runs. Times are Unix seconds."""

    runs: int
    shown_late: list[float] = field(default_factory=list)
    finished: dict[int, float] = field(default_factory=dict)
    finished_late: list[float] = field(default_factory=list)
    status_requests: int = 0
    run_seconds: float = 0.0


def main() -> None:
    """Measure and print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 70.0
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    with temporary_workspace(max_processes=many) as state:
        wheel = make_wheel(
            state / "wheels",
            "sleeper",
            "1.0",
            {"sleeper.py": SLEEPER},
            entry_points={"console_scripts": {"lakeflow-task": "sleeper:main"}},
        )
        follow(wheel, [["0", "0"]])
        rows = [follow(wheel, [["1", str(seconds)]]), follow(wheel, [["10", "20"]] * many)]
    print(f"{'':44}" + "".join(f"{row.runs:>6} at once" for row in rows) + "   at most")
    table: list[tuple[str, list[float], float]] = [
        ("first line shown after it was printed, s", [max(r.shown_late) for r in rows], 2.0),
        ("the same, median", [statistics.median(r.shown_late) for r in rows], 2.0),
        ("end noticed after it was, s", [max(r.finished_late) for r in rows], 1.5),
        ("the same, median", [statistics.median(r.finished_late) for r in rows], 1.5),
        ("status requests a run and second", [r.status_requests / r.run_seconds for r in rows], 1),
    ]
    for name, cells, most in table:
        print(f"{name:44}" + "".join(f"{cell:14.2f}" for cell in cells) + f"{most:10.1f}")
    for name, cells, most in (table[0], table[2], table[4]):
        judge(name, max(cells), most)


def follow(wheel: Path, calls: Sequence[Sequence[str]]) -> Followed:
    """Start a run for each of `calls` with `lakeflow deploy`, which follows them all."""
    endpoint, seen = daemon.ensure_up(), Followed(len(calls))
    with ForwardingProxy(endpoint.host) as proxy:
        command = [sys.executable, "-m", "lakeflow", "deploy", str(wheel)]
        command += [f"--runs-per-driver={len(calls)}"]
        command += [word for call in calls for word in ("--run", " ".join(call))]
        environment = {
            **os.environ,
            "LAKEFLOW_WORKSPACE": "databricks",  # through the proxy, also where CI is set
            "DATABRICKS_HOST": proxy.host,
            "DATABRICKS_TOKEN": endpoint.token,
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            threading.Thread(target=read_output, args=(process.stdout, seen)),
            threading.Thread(target=read_progress, args=(process.stderr, seen)),
        ]
        for reader in readers:
            reader.start()
        if process.wait():
            sys.exit(f"lakeflow deploy exited with {process.returncode}")
        for reader in readers:
            reader.join()
        paths = [request.path for request in proxy.requests]
    seen.status_requests = sum(path.endswith(("/runs/get", "/runs/list")) for path in paths)
    compare(connect(), seen)
    return seen


def read_output(lines: IO[str], seen: Followed) -> None:
    """Note how late the tasks' lines come."""
    for line in lines:
        if found := re.search(r"printed (\S+)", line):
            seen.shown_late.append(time.time() - float(found[1]))


def read_progress(lines: IO[str], seen: Followed) -> None:
    """Note when runs are reported as finished."""
    for line in lines:
        if found := re.search(r"run (\d+) (\w+) after", line):
            seen.finished[int(found[1])] = time.time()
            if found[2] != "succeeded":
                sys.exit(line)


def compare(client: WorkspaceClient, seen: Followed) -> None:
    """Ask the workspace how long each run took and when it finished."""
    for run_id, noticed in seen.finished.items():
        run = client.jobs.get_run(run_id)
        assert run.start_time
        assert run.end_time
        seen.finished_late.append(noticed - run.end_time / 1000)
        seen.run_seconds += (run.end_time - run.start_time) / 1000


if __name__ == "__main__":
    main()
