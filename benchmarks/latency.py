"""What a slow network costs a deploy that changes nothing, and how many HTTP requests it sends.

Three wheels are deployed again and again by the real command, to a temporary local workspace,
through a proxy that sends each reply a while late: none and 100 ms take turns. Wall seconds.

    ./pants run benchmarks/latency.py -- [RUNS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.probe import judge, temporary_workspace
from lakeflow_local import daemon
from tests.support.proxy import ForwardingProxy
from tests.support.wheels import make_wheel

LATE = 0.1
"""Seconds that a reply is late."""


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with (
        temporary_workspace(),
        tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder,
        ForwardingProxy(daemon.ensure_up().host, side_by_side=True) as proxy,
    ):
        os.environ["LAKEFLOW_WORKSPACE"] = "databricks"  # through the proxy, also where CI is set
        os.environ["DATABRICKS_HOST"] = proxy.host
        os.environ["DATABRICKS_TOKEN"] = daemon.ensure_up().token
        os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        command = deploy_of(Path(folder))
        first = run(command)
        prompt: list[float] = []
        late: list[float] = []
        for _ in range(count):
            for delay, times in ((0.0, prompt), (LATE, late)):
                proxy.delay = delay
                proxy.clear()
                times.append(run(command))
        print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}   s, {count} each")
        print(f"{'the first deploy':34}{first:8.2f}")
        for name, times in (
            ("deploy that changes nothing", prompt),
            ("each reply 0.1 s late", late),
        ):
            cells = (statistics.median(times), min(times), max(times))
            print(f"{name:34}" + "".join(f"{cell:8.2f}" for cell in cells))
        more = [slow - fast for slow, fast in zip(late, prompt, strict=True)]
        print(f"{'longer, pair by pair':34}{statistics.median(more):8.2f}")
        print(f"{'HTTP requests':34}{len(proxy.requests):8d}")
        print(f"{'of which waited for one another':34}{proxy.depth:8d}")
        for request in proxy.requests:
            print(f"    {request.method:5}{request.path}")
        judge("deploy that changes nothing, s longer", statistics.median(more), 0.5)
        judge("its HTTP requests", len(proxy.requests), 6)
        judge("of which wait for one another", proxy.depth, 3)


def deploy_of(folder: Path) -> list[str]:
    """The command that deploys three wheels, of which the first two travel with the third."""
    wheels = [
        make_wheel(folder, "one", "1.0", {"one.py": ""}),
        make_wheel(folder, "two", "1.0", {"two.py": ""}, requires=["one"]),
        make_wheel(
            folder,
            "three",
            "1.0",
            {"three.py": "def main():\n    pass\n"},
            requires=["two"],
            entry_points={"console_scripts": {"lakeflow-task": "three:main"}},
        ),
    ]
    return [sys.executable, "-m", "lakeflow", "deploy", *map(str, wheels), "--output", "json"]


def run(command: list[str]) -> float:
    """Wall seconds of a deploy."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    if done.returncode or json.loads(done.stdout)["status"] != "deployed":
        sys.exit(done.stderr)
    return taken


if __name__ == "__main__":
    main()
