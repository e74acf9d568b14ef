"""Runs of jobs: look up, list, cancel and repair them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakeflow.client.http_errors import ApiError, ReplyLost
from lakeflow.client.workspace import Workspace
from lakeflow.errors import UsageError
from lakeflow.resources import termination_codes
from lakeflow.resources.jobs import CALL_PARAMETER
from lakeflow_task.protocol import decode_call

API = "/api/2.2/jobs"

PAGE = 24
"""Runs that one page of runs/list holds at most (Jobs API, runs/list)."""

_ROOT = "--root="
_REQUIRES = "--requires="


@dataclass(frozen=True)
class State:
    """State of a run or a task: `life` as Databricks names it, `outcome` None until it finishes.

    Outcomes are `succeeded`, `failed`, `cancelled` and `skipped`.
    """

    life: str
    outcome: str | None
    message: str
    code: str = ""
    """Databricks' `termination_details.code`; empty until it finishes."""

    @property
    def began(self) -> bool:
        """Whether its code may have started."""
        return self.outcome is not None or self.life in ("RUNNING", "TERMINATING")


@dataclass(frozen=True)
class Task:
    """An attempt of a task; `root` is the folder to which its runner ships output.

    `attempt` counts from 0. Times are Unix milliseconds, 0 if not reached.
    """

    key: str
    run_id: int
    state: State
    root: str | None
    attempt: int = 0
    started: int = 0
    finished: int = 0
    url: str = ""
    code: tuple[str, ...] = ()
    """Its libraries and the versions that its runner requires (see `code_of`)."""


@dataclass(frozen=True)
class Run:
    """A run of a job. Times are Unix milliseconds, 0 if not reached.

    `tasks` are the last attempts, `attempts` are all. `argv` are the arguments it was triggered
    with, None if another client sent parameters that are no list of arguments.
    """

    id: int
    job_id: int
    url: str
    state: State
    tasks: tuple[Task, ...]
    started: int
    finished: int
    attempts: tuple[Task, ...] = ()
    name: str = ""
    argv: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    """Names of the environment variables that were passed to it."""
    call: str | None = None
    """The job parameter it was triggered with, to send it again."""


def get(workspace: Workspace, run_id: int) -> Run:
    """Return the run with this id. Raises UsageError if not found."""
    try:
        raw, *more = workspace.whole_pages(f"{API}/runs/get", run_id=run_id)
        workspace.member(raw, "run_id")
        for page in more:  # of more than 100 tasks
            raw["tasks"] = [*(raw.get("tasks") or []), *(page.get("tasks") or [])]
    except ApiError as error:
        if error.missing:
            raise UsageError(f"run {run_id} not found in {workspace.host}") from error
        raise
    return read(raw)


def of_job(workspace: Workspace, job_id: int, limit: int) -> list[Run]:
    """Return the newest runs of a job, at most `limit`."""
    size = min(PAGE, limit)
    found = workspace.pages(f"{API}/runs/list", "runs", job_id=job_id, limit=size)
    return [read(raw) for raw in itertools.islice(found, limit)]


def any_active(workspace: Workspace, job_id: int) -> bool:
    """Say whether a job has queued or running runs."""
    page = workspace.get(f"{API}/runs/list", job_id=job_id, active_only="true", limit=1)
    return bool(page.get("runs"))


def cancel(workspace: Workspace, run_id: int) -> None:
    """Cancel a run, which then finishes soon. A finished run stays as it is."""
    try:
        workspace.post(f"{API}/runs/cancel", {"run_id": run_id}, repeatable=True)
    except ApiError as error:
        if error.missing:
            raise UsageError(f"run {run_id} not found in {workspace.host}") from error
        raise


def repair(workspace: Workspace, run_id: int, parameters: Mapping[str, Any]) -> int:
    """Run the failed tasks of a finished run again, and those that depend on them.

    The tasks use the job's current settings, and the parameters must be sent again (Jobs API,
    runs/repair). The request is sent once: if the reply is lost, the run's history tells whether it
    took effect. Returns the repair's id.
    """
    last = last_repair(workspace, run_id)
    body = {
        "run_id": run_id,
        "rerun_all_failed_tasks": True,
        "rerun_dependent_tasks": True,
        **parameters,
    }
    if last is not None:
        body["latest_repair_id"] = last
    try:
        reply = workspace.post(f"{API}/runs/repair", body, repeatable=False)
    except ReplyLost:
        newest = last_repair(workspace, run_id)
        if newest is None or newest == last:
            raise
        return newest
    return int(reply["repair_id"])


