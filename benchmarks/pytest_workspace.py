"""What a temporary workspace costs a test: from its start to its first answer, and CPU seconds.

Beside the import of the libraries that its server is made of; both take turns.

    ./pants run benchmarks/pytest_workspace.py -- [TIMES]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.probe import judge
from lakeflow_local.pytest import start, wait

LIBRARIES = "import starlette.applications, starlette.responses, uvicorn, sqlite3, asyncio, json"
MOST_SECONDS = 1.0


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    floors, ups, costs = [], [], []
    for turn in range(count + 1):
        floor = cpu_of([sys.executable, "-c", LIBRARIES])
        up, cost = measure()
        if turn:  # the first one fills the caches
            floors.append(floor)
            ups.append(up)
            costs.append(cost)
    print(f"{'':44}{'median':>8}{'min':>8}{'max':>8}   ms, {count} each")
    for name, taken in (
        ("CPU of importing starlette and uvicorn", floors),
        ("CPU of a temporary workspace, up and down", costs),
        ("from its start to its first answer", ups),
    ):
        cells = (statistics.median(taken), min(taken), max(taken))
        print(f"{name:44}" + "".join(f"{1000 * cell:8.0f}" for cell in cells))
    ratio = statistics.median(a / b for a, b in zip(costs, floors, strict=True))
    print(f"CPU, as a multiple of the imports: {ratio:.2f}")
    judge("temporary workspace up, s", statistics.median(ups), MOST_SECONDS)


def measure() -> tuple[float, float]:
    """Seconds until one has answered, and the CPU seconds of its whole life."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        process = start(Path(folder))
        workspace = wait(Path(folder), process)
        request = urllib.request.Request(
            f"{workspace.host}/api/2.0/preview/scim/v2/Me",
            headers={"Authorization": f"Bearer {workspace.token}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request):
            up = time.monotonic() - started
        assert process.stdin is not None
        process.stdin.close()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return up, usage.ru_utime + usage.ru_stime


def cpu_of(command: list[str]) -> float:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    process = subprocess.Popen(command, env=environment)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
