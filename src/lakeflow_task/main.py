"""The task runner: entry point `lakeflow-run`, which runs the user's entry point in a task."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from lakeflow_task.distributions import EntryPoint, entry_point_of, find, installed
from lakeflow_task.errors import TaskRefused
from lakeflow_task.parameters import Parameters, is_ours, read_parameters
from lakeflow_task.protocol import ENTRY_POINT, decode_call
from lakeflow_task.run_secrets import read_secrets
from lakeflow_task.stdio_redirect import StdioRedirect
from lakeflow_task.storage import run_folder, write_atomically

_SHELL_HOOKS = ("showtraceback", "_showtraceback", "showsyntaxerror", "custom_exceptions")


class Outcome(NamedTuple):
    """How user code finished; `exception` is None if and only if it succeeded."""

    exit_code: int = 0
    error: str | None = None
    traceback: str | None = None
    exception: BaseException | None = None


def main() -> None:
    """Run the entry point that `sys.argv` names.

    Returning any value, `SystemExit(0)` and `SystemExit(None)` are success; any other exception is
    raised again. If another client replaced our parameters (`python_params`), they are arguments
    for the one installed distribution that has an entry point `lakeflow-task`.
    """
    arguments = sys.argv[1:]
    restore_hooks = _save_hooks()
    if is_ours(arguments):
        outcome = _run_as(read_parameters(arguments))
    else:
        outcome = _outcome_of(lambda: _call(_only_entry_point(), arguments))
    restore_hooks()
    if outcome.exception is not None:
        raise outcome.exception


def _run_as(parameters: Parameters) -> Outcome:
    """Run the user's entry point and store its output, output files and outcome."""
    started = time.time()
    process = os.getpid()
    folder = run_folder(parameters.root, parameters.job_run, parameters.task_run)
    redirect = StdioRedirect(folder)
    outputs = _create_folder()
    outcome = _outcome_of(lambda: _call_as(parameters, outputs, redirect))
    if os.getpid() != process:  # a child forked by user code returned; the run is its parent's
        return outcome
    dropped = redirect.stop()
    try:
        _move_outputs(outputs, os.path.join(folder, "outputs"))
    except OSError as error:
        _warn(
            f"the output files of this run stay in {outputs}, since they cannot be copied: {error}"
        )
    # Written last: who finds it finds the log and the outputs complete.
    facts = {
        "exit_code": outcome.exit_code,
        "error": outcome.error,
        "traceback": outcome.traceback,
        "started": started,
        "ended": time.time(),
        **({"dropped_output_bytes": dropped} if dropped else {}),
    }
    try:
        write_atomically(folder, "exit.json", json.dumps(facts).encode())
    except OSError as error:
        _warn(f"{folder}/exit.json cannot be written: {error.strerror}")
    return outcome


def _call_as(parameters: Parameters, outputs: str, redirect: StdioRedirect) -> None:
    """Check that the deployed versions are installed, set up the environment, run user code."""
    try:
        call = decode_call(parameters.call)
    except ValueError as error:
        raise TaskRefused(str(error)) from None
    for name, version in parameters.requires:
        _check_installed(name, version)
    distribution = find(parameters.distribution)
    entry_point = entry_point_of(distribution, parameters.entry_point)
    if entry_point is None:
        raise TaskRefused(
            f"{parameters.distribution} {distribution.version} has no entry point "
            f"{parameters.entry_point}."
        )
    os.environ.update(call.env)
    os.environ.update({} if call.scope is None else read_secrets(call.scope))
    os.environ.update(
        DATABRICKS_RUN_ID=parameters.job_run,
        LAKEFLOW_TASK_RUN_ID=parameters.task_run,
        LAKEFLOW_ATTEMPT=parameters.attempt,
        LAKEFLOW_OUTPUT_DIR=outputs,
    )
    redirect.start()
    _call(entry_point, [*call.argv, *_secret_arguments(call.scope)])


def _call(entry_point: EntryPoint, arguments: Sequence[str]) -> None:
    """Call an entry point as Databricks does: `sys.argv[0]` is the distribution's name."""
    sys.argv = [entry_point.distribution, *arguments]
    for name in ("exit", "quit"):  # IPython-like shells remove them
        if not hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
    entry_point.load()()


def _only_entry_point() -> EntryPoint:
    """Return the one entry point `lakeflow-task` that is installed. Raises TaskRefused."""
    # Reversed, so that of two versions the one that imports find first is taken.
    found = {d.name: entry_point_of(d, ENTRY_POINT) for d in reversed(list(installed()))}
    entry_points = {name: point for name, point in found.items() if point is not None}
    if len(entry_points) != 1:
        names = ", ".join(sorted(entry_points)) or "none"
        raise TaskRefused(
            "the parameters do not name the distribution to run, and not exactly one installed "
            f"distribution has an entry point {ENTRY_POINT}: {names}\nhint: send the job "
            "parameter lakeflow_call, as lakeflow trigger-run does, instead of python_params"
        )
    return next(iter(entry_points.values()))


def _check_installed(name: str, deployed: str) -> None:
    """Raise TaskRefused unless the deployed version is installed: old code must not run."""
    version = find(name).version
    if version != deployed:
        raise TaskRefused(
            f"{name} {version} is installed here, but this run was deployed with {deployed}\n"
            "hint: restart the cluster, which still has another version, then run again"
        )


def _secret_arguments(scope: str | None) -> list[str]:
    return [] if scope is None else ["--lakeflow-secret-scope", scope]


def _outcome_of(run: Callable[[], None]) -> Outcome:
    try:
        run()
    except SystemExit as exit:
        if exit.code is None or exit.code == 0:
            return Outcome()
        if isinstance(exit.code, int):
            exit.code = exit.code & 0xFF or 1  # as a shell sees it, but a failure is never 0
            return _failure(exit, exit.code)
        return _failure(exit, 1)
    except KeyboardInterrupt as interrupt:
        return _failure(interrupt, 130)
    except BaseException as error:
        return _failure(error, 1)
    return Outcome()


def _failure(error: BaseException, exit_code: int) -> Outcome:
    import traceback

    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    error.__traceback__ = frames
    # The cause of an exit, such as argparse's own exceptions, explains less than where it happened.
    chain = not isinstance(error, SystemExit)
    lines = traceback.format_exception(type(error), error, frames, chain=chain) if frames else []
    what = traceback.format_exception_only(type(error), error)[-1].strip()
    return Outcome(exit_code, what, "".join(lines) or None, error)


def _is_ours(frames: TracebackType) -> bool:
    module = frames.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("lakeflow_task", "importlib")


def _create_folder() -> str:
    folder = os.path.join(
        os.environ.get("TMPDIR", "/tmp"), f"lakeflow-outputs-{os.urandom(8).hex()}"
    )
    os.mkdir(folder, 0o700)
    return folder


def _move_outputs(source: str, target: str) -> None:
    """Copy files without modes and times, which volumes do not keep, then remove the source."""
    if os.listdir(source):
        import shutil

        for folder, _, files in os.walk(source):
            destination = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
            os.makedirs(destination, exist_ok=True)
            for file in files:
                shutil.copyfile(os.path.join(folder, file), os.path.join(destination, file))
        shutil.rmtree(source)
    else:
        os.rmdir(source)


def _save_hooks() -> Callable[[], None]:
    """Return a function that restores the hooks through which the driver learns of exceptions.

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
