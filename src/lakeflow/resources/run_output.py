"""Output of tasks, live and afterwards: from the files that they ship, or from get-output.

`lakeflow_task` writes `log.000001` and on into `<root>/runs/<job run>/<task run>/`, and `exit.json`
at the end. The Jobs API has the output only after the task has finished, and only the last 5 MB.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow.client.http_errors import ApiError
from lakeflow.client.workspace import Workspace
from lakeflow.resources import files, runs
from lakeflow.resources.runs import Run, Task

_NOT_ALLOWED = "PERMISSION_DENIED"
_KEPT = 2000
"""Characters of shown output that are kept, to find where get-output's logs continue."""


@dataclass(frozen=True)
class TaskExit:
    """Exit code, error and traceback of a task; None if not recorded."""

    exit_code: int | None = None
    error: str | None = None
    traceback: str | None = None


class TaskOutput:
    """The output of one attempt of a task, shown piece by piece as it arrives.

    `folder` is where its runner ships to, None for a task that lakeflow did not deploy. `show`
    gets text, which may begin and end within a line. With `tail` it starts with that many last
    lines of the output so far.
    """

    def __init__(
        self,
        workspace: Workspace,
        task_run: int,
        folder: str | None,
        show: Callable[[str], None],
        tail: int | None = None,
    ) -> None:
        self._workspace = workspace
        self._task_run = task_run
        self._folder = folder
        self._show = show
        self._tail = tail
        self._next: int | None = None if tail is not None and folder else 1
        self._shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pull(self) -> None:
        """Show what was shipped since the last call."""
        if self._folder is None:
            return
        if self._next is None:
            self._next = self._show_tail(self._folder)
        while True:
            piece = self._read(f"log.{self._next:06d}")
            if piece is None:
                return
            self._next += 1
            self._emit(self._decoder.decode(piece))

    def finish(self, *, succeeded: bool) -> TaskExit:
        """Show the rest of a finished task's output, and return its exit."""
        self.pull()
        shipped = self._exit()
        if shipped is not None and succeeded:
            return shipped
        output = self._output()
        if shipped is None:
            rest = self._rest(str(output.get("logs") or ""))
            self._emit(rest if self._shown or self._tail is None else _last(rest, self._tail))
            shipped = TaskExit()
        return TaskExit(
            # The code may have returned before the workspace lost the run: 0 explains nothing then.
            exit_code=shipped.exit_code or None,
            error=shipped.error or output.get("error"),
            traceback=shipped.traceback or output.get("error_trace"),
        )

    def _show_tail(self, folder: str) -> int:
        """Show the last lines that were shipped; return the number of the next file."""
        assert self._tail is not None
        try:
            names = [entry.name for entry in files.list_folder(self._workspace, folder)]
        except ApiError as error:
            if error.missing or error.code == _NOT_ALLOWED:
                return 1
            raise
        numbers = sorted(int(name[4:]) for name in names if re.fullmatch(r"log\.\d{6,}", name))
        held = b""
        for number in reversed(numbers):
            held = (files.read(self._workspace, f"{folder}/log.{number:06d}") or b"") + held
            if held.count(b"\n") > self._tail:
                break
        self._emit(_last(self._decoder.decode(held), self._tail))
        return numbers[-1] + 1 if numbers else 1

    def _exit(self) -> TaskExit | None:
        if self._folder is None:
            return None
        kept = self._read("exit.json")
        if kept is None:
            return None
        try:
            raw = json.loads(kept)
            return TaskExit(raw["exit_code"], raw["error"], raw["traceback"])
        except (ValueError, KeyError, TypeError, RecursionError):  # written in part
            return None

    def _read(self, name: str) -> bytes | None:
        """Read a shipped file; None if not found, or if only get-output is permitted."""
        if self._folder is None:
            return None
        try:
            return files.read(self._workspace, f"{self._folder}/{name}")
        except ApiError as error:
            if error.code != _NOT_ALLOWED:
                raise
            self._folder = None
            return None

    def _output(self) -> dict[str, Any]:
        try:
            return self._workspace.get("/api/2.2/jobs/runs/get-output", run_id=self._task_run)
        except ApiError as error:
            return {"error": f"cannot read its output: {error}"}

    def _rest(self, logs: str) -> str:
        """Return the part of `logs`, the end of the whole output, that was not shown yet."""
        if not self._shown:
            return logs
        shown = self._shown.rstrip("\n")  # get-output ends with one newline, whatever was printed
        place = logs.rfind(shown)
        rest = logs[place + len(shown) :] if place >= 0 else ""
        return rest.removeprefix("\n") if shown != self._shown else rest

    def _emit(self, text: str) -> None:
        if text:
            self._shown = (self._shown + text)[-_KEPT:]
            self._show(text)


class Output:
    """The output of a run's tasks, shown as it arrives; with `tail` from the last lines on.

    `show` is called with the task and a piece of text, which may begin and end within a line.
    """

    def __init__(
        self, workspace: Workspace, show: Callable[[Task, str], None], tail: int | None = None
    ) -> None:
        self._workspace = workspace
        self._show = show
        self._tail = tail
        self._outputs: dict[int, TaskOutput] = {}
        self.exits: dict[int, TaskExit] = {}
        """Exits of the finished tasks, by the id of the task's run."""

    def pull(self, run: Run, tasks: Sequence[Task]) -> None:
        """Show what was shipped since the last call."""
        for task in tasks:
            if task.state.began:
                self._of(run, task).pull()

    def finish(self, run: Run, tasks: Sequence[Task]) -> TaskExit:
        """Show the rest of finished tasks' output; return the exit of the first that failed."""
        worst = TaskExit()
        for task in tasks:
            if task.run_id not in self.exits:
                succeeded = task.state.outcome == "succeeded"
                task_exit = self._of(run, task).finish(succeeded=succeeded)
                self.exits[task.run_id] = task_exit
            worst = _worse(worst, self.exits[task.run_id])
        return worst

    def _of(self, run: Run, task: Task) -> TaskOutput:
        output = self._outputs.get(task.run_id)
        if output is None:
            folder = runs.folder_of(run, task)

            def show(text: str) -> None:
                self._show(task, text)

            output = TaskOutput(self._workspace, task.run_id, folder, show, self._tail)
            self._outputs[task.run_id] = output
        return output


def _worse(one: TaskExit, other: TaskExit) -> TaskExit:
    return one if one.error or one.exit_code else other


def _last(text: str, count: int) -> str:
    """Return the last `count` lines of a text, separated by newlines only."""
    lines = text.split("\n")
    whole = 1 if text.endswith("\n") else 0
    return "\n".join(lines[-(count + whole) :]) if count else ""