def last_repair(workspace: Workspace, run_id: int) -> int | None:
    """Return the id of a run's newest repair, None if it was not repaired."""
    run = workspace.get(f"{API}/runs/get", run_id=run_id, include_history="true")
    history = [item for item in run.get("repair_history") or [] if item.get("type") == "REPAIR"]
    last = max(history, key=lambda item: int(item.get("start_time") or 0), default=None)
    return None if last is None else int(last["id"])


def code_of(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what decides on a task's code, from the settings of a job or from a run."""
    parameters = (task.get("python_wheel_task") or {}).get("parameters") or []
    requires = [text for text in parameters if text.startswith(_REQUIRES)]
    libraries = [json.dumps(library, sort_keys=True) for library in task.get("libraries") or []]
    return (*sorted(libraries), *sorted(requires))


def url_of(workspace: Workspace, job_id: int, run_id: int) -> str:
    """Return the URL of a run in the web UI."""
    return f"{workspace.host}/jobs/{job_id}/runs/{run_id}"


def folder_of(run: Run, task: Task) -> str | None:
    """Return the folder of a task's output, None for a task that lakeflow did not deploy."""
    return f"{task.root}/runs/{run.id}/{task.run_id}" if task.root else None


def read(raw: Mapping[str, Any]) -> Run:
    """Convert a run of the Jobs API."""
    listed = sorted(raw.get("tasks") or [], key=_start_order)
    attempts = tuple(_task(task) for task in listed)
    last = {task.key: task for task in attempts}
    call, argv, env = _call_of(raw)
    return Run(
        id=int(raw["run_id"]),
        job_id=int(raw.get("job_id") or 0),
        url=str(raw.get("run_page_url") or ""),
        state=_state(raw),
        tasks=tuple(last.values()),
        started=int(raw.get("start_time") or 0),
        finished=int(raw.get("end_time") or 0),
        attempts=attempts,
        name=str(raw.get("run_name") or ""),
        argv=argv,
        env=env,
        call=call,
    )


def _start_order(task: Mapping[str, Any]) -> tuple[float, int]:
    """Return the key that sorts attempts, including those of repairs, by start."""
    return task.get("start_time") or math.inf, task.get("attempt_number") or 0


def _call_of(raw: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Return the job parameter a run was triggered with, its arguments and its variables."""
    for parameter in raw.get("job_parameters") or []:
        if parameter.get("name") == CALL_PARAMETER:
            call = str(parameter.get("value") or parameter.get("default") or "")
            try:
                decoded = decode_call(call)
            except ValueError:
                return call, None, ()
            return call, decoded.argv, tuple(name for name, _ in decoded.env)
    given = (raw.get("overriding_parameters") or {}).get("python_params")
    return None, None if given is None else tuple(given), ()


def _task(raw: Mapping[str, Any]) -> Task:
    parameters = (raw.get("python_wheel_task") or {}).get("parameters") or []
    roots = [p[len(_ROOT) :] for p in parameters if p.startswith(_ROOT)]
    ours = parameters[:1] == ["--lakeflow-protocol=1"]
    return Task(
        key=str(raw["task_key"]),
        run_id=int(raw["run_id"]),
        state=_state(raw),
        root=roots[0] if ours and roots else None,
        attempt=int(raw.get("attempt_number") or 0),
        started=int(raw.get("start_time") or 0),
        finished=int(raw.get("end_time") or 0),
        url=str(raw.get("run_page_url") or ""),
        code=code_of(raw),
    )


def _state(raw: Mapping[str, Any]) -> State:
    """Convert the state of a run or task, from `status` or, if missing, the older `state`."""
    status, old = raw.get("status") or {}, raw.get("state") or {}
    if status.get("state"):
        life = str(status["state"])
        details = status.get("termination_details") or {}
        code = str(details.get("code") or old.get("result_state") or "")
        message = str(details.get("message") or "")
        finished = life == "TERMINATED"
    else:
        life = str(old.get("life_cycle_state", ""))
        code, message = str(old.get("result_state") or life), ""
        finished = life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
    message = message or str(old.get("state_message") or "")
    result = str(old.get("result_state") or "")
    outcome = termination_codes.outcome_of(code, result) if finished else None
    return State(life, outcome, message, code if finished else "")
