"""Jobs: `/api/2.{0,1,2}/jobs/`. Source: docs.databricks.com/api/workspace/jobs."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow.local import runs
from lakeflow.local.api.call import (
    Answer,
    ApiError,
    Call,
    Route,
    invalid,
    not_served,
    wrong_type,
)
from lakeflow.local.store import next_id, now, to_json

VERSIONS = ("2.2", "2.1", "2.0")
MAX_TASKS = 1000
MAX_TAGS = 25
MAX_PARAMETER_BYTES = 10_000
MAX_TOKEN_LENGTH = 64
MAX_LOG_BYTES = 5 * 1024 * 1024

REFUSED_SETTINGS = [
    "continuous",
    "trigger",
    "git_source",
    "job_clusters",
    "environments",
    "budget_policy_id",
    "health",
    "environment_variables",
]
REFUSED_TASK_SETTINGS = [
    "notebook_task",
    "spark_jar_task",
    "spark_python_task",
    "spark_submit_task",
    "pipeline_task",
    "sql_task",
    "dbt_task",
    "run_job_task",
    "condition_task",
    "for_each_task",
    "new_cluster",
    "job_cluster_key",
    "environment_key",
    "depends_on",
    "health",
    "disabled",
]
REFUSED_RUN_PARAMETERS = [
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
    "sql_params",
    "pipeline_params",
    "only",
]
LEGACY_PARAMETERS = [
    "python_params",
    "python_named_params",
    "notebook_params",
    "jar_params",
    "spark_submit_params",
    "dbt_commands",
]
MERGED_BY = {"tasks": "task_key", "parameters": "name"}


def create(call: Call) -> Answer:
    settings = _checked(call, dict(call.parameters))
    with call.workspace.store.transaction() as database:
        job_id = next_id(database, "jobs")
        database.execute(
            "INSERT INTO jobs VALUES (?, ?, ?, ?)",
            (job_id, settings["name"].casefold(), to_json(settings), now()),
        )
    return {"job_id": job_id}


def reset(call: Call) -> Answer:
    settings = _checked(call, dict(call.mapping("new_settings")))
    with call.workspace.store.transaction() as database:
        _replace(database, _job(database, call.number("job_id"))["job_id"], settings)
    return {}


def update(call: Call) -> Answer:
    """Merge: top-level fields are replaced, tasks and parameters are merged by their keys."""
    changes = call.mapping("new_settings")
    with call.workspace.store.transaction() as database:
        row = _job(database, call.number("job_id"))
        settings = json.loads(row["settings"])
        for path in call.parameters.get("fields_to_remove") or []:
            _remove_field(settings, str(path))
        for name, value in changes.items():
            key = MERGED_BY.get(name)
            if key and isinstance(value, list):
                merged = {item.get(key): item for item in settings.get(name, [])}
                merged.update({item.get(key): item for item in value if isinstance(item, dict)})
                value = list(merged.values())
            settings[name] = value
        _replace(database, row["job_id"], _checked(call, settings))
    return {}


def delete(call: Call) -> Answer:
    """Remove a job and end its runs; they stay on the list of runs."""
    workspace = call.workspace
    with workspace.store.transaction() as database:
        job_id = _job(database, call.number("job_id"))["job_id"]
        database.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
        active = database.execute(
            "SELECT run_id FROM runs WHERE job_id = ? AND ended IS NULL ORDER BY run_id DESC",
            (job_id,),
        ).fetchall()
    for row in active:
        workspace.engine.cancel(row["run_id"])
    return {}


def get(call: Call) -> Answer:
    row = call.workspace.store.row("SELECT * FROM jobs WHERE job_id = ?", call.number("job_id"))
    if row is None:
        raise _no_job(call.number("job_id"))
    settings = json.loads(row["settings"])
    tasks, start, next_token = _page_of_tasks(call, settings["tasks"])
    settings["tasks"] = tasks
    if start:
        settings.pop("parameters", None)
    return _with_next_page(_job_view(call, row, settings), next_token)


def list_jobs(call: Call) -> Answer:
    """Newest first. `name` is exact but for case; `expand_tasks` adds tasks and parameters."""
    limit = _limit(call, 20, 100)
    query = "SELECT * FROM jobs WHERE job_id < ?"
    values: list[Any] = [_after(call, 2**62)]
    if call.parameters.get("name"):
        query += " AND name_key = ?"
        values.append(call.text("name").casefold())
    query += " ORDER BY job_id DESC LIMIT ? OFFSET ?"
    rows = call.workspace.store.rows(query, *values, limit + 1, call.number("offset", 0))
    jobs = []
    for row in rows[:limit]:
        settings = json.loads(row["settings"])
        has_more = len(settings["tasks"]) > 100
        if call.flag("expand_tasks"):
            settings["tasks"] = _shown_tasks(settings["tasks"])[:100]
        else:
            settings.pop("tasks")
            settings.pop("parameters", None)
        jobs.append(_job_view(call, row, settings) | {"has_more": has_more})
    return _page("jobs", jobs, len(rows) > limit, lambda job: [job["job_id"]])


def run_now(call: Call) -> Answer:
    """Trigger a run. A known idempotency token is answered with its run, however that ended."""
    workspace = call.workspace
    with workspace.store.transaction() as database:
        row = _job(database, call.number("job_id"))
        settings = json.loads(row["settings"])
        trigger = _checked_trigger(call, settings)
        token = call.text("idempotency_token", "")
        if len(token) > MAX_TOKEN_LENGTH:
            raise invalid(f"The idempotency token must have at most {MAX_TOKEN_LENGTH} characters.")
        known = database.execute(
            "SELECT run_id FROM idempotency_tokens WHERE token = ?", (token,)
        ).fetchone()
        if known is not None:
            run_id = known["run_id"]
        else:
            run_id = runs.create(database, row["job_id"], settings, trigger, now())
            if token:
                database.execute("INSERT INTO idempotency_tokens VALUES (?, ?)", (token, run_id))
    workspace.engine.wake()
    return {"run_id": run_id, "number_in_job": run_id}


def get_run(call: Call) -> Answer:
    run, tasks, task = _find_run(call, call.number("run_id"))
    workspace = call.workspace
    if task is not None:
        view = runs.run_view(run, [], call.host, workspace.user, expand=False)
        view |= runs.task_view(task, run, tasks, call.host)
        view["parent_run_id"] = run.run_id
        return view
    view = runs.run_view(run, tasks, call.host, workspace.user)
    view["tasks"], start, next_token = _slice(call, view["tasks"])
    if start:
        view.pop("job_parameters", None)
    if not call.flag("include_resolved_values"):
        for shown in view["tasks"]:
            shown.pop("resolved_values", None)
    return _with_next_page(view, next_token)


def get_output(call: Call) -> Answer:
    """A task run's output, once it has ended: the last 5 MB of its log, and its error."""
    run, tasks, task = _find_run(call, call.number("run_id"))
    if task is None:
        raise invalid(
            "Retrieving the output of runs with multiple tasks is not supported. "
            "Please retrieve the output of each individual task run instead."
        )
    metadata = runs.run_view(run, [], call.host, call.workspace.user, expand=False)
    metadata |= runs.task_view(task, run, tasks, call.host)
    answer: dict[str, Any] = {"metadata": metadata}
    if task.ended is not None:
        answer["logs"], answer["logs_truncated"] = _tail(call, task)
        if task.error is not None:
            answer["error"] = task.error
        if task.error_trace is not None:
            answer["error_trace"] = task.error_trace
    return answer


