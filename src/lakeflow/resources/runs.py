"""Runs: what is there of them, and the requests that look at them, end them and repair them."""

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
    """Where a run is: `life` in Databricks' words, `outcome` once it has ended, else None.

    Outcomes are `succeeded`, `failed`, `cancelled` and `skipped`.
    """

    life: str
    outcome: str | None
    message: str
    code: str = ""
    """Databricks' `termination_details.code`, once it has ended."""

    @property
    def began(self) -> bool:
        """Whether its code may have been started."""
        return self.outcome is not None or self.life in ("RUNNING", "TERMINATING")


@dataclass(frozen=True)
class Task:
    """An attempt of a task of a run; `root` is where its runner ships its output.

    `attempt` counts from 0. Times are Unix milliseconds; 0 where it has not come to that.
    """

    key: str
    run_id: int
    state: State
    root: str | None
    attempt: int = 0
    started: int = 0
    ended: int = 0
    url: str = ""
    code: tuple[str, ...] = ()
    """Its libraries and the versions that its runner insists on, as `code_of` tells them."""


@dataclass(frozen=True)
class Run:
    """A run of a job. Times are Unix milliseconds; 0 where it has not come to that.

    `tasks` are the last attempts, `attempts` are all. `argv` is what it was triggered with: None
    where another client sent something that is no list of arguments.
    """

    id: int
    job_id: int
    url: str
    state: State
    tasks: tuple[Task, ...]
    started: int
    ended: int
    attempts: tuple[Task, ...] = ()
    name: str = ""
    argv: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    """The names of the environment variables that it was given."""
    call: str | None = None
    """The job parameter that it was triggered with, to be sent again."""


def get(workspace: Workspace, run_id: int) -> Run:
    """The run with this id. Raises UsageError where there is none."""
    try:
        raw = workspace.get(f"{API}/runs/get", run_id=run_id)
        workspace.member(raw, "run_id")
        token = raw.get("next_page_token")
        while token:  # of more than 100 tasks
            page = workspace.get(f"{API}/runs/get", run_id=run_id, page_token=token)
            raw["tasks"] += page.get("tasks") or []
            token = page.get("next_page_token")
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no run {run_id} in {workspace.host}") from error
        raise
    return read(raw)


def of_job(workspace: Workspace, job_id: int, limit: int) -> list[Run]:
    """The newest runs of a job, at most `limit`."""
    size = min(PAGE, limit)
    found = workspace.pages(f"{API}/runs/list", "runs", job_id=job_id, limit=size)
    return [read(raw) for raw in itertools.islice(found, limit)]


def any_active(workspace: Workspace, job_id: int) -> bool:
    """Whether a run of a job waits or computes."""
    page = workspace.get(f"{API}/runs/list", job_id=job_id, active_only="true", limit=1)
    return bool(page.get("runs"))


def cancel(workspace: Workspace, run_id: int) -> None:
    """Ask for the end of a run, which comes soon after. One that has ended stays as it is."""
    try:
        workspace.post(f"{API}/runs/cancel", {"run_id": run_id}, repeatable=True)
    except ApiError as error:
        if error.missing:
            raise UsageError(f"there is no run {run_id} in {workspace.host}") from error
        raise


def repair(workspace: Workspace, run_id: int, parameters: Mapping[str, Any]) -> int:
    """Run again what failed of a run that has ended, and what depends on it; the repair's id.

    The tasks take the job's current settings, and the parameters have to be sent again (Jobs API,
    runs/repair). It is asked for once: where the reply was lost, the history tells.
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
        made = last_repair(workspace, run_id)
        if made is None or made == last:
            raise
        return made
    return int(reply["repair_id"])


def last_repair(workspace: Workspace, run_id: int) -> int | None:
    """The id of a run's newest repair; None where it was not repaired."""
    run = workspace.get(f"{API}/runs/get", run_id=run_id, include_history="true")
    history = [item for item in run.get("repair_history") or [] if item.get("type") == "REPAIR"]
    last = max(history, key=lambda item: int(item.get("start_time") or 0), default=None)
    return None if last is None else int(last["id"])


def code_of(task: Mapping[str, Any]) -> tuple[str, ...]:
    """What decides which code a task runs, in the settings of a job and in a run alike."""
    parameters = (task.get("python_wheel_task") or {}).get("parameters") or []
    requires = [text for text in parameters if text.startswith(_REQUIRES)]
    libraries = [json.dumps(library, sort_keys=True) for library in task.get("libraries") or []]
    return (*sorted(libraries), *sorted(requires))


def url_of(workspace: Workspace, job_id: int, run_id: int) -> str:
    """The page of a run."""
    return f"{workspace.host}/jobs/{job_id}/runs/{run_id}"


def folder_of(run: Run, task: Task) -> str | None:
    """Where a task's runner writes; None for a task that lakeflow did not deploy."""
    return f"{task.root}/runs/{run.id}/{task.run_id}" if task.root else None


def read(raw: Mapping[str, Any]) -> Run:
    listed = sorted(raw.get("tasks") or [], key=_turn)
    attempts = tuple(_task(task) for task in listed)  # every attempt: the last one counts
    last = {task.key: task for task in attempts}
    call, argv, env = _asked(raw)
    return Run(
        id=int(raw["run_id"]),
        job_id=int(raw.get("job_id") or 0),
        url=str(raw.get("run_page_url") or ""),
        state=_state(raw),
        tasks=tuple(last.values()),
        started=int(raw.get("start_time") or 0),
        ended=int(raw.get("end_time") or 0),
        attempts=attempts,
        name=str(raw.get("run_name") or ""),
        argv=argv,
        env=env,
        call=call,
    )


def _turn(task: Mapping[str, Any]) -> tuple[float, int]:
    """What sorts attempts, those of a repair too, as they came."""
    return task.get("start_time") or math.inf, task.get("attempt_number") or 0


def _asked(raw: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None, tuple[str, ...]]:
    """What a run was triggered with: the call as it was sent, its arguments, its variables."""
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
        ended=int(raw.get("end_time") or 0),
        url=str(raw.get("run_page_url") or ""),
        code=code_of(raw),
    )


def _state(raw: Mapping[str, Any]) -> State:
    """The state of a run or a task, from the new `status` or, where that lacks, the old `state`."""
    status, old = raw.get("status") or {}, raw.get("state") or {}
    if status.get("state"):
        life = str(status["state"])
        details = status.get("termination_details") or {}
        code = str(details.get("code") or old.get("result_state") or "")
        message = str(details.get("message") or "")
        ended = life == "TERMINATED"
    else:
        life = str(old.get("life_cycle_state", ""))
        code, message = str(old.get("result_state") or life), ""
        ended = life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
    message = message or str(old.get("state_message") or "")
    result = str(old.get("result_state") or "")
    outcome = termination_codes.outcome_of(code, result) if ended else None
    return State(life, outcome, message, code if ended else "")
