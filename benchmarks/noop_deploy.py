"""How long a deploy takes that changes nothing, and how many HTTP requests it sends.

The floor is `pants package` of the same targets alone; the two take turns, in a warm Pants daemon.
The launcher talks to a temporary local workspace through a proxy that counts. Times are wall
seconds. Standard library only: it starts ./pants itself, so it is not run by it.

    python3 -m benchmarks.noop_deploy [RUNS]
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.proxy import ForwardingProxy

REPO = Path(__file__).resolve().parent.parent
TARGETS = ["src/lakeflow_demo:dist", "src/lakeflow_demo_native:dist"]
DEPLOY = ["lakeflow-deploy", TARGETS[0], "--", "--max-workers", "4"]
PACKAGE = ["package", *TARGETS]


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder:
        local = {**os.environ, "LAKEFLOW_STATE_DIR": folder}
        try:
            shown = pants(["run", "src/lakeflow/__main__.py", "--", "local", "up"], local)
            host = shown.split()[-1]
            exports = pants(["run", "src/lakeflow/__main__.py", "--", "local", "env"], local)
            with ForwardingProxy(host) as proxy:
                token = variable(exports, "DATABRICKS_TOKEN")
                configured = {**local, "DATABRICKS_HOST": proxy.host, "DATABRICKS_TOKEN": token}
                measure(count, configured, proxy)
        finally:
            pants(["run", "src/lakeflow/__main__.py", "--", "local", "down"], local)


def measure(count: int, environment: dict[str, str], proxy: ForwardingProxy) -> None:
    """Time `count` deploys that change nothing beside as many packagings, and print them."""
    pants(DEPLOY, environment)
    pants(PACKAGE, environment)
    deploys, packagings = [], []
    for _ in range(count):
        proxy.requests.clear()
        deploys.append(seconds(DEPLOY, environment))
        packagings.append(seconds(PACKAGE, environment))
    print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}   s, {count} each")
    for name, times in (("deploy that changes nothing", deploys), ("floor: package", packagings)):
        cells = (statistics.median(times), min(times), max(times))
        print(f"{name:34}" + "".join(f"{cell:8.2f}" for cell in cells))
    ratios = [a / b for a, b in zip(deploys, packagings, strict=True)]
    print(f"{'ratio, pair by pair':34}{statistics.median(ratios):8.2f}")
    print(f"{'HTTP requests of a deploy':34}{len(proxy.requests):8d}")
    for request in proxy.requests:
        print(f"    {request.method:5}{request.path}")


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Wall seconds that ./pants takes with these arguments."""
    started = time.perf_counter()
    pants(arguments, environment)
    return time.perf_counter() - started


def pants(arguments: list[str], environment: dict[str, str]) -> str:
    """What ./pants prints on its standard output."""
    command = [str(REPO / "pants"), *arguments]
    done = subprocess.run(
        command, cwd=REPO, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{shlex.join(command)} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout


def variable(exports: str, name: str) -> str:
    """The value of a variable in lines of `export NAME=VALUE`."""
    words = shlex.split(exports)
    (value,) = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return value


if __name__ == "__main__":
    main()
