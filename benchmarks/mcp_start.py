"""From starting `lakeflow mcp` to its first answer to tools/list, beside an empty server.

Both are processes of the same SDK, asked in the same words over stdio; they take turns. CPU seconds
are those of the whole process, until it has exited.

    ./pants run benchmarks/mcp_start.py -- [TIMES]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.probe import judge

EMPTY = "from mcp.server import MCPServer; MCPServer('empty').run('stdio')"
SERVERS = {
    "an empty MCPServer": [sys.executable, "-c", EMPTY],
    "lakeflow mcp": [sys.executable, "-m", "lakeflow", "mcp"],
}
CLIENT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}
QUESTIONS = (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    for turn in range(count + 1):
        for name, command in SERVERS.items():
            seconds = once(command)
            if turn:  # the first is for the caches
                taken[name].append(seconds)
    floor = next(iter(taken.values()))
    print(f"{'':20}{'answer ms':>10}{'ratio':>7}{'CPU ms':>10}{'ratio':>7}   median of {count}")
    ratios: dict[tuple[str, int], float] = {}
    for name, pairs in taken.items():
        cells = ""
        for which in (0, 1):
            middle = statistics.median(pair[which] for pair in pairs)
            ratio = statistics.median(
                pair[which] / least[which] for pair, least in zip(pairs, floor, strict=True)
            )
            cells += f"{1000 * middle:10.0f}{ratio:7.2f}"
            ratios[name, which] = ratio
        print(f"{name:20}{cells}")
    judge("lakeflow mcp, its first list of tools, times an empty server's", ratios[name, 0], 1.3)


def once(command: list[str]) -> tuple[float, float]:
    """Seconds from the start of a server to its list of tools, and CPU seconds in all."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.writelines(json.dumps(question) + "\n" for question in QUESTIONS)
        process.stdin.flush()
        responses = [json.loads(process.stdout.readline()) for _ in range(2)]
        seconds = time.perf_counter() - started
        process.stdin.close()
    if "tools" not in responses[1]["result"]:
        raise SystemExit(f"{command} answered {responses[1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return seconds, used


if __name__ == "__main__":
    main()
