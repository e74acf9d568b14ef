"""A small package to deploy, as wheels beside a manifest."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.wheels import make_wheel

MAIN = """
import json, os, sys, time
from try_lib import GREETING

def main():
    print(json.dumps({"greeting": GREETING, "argv": sys.argv[1:],
                      "run": os.environ["DATABRICKS_RUN_ID"], "env": os.environ.get("COLOUR")}))
    if sys.argv[1:2] == ["wait-for"]:
        sys.stdout.flush()
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.02)
    if sys.argv[1:2] == ["count"]:
        print("\\n".join(str(n) for n in range(int(sys.argv[2]))))
    if sys.argv[1:2] == ["keep"]:
        for path, text in zip(sys.argv[2::2], sys.argv[3::2]):
            path = os.path.join(os.environ["LAKEFLOW_OUTPUT_DIR"], path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
    if sys.argv[1:2] == ["need"] and not os.path.exists(sys.argv[2]):
        sys.exit(5)
    if sys.argv[1:2] == ["fail"]:
        raise RuntimeError("as asked")
    if sys.argv[1:2] == ["exit"]:
        sys.exit(int(sys.argv[2]))
"""


def make_project(
    folder: Path, *, greeting: str = "hello", entry_point: bool = True, tag: str = "py3-none-any"
) -> Path:
    """Wheels of `try-demo` and of `try-lib`, which it needs; returns the manifest's path.

    A run prints one JSON object: `greeting` (from try-lib), `argv`, `run` and `env` (the variable
    COLOUR). `wait-for FILE` waits for a file, `fail` raises, `exit N` exits with N, `count N`
    prints N lines more, `keep PATH TEXT ...` leaves files in the output folder,
    `need FILE` exits with 5 where there is no such file.
    """
    library = make_wheel(
        folder, "try-lib", "1.0", {"try_lib.py": f"GREETING = {greeting!r}\n"}, tag=tag
    )
    points = {"console_scripts": {"lakeflow-task": "try_demo.main:main"}} if entry_point else {}
    root = make_wheel(
        folder,
        "try-demo",
        "0.1.0",
        {"try_demo/__init__.py": "", "try_demo/main.py": MAIN},
        entry_points=points,
        requires=["try-lib==1.0"],
    )
    manifest = folder / "manifest.json"
    distributions = [
        {"address": "src/try_demo:dist", "root": True, "wheel": root.name},
        {"address": "src/try_lib:dist", "root": False, "wheel": library.name},
    ]
    manifest.write_text(json.dumps({"schema": 1, "project": "try", "distributions": distributions}))
    return manifest