def list_runs(call: Call) -> Answer:
    """The latest first, by their end, or by their start while they run."""
    limit = _limit(call, 20, 24, zero_is_most=True)
    where, values = ["1"], []
    if call.parameters.get("job_id"):
        where.append("job_id = ?")
        values.append(call.number("job_id"))
    active, completed = call.flag("active_only"), call.flag("completed_only")
    if active and completed:
        raise invalid("active_only and completed_only can not both be true.")
    if active or completed:
        where.append("ended IS NULL" if active else "ended IS NOT NULL")
    for name, operator in (("start_time_from", ">="), ("start_time_to", "<=")):
        if call.parameters.get(name):
            where.append(f"created {operator} ?")
            values.append(call.number(name))
    if call.parameters.get("page_token"):
        where.append("(coalesce(ended, created), run_id) < (?, ?)")
        values.extend(_decode_token(call.text("page_token"), 2))
    rows = call.workspace.store.rows(
        f"SELECT * FROM runs WHERE {' AND '.join(where)}"
        " ORDER BY coalesce(ended, created) DESC, run_id DESC LIMIT ? OFFSET ?",
        *values,
        limit + 1,
        call.number("offset", 0),
    )
    if call.text("run_type", "JOB_RUN") != "JOB_RUN":
        rows = []
    expand = call.flag("expand_tasks")
    views = []
    for row in rows[:limit]:
        run = runs.job_run(row)
        tasks = _tasks_of(call, run.run_id)
        views.append(runs.run_view(run, tasks, call.host, call.workspace.user, expand))
    return _page(
        "runs",
        views,
        len(rows) > limit,
        lambda run: [run["end_time"] or run["start_time"], run["run_id"]],
    )


