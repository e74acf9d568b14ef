"""The runner: entry point `lakeflow-run`, which runs the user's entry point as one run's task."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from lakeflow_task.distributions import Task, find, installed, task_of
from lakeflow_task.errors import TaskRefused
from lakeflow_task.parameters import Parameters, is_ours, read_parameters
from lakeflow_task.protocol import decode_call
from lakeflow_task.run_secrets import secrets_of
from lakeflow_task.stdio_redirect import Capture
from lakeflow_task.storage import run_folder, write_whole

ENTRY_POINT = "lakeflow-task"
_SHELL_HOOKS = ("showtraceback", "_showtraceback", "showsyntaxerror", "custom_exceptions")


class End(NamedTuple):
    """How user code ended; `exception` is None exactly where it succeeded."""

    exit_code: int = 0
    error: str | None = None
    traceback: str | None = None
    exception: BaseException | None = None


def main() -> None:
    """Run what `sys.argv` says, and return where it succeeded.

    A return of any value, `SystemExit(0)` and `SystemExit(None)` are success. Any other end is
    raised again as it came. Parameters that another client put in the place of ours are the
    arguments for the one installed distribution that has an entry point `lakeflow-task`.
    """
    arguments = sys.argv[1:]
    restore_hooks = _remember_hooks()
    if is_ours(arguments):
        end = _run_as(read_parameters(arguments))
    else:
        end = _end_of(lambda: _call(_the_one_task(), arguments))
    restore_hooks()
    if end.exception is not None:
        raise end.exception


def _run_as(parameters: Parameters) -> End:
    """Run the user's entry point as the run that the parameters name, and keep what it leaves."""
    started = time.time()
    process = os.getpid()
    folder = run_folder(parameters.root, parameters.job_run, parameters.task_run)
    capture = Capture(folder)
    outputs = _new_folder()
    end = _end_of(lambda: _call_as(parameters, outputs, capture))
    if os.getpid() != process:  # a child that user code forked came out here
        return end
    capture.end()
    try:
        _keep_outputs(outputs, os.path.join(folder, "outputs"))
    except OSError as error:
        _warn(f"the files of this run stay in {outputs}, they could not be copied: {error}")
    # Last, so that whoever finds it finds the rest whole.
    facts = {
        "exit_code": end.exit_code,
        "error": end.error,
        "traceback": end.traceback,
        "started": started,
        "ended": time.time(),
    }
    try:
        write_whole(folder, "exit.json", json.dumps(facts).encode())
    except OSError as error:
        _warn(f"{folder}/exit.json cannot be written: {error.strerror}")
    return end


def _call_as(parameters: Parameters, outputs: str, capture: Capture) -> None:
    try:
        call = decode_call(parameters.call)
    except ValueError as error:
        raise TaskRefused(str(error)) from None
    for name, wanted in parameters.requires:
        _check_installed(name, wanted)
    distribution = find(parameters.distribution)
    task = task_of(distribution, parameters.entry_point)
    if task is None:
        raise TaskRefused(
            f"{parameters.distribution} {distribution.version} has no entry point "
            f"{parameters.entry_point}."
        )
    os.environ.update(call.env)
    os.environ.update({} if call.scope is None else secrets_of(call.scope))
    os.environ.update(
        DATABRICKS_RUN_ID=parameters.job_run,
        LAKEFLOW_TASK_RUN_ID=parameters.task_run,
        LAKEFLOW_ATTEMPT=parameters.attempt,
        LAKEFLOW_OUTPUT_DIR=outputs,
    )
    capture.begin()
    _call(task, [*call.argv, *_secret_arguments(call.scope)])


def _call(task: Task, arguments: Sequence[str]) -> None:
    """Call an entry point as Databricks does: `sys.argv[0]` is the distribution's name."""
    sys.argv = [task.distribution, *arguments]
    for name in ("exit", "quit"):  # shells of the IPython kind take them away
        if not hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
    task.load()()


def _the_one_task() -> Task:
    found = {d.name: task_of(d, ENTRY_POINT) for d in reversed(list(installed()))}
    tasks = {name: task for name, task in found.items() if task is not None}
    if len(tasks) != 1:
        names = ", ".join(sorted(tasks)) or "none"
        raise TaskRefused(
            "the parameters do not say which distribution to run, and not exactly one of those "
            f"installed here has an entry point {ENTRY_POINT}: {names}. Send the job parameter "
            "lakeflow_call, as lakeflow trigger-run does, instead of python_params."
        )
    return next(iter(tasks.values()))


def _check_installed(name: str, wanted: str) -> None:
    version = find(name).version
    if version != wanted:
        raise TaskRefused(
            f"{name} {version} is installed here, but this run was deployed with {wanted}. "
            "The cluster still holds another version: restart it, then run again."
        )


def _secret_arguments(scope: str | None) -> list[str]:
    return [] if scope is None else ["--lakeflow-secret-scope", scope]


def _end_of(run: Callable[[], None]) -> End:
    try:
        run()
    except SystemExit as end:
        if end.code is None or end.code == 0:
            return End()
        if isinstance(end.code, int):
            end.code = end.code & 0xFF or 1  # as a shell sees it, but no failure becomes 0
            return _failed(end, end.code)
        return _failed(end, 1)
    except KeyboardInterrupt as interrupt:
        return _failed(interrupt, 130)
    except BaseException as error:
        return _failed(error, 1)
    return End()


def _failed(error: BaseException, exit_code: int) -> End:
    import traceback

    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    error.__traceback__ = frames
    # What led to an exit, argparse's own exceptions say, explains it less than where it was called.
    chain = not isinstance(error, SystemExit)
    lines = traceback.format_exception(type(error), error, frames, chain=chain) if frames else []
    what = traceback.format_exception_only(type(error), error)[-1].strip()
    return End(exit_code, what, "".join(lines) or None, error)


def _is_ours(frames: TracebackType) -> bool:
    module = frames.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("lakeflow_task", "importlib")


def _new_folder() -> str:
    folder = os.path.join(
        os.environ.get("TMPDIR", "/tmp"), f"lakeflow-outputs-{os.urandom(8).hex()}"
    )
    os.mkdir(folder, 0o700)
    return folder


def _keep_outputs(source: str, target: str) -> None:
    """Copy the files (contents only: volumes keep no modes or times), then remove the source."""
    if os.listdir(source):
        import shutil

        for folder, _, files in os.walk(source):
            there = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
            os.makedirs(there, exist_ok=True)
            for file in files:
                shutil.copyfile(os.path.join(folder, file), os.path.join(there, file))
        shutil.rmtree(source)
    else:
        os.rmdir(source)


def _remember_hooks() -> Callable[[], None]:
    """What gives the hooks that report an exception back to the driver.

    A library that shows tracebacks its own way (rich) replaces them, and an IPython-like driver
    then takes a failed run for a successful one (kedro-org/kedro issues 1728, 1807).
    """
    excepthook = sys.excepthook
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    before = {name: vars(shell)[name] for name in _SHELL_HOOKS if shell and name in vars(shell)}

    def restore() -> None:
        sys.excepthook = excepthook
        for name in _SHELL_HOOKS if shell else ():
            if name in before:
                setattr(shell, name, before[name])
            elif name in vars(shell):
                delattr(shell, name)

    return restore


def _warn(text: str) -> None:
    print(f"lakeflow: {text}", file=sys.stderr, flush=True)
