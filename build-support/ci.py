"""The checks of .ci/run. Standard library only, any Python from 3.9.

Usage:
    ci.py committed                        lockfiles hold no address, no file a machine's paths
    ci.py deployed COMMAND OUTPUT REPORT   what README's first command printed and reported
    ci.py total REPORTS OUTPUT FAILED      the closing line, from the junit reports in a folder,
                                           Pants' output and the number of steps that failed
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

REPO = Path(__file__).resolve().parent.parent

ADDRESS = re.compile(
    r"://|--(?:extra-)?index-url|--find-links"
    r"|\b(?:[a-z0-9-]+\.)+(?:com|dev|internal|io|local|net|org)\b"
)
HOME_OF_SOMEBODY = re.compile(
    r"(?<![\w.>}-])(?:/home/[a-z][\w.-]*/|/Users/[A-Za-z][\w.-]*/|/root/|/tmp/\w|/private/var/)"
)


def main(argv: list[str]) -> int:
    command, *args = argv
    if command == "total":
        return total(Path(args[0]), Path(args[1]), int(args[2]))
    if command == "committed":
        problems = list(committed())
    else:
        problems = list(deployed(*(Path(arg) for arg in args)))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def committed() -> Iterator[str]:
    """Yield what must not be committed: addresses in lockfiles, paths of a machine anywhere."""
    here = {str(REPO), os.path.expanduser("~"), os.environ.get("PYENV_ROOT", "")} - {"", "/"}
    of_this_machine = re.compile(
        r"(?<![\w.>}-])(?:" + "|".join(re.escape(path) for path in sorted(here)) + r")(?![\w-])"
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        lock = ".lock" in name
        lines = (REPO / name).read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if lock and ADDRESS.search(line):
                yield f"{name}:{number}: a lockfile holds an address: {line.strip()}"
            path = of_this_machine.search(line) or HOME_OF_SOMEBODY.search(line)
            if path and name != "build-support/ci.py":
                yield f"{name}:{number}: a path of a machine, {path[0]}: {line.strip()}"


def deployed(command: Path, output: Path, report: Path) -> Iterator[str]:
    """Yield what is wrong with the output and the report of a command that starts several runs."""
    requested = command.read_text().count("--run ")
    outputs: dict[str, str] = {}
    for line in output.read_text().splitlines():
        if label := re.match(rf"\[ *(\d+)/{requested}\b.*?\] ", line):
            outputs[label[1]] = outputs.get(label[1], "") + line[label.end() :] + "\n"
    if len(outputs) != requested or len(set(outputs.values())) != requested:
        yield f"{requested} runs were requested, with these outputs: {outputs}"
    if not report.exists():
        yield f"{report} does not exist"
        return
    facts = json.loads(report.read_text())
    for target in facts["targets"]:
        if not target["job_id"]:
            yield f"{report} names no job"
        if not target["wheels"]:
            yield f"{report} names no wheel"
        for wheel in target["wheels"]:
            if not re.fullmatch("[0-9a-f]{64}", wheel["sha256"]):
                yield f"{report} has no digest of {wheel}"
        runs = target["runs"]
        if len({run["run_id"] for run in runs}) != requested:
            yield f"{report} names {len(runs)} runs instead of {requested} different ones"
        yield from (f"{report}: {run}" for run in runs if run["status"] != "succeeded")
    if facts["status"] != "succeeded" or len(facts["targets"]) != 1:
        yield f"{report} does not report one target that succeeded"


def total(reports: Path, output: Path, failed_steps: int) -> int:
    """Print how many tests passed, failed and were skipped. Returns 0 if none failed.

    A file of tests that failed and left no report, since it could not be imported or took too
    long, counts as one failed test.
    """
    count = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    reported = 0
    for report in sorted(reports.glob("**/*.xml")):
        before = count["failures"] + count["errors"]
        for suite in ElementTree.parse(report).iter("testsuite"):
            for name in count:
                count[name] += int(suite.get(name, "0"))
            for case in suite.iter("testcase"):
                for skipped in case.iter("skipped"):
                    name = f"{case.get('classname')}.{case.get('name')}"
                    print(f"skipped: {name}: {skipped.get('message')}")
        reported += count["failures"] + count["errors"] > before
    passed = count["tests"] - count["failures"] - count["errors"] - count["skipped"]
    unreported = len(re.findall("^✕ ", output.read_text(), re.MULTILINE)) - reported
    failed = count["failures"] + count["errors"] + max(0, unreported)
    print(f"total: {passed} passed, {failed} failed, {count['skipped']} skipped")
    return 1 if failed or failed_steps or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
