"""Runs one wheel task inside the task's own Python: `python driver.py FOLDER`.

FOLDER/task.json says what to call, FOLDER/result.json tells how it ended. Standard library only,
Python 3.9 and newer, and as few imports as can be: all of it is on the way to the user's code.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def write_result(folder: str, error: str | None, trace: str | None) -> None:
    draft = os.path.join(folder, "result.draft")
    with open(draft, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump({"error": error, "error_trace": trace}, file)
    os.replace(draft, os.path.join(folder, "result.json"))


def main() -> None:
    """Call the entry point as Databricks does: directly, with `[package name, *parameters]`.

    A returned value means nothing. Any exception is a failure, `SystemExit(0)` too.
    """
    folder = sys.argv[1]
    with open(os.path.join(folder, "task.json"), encoding="utf-8") as file:
        task = json.load(file)
    sys.argv = task["argv"]
    del sys.path[0]  # the folder of this file
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # in order, and in time
    error = trace = None
    try:
        first, *names = task["attribute"].split(".")
        target = getattr(import_module(task["module"]), first)
        for name in names:
            target = getattr(target, name)
        target()
    except BaseException as raised:
        import traceback

        own_frame = raised.__traceback__
        lines = traceback.format_exception(
            type(raised), raised, own_frame.tb_next if own_frame else None
        )
        trace = "".join(lines)
        error = lines[-1].strip()
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib would be one more import
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    write_result(folder, error, trace)
    if error is not None:
        sys.exit(1)


if __name__ == "__main__":
    main()
