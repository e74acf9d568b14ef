"""What the command `lakeflow` costs to start, in CPU seconds of its process.

Help beside `import typer`, and listing a job's runs beside `import databricks.sdk`: what is loaded
in any case, and what a plain SDK program loads. All take turns.

    ./pants run benchmarks/cli_start.py -- [TIMES]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

from benchmarks.probe import judge, make_probe, temporary_workspace

TYPER, SDK = "import typer", "import databricks.sdk"


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with temporary_workspace() as state:
        probe = make_probe(state)
        probe.trigger()
        lakeflow = [sys.executable, "-m", "lakeflow"]
        commands = {
            TYPER: [sys.executable, "-c", TYPER],
            "lakeflow --help": [*lakeflow, "--help"],
            "lakeflow trigger-run --help": [*lakeflow, "trigger-run", "--help"],
            SDK: [sys.executable, "-c", SDK],
            "lakeflow list-job-runs": [*lakeflow, "list-job-runs", str(probe.job_id), "--local"],
        }
        times = measure(commands, count)
    print(f"{'':34}{'median':>8}{'min':>8}{'max':>8}{'floor':>8}   CPU ms, {count} each")
    ratios: dict[str, float] = {}
    for name, taken in times.items():
        floor = times[TYPER if "help" in name or name == TYPER else SDK]
        ratios[name] = ratio = statistics.median(a / b for a, b in zip(taken, floor, strict=True))
        cells = (statistics.median(taken), min(taken), max(taken))
        print(f"{name:34}" + "".join(f"{1000 * cell:8.0f}" for cell in cells) + f"{ratio:8.2f}")
    for name, most, beside in (
        ("lakeflow --help", 1.5, TYPER),
        ("lakeflow trigger-run --help", 1.5, TYPER),
        ("lakeflow list-job-runs", 0.3, SDK),
    ):
        judge(f"{name}, times {beside}", ratios[name], most)


def measure(commands: dict[str, list[str]], count: int) -> dict[str, list[float]]:
    """CPU seconds of each command, `count` times, after one for the caches."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(count + 1):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=environment, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:
                user = after.ru_utime - before.ru_utime
                times[name].append(user + after.ru_stime - before.ru_stime)
    return times


if __name__ == "__main__":
    main()