def cancel(call: Call) -> Answer:
    run_id = call.number("run_id")
    _find_run(call, run_id)
    call.workspace.engine.cancel(run_id)
    return {}


def cancel_all(call: Call) -> Answer:
    job_id = call.number("job_id")
    rows = call.workspace.store.rows(
        "SELECT run_id FROM runs WHERE job_id = ? AND ended IS NULL ORDER BY run_id DESC", job_id
    )
    for row in rows:
        call.workspace.engine.cancel(row["run_id"])
    return {}


def _no_job(job_id: int) -> ApiError:
    return invalid(f"Job {job_id} does not exist.")


def _job(database: sqlite3.Connection, job_id: int) -> sqlite3.Row:
    row = database.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise _no_job(job_id)
    found: sqlite3.Row = row
    return found


def _replace(database: sqlite3.Connection, job_id: int, settings: Mapping[str, Any]) -> None:
    database.execute(
        "UPDATE jobs SET name_key = ?, settings = ? WHERE job_id = ?",
        (settings["name"].casefold(), to_json(settings), job_id),
    )


def _remove_field(settings: dict[str, Any], path: str) -> None:
    """`name`, or `tasks/task_key`."""
    name, _, key = path.partition("/")
    if not key:
        settings.pop(name, None)
    elif name in MERGED_BY and name in settings:
        by = MERGED_BY[name]
        settings[name] = [item for item in settings[name] if item.get(by) != key]
    elif isinstance(settings.get(name), dict):
        settings[name].pop(key, None)


def _checked(call: Call, settings: dict[str, Any]) -> dict[str, Any]:
    """A job's settings with their defaults, or the error that says what is wrong with them."""
    for name in ("access_control_list", "idempotency_token"):
        settings.pop(name, None)
    given = Call(call.workspace, call.method, call.host, settings, "", None)
    for name in REFUSED_SETTINGS:
        if settings.get(name):
            raise not_served(f"jobs with '{name}' yet")
    schedule = given.mapping("schedule")
    if schedule and schedule.get("pause_status") != "PAUSED":
        raise not_served("jobs with an unpaused 'schedule' yet")
    run_as = given.mapping("run_as")
    if run_as and run_as.get("user_name") != call.workspace.user:
        raise not_served("jobs that run as somebody else yet")
    tags = given.mapping("tags")
    if len(tags) > MAX_TAGS:
        raise invalid(f"A job can have at most {MAX_TAGS} tags, not {len(tags)}.")
    if not 0 <= given.number("max_concurrent_runs", 1) <= 1000:
        raise invalid("max_concurrent_runs must be between 0 and 1000.")
    if given.number("timeout_seconds", 0) < 0:
        raise invalid("timeout_seconds must not be negative.")
    given.mapping("queue")
    for parameter in given.objects("parameters"):
        _check_parameter(parameter)
    tasks = given.objects("tasks")
    if not tasks:
        raise invalid("A job needs at least one task in 'tasks'.")
    if len(tasks) > MAX_TASKS:
        raise invalid(f"A job can have at most {MAX_TASKS} tasks, not {len(tasks)}.")
    for task in tasks:
        _check_task(Call(call.workspace, call.method, call.host, task, "", None))
    keys = [task["task_key"] for task in tasks]
    if len(set(keys)) < len(keys):
        raise invalid("The task keys of a job must differ.")
    defaults = {
        "name": "Untitled",
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
    }
    checked = {**defaults, **{k: v for k, v in settings.items() if v is not None}}
    return checked | {"name": given.text("name", "Untitled"), "format": "MULTI_TASK"}


