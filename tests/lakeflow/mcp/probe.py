"""A small job for the tests of the MCP server, deployed into a local workspace."""

from __future__ import annotations

from pathlib import Path

from lakeflow import Launcher
from tests.support.wheels import make_wheel

MAIN = """
import os, sys

def main():
    what, *words = sys.argv[1:] or ["nothing"]
    if what == "print":
        text = os.path.expandvars(" ".join(words)) + "\\n"
        sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))
    elif what == "lines":
        sys.stdout.write("".join(f"{n:09d} {'x' * 89}\\n" for n in range(int(words[0]))))
    elif what == "leave":
        for name, text in zip(words[::2], words[1::2]):
            with open(os.path.join(os.environ["LAKEFLOW_OUTPUT_DIR"], name), "w") as file:
                file.write(os.path.expandvars(text))
    elif what == "fail":
        raise RuntimeError(" ".join(words))
    else:
        print("I was given", *sys.argv[1:])
"""


def deploy_probe(folder: Path, name: str = "probe") -> int:
    """Deploy the job to the workspace of the environment; returns its id.

    A run prints its arguments. `print TEXT` prints text as it is, `lines N` prints N lines of 100
    bytes, `leave NAME TEXT ...` leaves files, `fail TEXT` raises. `$NAME` in a text of `print` and
    of `leave` is the variable of that name.
    """
    points = {"console_scripts": {"lakeflow-task": "mcp_probe.main:main"}}
    modules = {"mcp_probe/__init__.py": "", "mcp_probe/main.py": MAIN}
    wheel = make_wheel(folder, "mcp-probe", "1.0", modules, entry_points=points)
    launcher = Launcher()
    job_id = launcher.jobs.create(name, [wheel]).job_id
    assert job_id is not None
    return job_id
