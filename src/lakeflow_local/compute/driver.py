"""Runs one task inside the task's own Python: `python driver.py FOLDER`.

FOLDER/task.json says what to call, FOLDER/result.json receives the result. Standard library only,
Python 3.9 and newer, and few imports: they delay the start of the user's code.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


OUT_OF_MEMORY = (
    "The Python process exited with exit code 137 (SIGKILL: Killed). This may have been caused by"
    " an OOM error. Check your command's memory usage."
)
"""The message of Databricks for a killed Python process, usually for lack of memory."""


def write_result(folder: str, error: str | None, trace: str | None) -> None:
    draft = os.path.join(folder, "result.draft")
    with open(draft, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump({"error": error, "error_trace": trace}, file)
    os.replace(draft, os.path.join(folder, "result.json"))


def call_entry_point(module: str, attribute: str) -> None:
    first, *names = attribute.split(".")
    target = getattr(import_module(module), first)
    for name in names:
        target = getattr(target, name)
    target()


def run_file(path: str) -> None:
    """Run a Python file as `__main__`, as `python FILE` does."""
    import types

    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    main_module = types.ModuleType("__main__")
    main_module.__file__ = path
    sys.modules["__main__"] = main_module
    sys.path.insert(0, os.path.dirname(path))
    exec(code, main_module.__dict__)


def limit_memory(mebibytes: int) -> None:
    """Limit the private memory of this process, and of each process that it starts.

    `RLIMIT_DATA` counts private writable memory. On systems where it counts only the heap, mapped
    memory is not limited.
    """
    import resource

    size = mebibytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def describe(raised: BaseException) -> tuple[str, str]:
    """Return an exception's last line, and its traceback without the frames of this file."""
    import traceback

    frames = raised.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    lines = traceback.format_exception(type(raised), raised, frames)
    if isinstance(raised, MemoryError):
        return OUT_OF_MEMORY, "".join(lines)
    return lines[-1].strip(), "".join(lines)


class Runtime:
    """Finds the modules that only a cluster's Python has, after all other finders."""

    files: ClassVar[dict[str, tuple[str, ...]]] = {
        "dbruntime": ("dbruntime", "__init__.py"),
        "pyspark.dbutils": ("pyspark_dbutils.py",),
    }

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> object:
        if name not in cls.files:
            return None
        from importlib.util import spec_from_file_location

        folder = os.path.join(os.path.dirname(__file__), "runtime")
        return spec_from_file_location(name, os.path.join(folder, *cls.files[name]))


def guard_volumes(root: str) -> None:
    """Refuse what volumes refuse: appending, writing into an existing file, linking.

    This sees files that this process opens through Python, but not native code, other processes
    and `seek`. Source: docs.databricks.com/volumes/volume-files, limitations.
    """
    writes, replaces = os.O_WRONLY | os.O_RDWR, os.O_TRUNC | os.O_EXCL

    def hook(event: str, args: Any) -> None:
        if event == "open":
            path, _, flags = args
            is_refused = (flags or 0) & writes and (
                flags & os.O_APPEND or (not flags & replaces and os.path.exists(path))
            )
        elif event in ("os.link", "os.truncate"):
            path, is_refused = args[event == "os.link"], True
        else:
            return
        if not is_refused or not isinstance(path, (str, bytes)):
            return
        if os.path.realpath(os.fsdecode(path)).startswith(root):
            raise OSError(95, "Operation not supported", path)

    sys.addaudithook(hook)


def offer_runtime(context: dict[str, object]) -> None:
    """Make `dbruntime` importable, with a `context` in this process only."""
    module = type(sys)("dbruntime.context")
    module.__dict__.update(context)
    sys.modules["dbruntime.context"] = module
    if context["BEHAVIORS"]:
        Runtime.files["IPython"] = ("ipython.py",)
    sys.meta_path.append(Runtime)  # type: ignore[arg-type]


def main() -> None:
    """Call the entry point as Databricks does: directly, with `[package name, *parameters]`.

    A returned value is ignored. Any exception is a failure, even `SystemExit(0)` of an entry point;
    a file may raise that, as scripts do.
    """
    folder = sys.argv[1]
    with open(os.path.join(folder, "task.json"), encoding="utf-8") as file:
        task = json.load(file)
    os.unlink(file.name)  # it holds the task's token
    offer_runtime(task["context"])
    if task["memory"] is not None:
        limit_memory(task["memory"])
    guard_volumes(os.environ.get("LAKEFLOW_MOUNT", "") + "/Volumes/")
    sys.argv = task["argv"]
    del sys.path[0]  # the folder of this file
    # In the order of standard error, and without delay.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    error = trace = None
    try:
        if "file" in task:
            run_file(task["file"])
        else:
            call_entry_point(task["module"], task["attribute"])
    except BaseException as raised:
        if not ("file" in task and isinstance(raised, SystemExit) and not raised.code):
            error, trace = describe(raised)
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - importing contextlib costs time
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    write_result(folder, error, trace)
    if error is not None:
        sys.exit(1)


if __name__ == "__main__":
    main()