def _check_parameter(parameter: Mapping[str, Any]) -> None:
    name = parameter.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise invalid(f"'{name}' is no name of a job parameter: use letters, digits, '_-.'.")
    if not isinstance(parameter.get("default"), str):
        raise invalid(f"Job-level parameters '{name}' is missing default value.")


def _check_task(task: Call) -> None:
    key = task.text("task_key")
    if not re.fullmatch(r"[\w-]{1,100}", key, re.ASCII):
        raise invalid(f"'{key}' is no task key: use up to 100 letters, digits, '_' and '-'.")
    for name in REFUSED_TASK_SETTINGS:
        if task.parameters.get(name):
            raise not_served(f"tasks with '{name}' yet (task '{key}')")
    if task.text("run_if", "ALL_SUCCESS") != "ALL_SUCCESS":
        raise not_served(f"tasks with 'run_if' other than ALL_SUCCESS yet (task '{key}')")
    task.text("existing_cluster_id")
    if task.number("max_retries", 0) < -1:
        raise invalid("max_retries must be -1 or more.")
    for name in ("timeout_seconds", "min_retry_interval_millis"):
        if not 0 <= task.number(name, 0) < 2**40:
            raise invalid(f"{name} must not be negative.")
    wheel = Call(
        task.workspace, task.method, task.host, task.mapping("python_wheel_task"), "", None
    )
    if not wheel.parameters:
        raise invalid(f"Task '{key}' has no python_wheel_task.")
    wheel.text("package_name")
    wheel.text("entry_point")
    _check_texts(wheel.parameters.get("parameters"), "parameters")
    named = wheel.mapping("named_parameters")
    _check_texts(list(named.values()), "named_parameters")
    if named and wheel.parameters.get("parameters"):
        raise invalid("A task has either parameters or named_parameters.")
    for library in task.objects("libraries"):
        check_library(library)


def check_library(library: Mapping[str, Any]) -> None:
    """Raise the error for a library that can't be one."""
    if len(library) != 1:
        raise invalid(f"A library has exactly one kind: {to_json(library)}")
    kind, value = next(iter(library.items()))
    if kind == "pypi":
        value = value.get("package") if isinstance(value, dict) else None
    elif kind not in ("whl", "requirements"):
        raise not_served(f"libraries of the kind '{kind}'")
    if not isinstance(value, str) or not value:
        raise invalid(f"A library of the kind '{kind}' needs a text: {to_json(library)}")


def _check_texts(values: Any, name: str) -> None:
    if values is not None and not (
        isinstance(values, list) and all(isinstance(value, str) for value in values)
    ):
        raise wrong_type(name, "list of strings")


def _checked_trigger(call: Call, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run-now overrides."""
    given = {name for name, value in call.parameters.items() if value}
    if "job_parameters" in given:
        for name in LEGACY_PARAMETERS:
            if name in given:
                raise invalid(f"job_parameters can not be used in combination with {name}")
    for name in REFUSED_RUN_PARAMETERS:
        if name in given:
            raise not_served(f"run-now with '{name}' yet")
    if {"python_params", "python_named_params"} <= given:
        raise invalid("python_params can not be used in combination with python_named_params")
    trigger: dict[str, Any] = {}
    if "python_params" in given:
        _check_texts(call.parameters["python_params"], "python_params")
        trigger["python_params"] = call.parameters["python_params"]
        _check_size(trigger["python_params"])
    if "python_named_params" in given:
        _check_texts(list(call.mapping("python_named_params").values()), "python_named_params")
        trigger["python_named_params"] = call.mapping("python_named_params")
    if "job_parameters" in given:
        parameters = call.mapping("job_parameters")
        _check_texts(list(parameters.values()), "job_parameters")
        declared = {parameter["name"] for parameter in settings.get("parameters", ())}
        if unknown := sorted(parameters.keys() - declared):
            raise invalid(f"The job has no parameter '{unknown[0]}'.")
        trigger["job_parameters"] = parameters
    if "queue" in given:
        trigger["queue"] = call.mapping("queue")
    return trigger


def _check_size(parameters: Sequence[str]) -> None:
    text = json.dumps(parameters, ensure_ascii=False)
    if not text.isascii():
        raise invalid("python_params can only hold ASCII characters.")
    if len(text) > MAX_PARAMETER_BYTES:
        raise invalid(
            f"python_params must have at most {MAX_PARAMETER_BYTES} bytes as JSON, not {len(text)}."
        )


def _find_run(
    call: Call, run_id: int
) -> tuple[runs.JobRun, list[runs.TaskRun], runs.TaskRun | None]:
    """A job run with its tasks; the third is the task run where the id is a task run's."""
    store = call.workspace.store
    row = store.row("SELECT job_run_id FROM task_runs WHERE run_id = ?", run_id)
    job_run_id = run_id if row is None else row["job_run_id"]
    found = store.row("SELECT * FROM runs WHERE run_id = ?", job_run_id)
    if found is None:
        raise invalid(f"Run {run_id} does not exist.")
    tasks = _tasks_of(call, job_run_id)
    task = next((task for task in tasks if task.run_id == run_id), None)
    return runs.job_run(found), tasks, task


def _tasks_of(call: Call, job_run_id: int) -> list[runs.TaskRun]:
    rows = call.workspace.store.rows(
        "SELECT * FROM task_runs WHERE job_run_id = ? ORDER BY run_id", job_run_id
    )
    return [runs.task_run(row) for row in rows]


def _tail(call: Call, task: runs.TaskRun) -> tuple[str, bool]:
    try:
        with open(call.workspace.engine.log_file(task), "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            text = file.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "", False
    return (text.rstrip("\n") + "\n" if text else ""), size > MAX_LOG_BYTES


def _job_view(call: Call, row: sqlite3.Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    user = call.workspace.user
    return {
        "job_id": row["job_id"],
        "creator_user_name": user,
        "run_as_user_name": user,
        "created_time": row["created"],
        "settings": settings,
    }


def _shown_tasks(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    defaults = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}}
    return [{**defaults, **task} for task in tasks]


def _page_of_tasks(
    call: Call, tasks: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], int, str | None]:
    return _slice(call, _shown_tasks(tasks))


def _slice(
    call: Call, items: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int, str | None]:
    """The 100 items of a page, the first one's position, and the token of the next page."""
    token = call.text("page_token", "")
    start = _decode_token(token, 1)[0] if token else 0
    end = start + 100
    return list(items[start:end]), start, _encode_token([end]) if len(items) > end else None


def _with_next_page(view: dict[str, Any], token: str | None) -> dict[str, Any]:
    return view | {"next_page_token": token} if token else view


def _limit(call: Call, default: int, most: int, zero_is_most: bool = False) -> int:
    limit = call.number("limit", default)
    if limit == 0 and zero_is_most:
        return most
    if not 0 < limit <= most:
        raise invalid(f"limit must be between 1 and {most}, not {limit}.")
    return limit


def _page(name: str, items: list[dict[str, Any]], has_more: bool, position: Any) -> Answer:
    page: dict[str, Any] = {"has_more": has_more}
    if items:
        page[name] = items
    if has_more:
        page["next_page_token"] = _encode_token(position(items[-1]))
    return page


def _after(call: Call, default: int) -> int:
    token = call.text("page_token", "")
    return _decode_token(token, 1)[0] if token else default


def _encode_token(numbers: Sequence[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(numbers)).encode()).decode().rstrip("=")


def _decode_token(token: str, length: int) -> list[int]:
    try:
        numbers = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if len(numbers) == length and all(type(n) is int and 0 <= n < 2**62 for n in numbers):
            return list(numbers)
    except (ValueError, TypeError):
        pass
    raise invalid(f"'{token[:100]}' is no page token of this list.")


def _versions(method: str, path: str, answer: Any) -> list[Route]:
    return [Route(method, f"/api/{version}/jobs/{path}", answer) for version in VERSIONS]


ROUTES = (
    *_versions("POST", "create", create),
    *_versions("POST", "reset", reset),
    *_versions("POST", "update", update),
    *_versions("POST", "delete", delete),
    *_versions("GET", "get", get),
    *_versions("GET", "list", list_jobs),
    *_versions("POST", "run-now", run_now),
    *_versions("GET", "runs/get", get_run),
    *_versions("GET", "runs/get-output", get_output),
    *_versions("GET", "runs/list", list_runs),
    *_versions("POST", "runs/cancel", cancel),
    *_versions("POST", "runs/cancel-all", cancel_all),
)
