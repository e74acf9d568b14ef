"""Check the settings of a job or one-time run, before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from lakeflow_local.compute.serverless import environment_version
from lakeflow_local.runs import quartz
from lakeflow_local.runs.conditions import dependencies
from lakeflow_local.runs.schedules import UNITS
from lakeflow_local.server.api.clusters import check_spec
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, check_strings
from lakeflow_local.storage.database import to_json
from lakeflow_local.storage.settings import TASK_KINDS, EnvironmentSpec, JobSettings, TaskSettings

MAX_TASKS = 1000
MAX_TAGS = 25
MAX_ENVIRONMENTS = 10
MAX_ITERATIONS_AT_ONCE = 100

MERGED_BY = {
    "tasks": "task_key",
    "parameters": "name",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
}
"""Lists in a job's settings, and the key of their members."""

COMPUTE = ("existing_cluster_id", "new_cluster", "job_cluster_key", "environment_key")
RUN_IF = (
    "ALL_SUCCESS",
    "AT_LEAST_ONE_SUCCESS",
    "NONE_FAILED",
    "ALL_DONE",
    "AT_LEAST_ONE_FAILED",
    "ALL_FAILED",
)
REFUSED_SETTINGS = [
    "continuous",
    "git_source",
    "budget_policy_id",
    "usage_policy_id",
    "environment_variables",
]
REFUSED_TASK_SETTINGS = [
    "notebook_task",
    "spark_jar_task",
    "spark_submit_task",
    "pipeline_task",
    "sql_task",
    "dbt_task",
    "dbt_cloud_task",
    "dbt_platform_task",
    "run_job_task",
    "condition_task",
    "dashboard_task",
    "alert_task",
    "power_bi_task",
    "clean_rooms_notebook_task",
    "gen_ai_compute_task",
    "ai_runtime_task",
    "python_operator_task",
    "compute",
    "environment_variables_key",
    "disabled",
]
SINGLE_TASK_FIELDS = (
    *TASK_KINDS,
    *COMPUTE,
    *REFUSED_TASK_SETTINGS,
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
)
"""Fields of the one task in the format of Jobs API 2.0, in which they are fields of the job."""


def check_settings(
    request: ApiRequest, given: Mapping[str, Any], *, queues: bool = False
) -> JobSettings:
    """Return the settings of a job with their defaults. `queues` is the default of `queue`.

    Raises:
        ApiError: They are invalid, or need something that is not served.
    """
    settings = _with_tasks({name: value for name, value in given.items() if value is not None})
    for name in ("access_control_list", "idempotency_token"):
        settings.pop(name, None)
    _check_all(request.within(settings))
    defaults: JobSettings = {
        "name": "Untitled",
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
        "format": "MULTI_TASK",
    }
    if queues:
        defaults["queue"] = {"enabled": True}
    return {**defaults, **cast(JobSettings, settings)}


def _with_tasks(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in the format of Jobs API 2.0 with a list of one task."""
    if "tasks" in settings or not any(settings.get(name) for name in SINGLE_TASK_FIELDS):
        return settings | {"format": "MULTI_TASK"}
    task = {name: settings.pop(name) for name in SINGLE_TASK_FIELDS if name in settings}
    return settings | {"tasks": [{"task_key": "main", **task}], "format": "SINGLE_TASK"}


def change_task(task: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Move the fields of the one task from `changes`, in the format of Jobs API 2.0, to the task.

    Another kind of compute or program replaces the current one.
    """
    own = {name: changes.pop(name) for name in SINGLE_TASK_FIELDS if name in changes}
    kept = dict(task)
    for alternatives in (COMPUTE, TASK_KINDS):
        if any(own.get(name) for name in alternatives):
            kept = {name: value for name, value in kept.items() if name not in alternatives}
    return {**kept, **own}


def _check_all(settings: ApiRequest) -> None:
    for name in REFUSED_SETTINGS:
        if _is_set(settings, name):
            raise not_served(f"jobs with '{name}' yet")
    settings.text("name", "Untitled")
    _check_schedule(settings)
    _check_run_as(settings)
    tags = settings.mapping("tags")
    if len(tags) > MAX_TAGS:
        raise invalid(f"A job can have at most {MAX_TAGS} tags, not {len(tags)}.")
    if not 0 <= settings.number("max_concurrent_runs", 1) <= 1000:
        raise invalid("max_concurrent_runs must be between 0 and 1000.")
    _check_not_negative(settings, "timeout_seconds")
    settings.mapping("queue")
    for parameter in settings.objects("parameters"):
        _check_parameter(parameter)
    _check_job_clusters(settings)
    _check_environments(settings)
    _check_tasks(settings)


def _check_run_as(settings: ApiRequest) -> None:
    """Check that a principal may run as another: admins as anyone, others as a service principal.

    On Databricks that needs a role on the service principal, which is not checked here.
    """
    given = settings.within(settings.mapping("run_as"))
    names = [name for name in ("user_name", "service_principal_name") if given.parameters.get(name)]
    if not given.parameters:
        return
    if len(names) != 1 or len(given.parameters) > 1:
        raise invalid("run_as has exactly one of user_name and service_principal_name.")
    name = given.text(names[0])
    who = settings.workspace.principals.by_name(name)
    if who is None or who.kind != names[0]:
        raise invalid(
            f"{names[0]} '{name}' of run_as does not exist in this workspace:"
            f" `lakeflow local token {name}` makes one."
        )
    if names[0] == "user_name" and who != settings.principal and not settings.principal.is_admin:
        raise ApiError(
            403, "PERMISSION_DENIED", f"Only workspace admins can run jobs as the user {name}."
        )


def _check_schedule(settings: ApiRequest) -> None:
    """Check that a job has at most one schedule or trigger, with valid times."""
    schedule = settings.within(settings.mapping("schedule"))
    trigger = settings.within(settings.mapping("trigger"))
    if schedule.parameters and trigger.parameters:
        raise invalid("A job has either a 'schedule' or a 'trigger'.")
    for holder in (schedule, trigger):
        if holder.text("pause_status", "UNPAUSED") not in ("PAUSED", "UNPAUSED"):
            raise invalid("pause_status must be PAUSED or UNPAUSED.")
        if holder.parameters.get("sql_condition"):
            raise not_served("an 'sql_condition' of jobs")
    if schedule.parameters:
        try:
            quartz.time_zone(schedule.text("timezone_id"))
        except quartz.CronInvalid as error:
            raise invalid(f"Invalid timezone_id: {error}.") from None
        text = schedule.text("quartz_cron_expression")
        try:
            quartz.parse(text)
        except quartz.CronInvalid as error:
            raise invalid(f"Invalid quartz_cron_expression '{text}': {error}.") from None
    if trigger.parameters:
        if other := sorted(trigger.parameters.keys() - {"pause_status", "periodic"}):
            raise not_served(f"jobs with a 'trigger' of the kind '{other[0]}'")
        periodic = trigger.within(trigger.mapping("periodic"))
        if not 1 <= periodic.number("interval") < 10_000:
            raise invalid("The interval of a periodic trigger must be between 1 and 9999.")
        if periodic.text("unit") not in UNITS:
            raise invalid(f"The unit of a periodic trigger must be one of {', '.join(UNITS)}.")


def _check_parameter(parameter: Mapping[str, Any]) -> None:
    name = parameter.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise invalid(f"'{name}' is not a valid job parameter name: use letters, digits, '_-.'.")
    if not isinstance(parameter.get("default"), str):
        raise invalid(f"Job-level parameters '{name}' is missing default value.")


def _check_job_clusters(settings: ApiRequest) -> None:
    for entry in settings.objects("job_clusters"):
        if entry.get("libraries"):
            raise invalid("Libraries can not be declared in a shared job cluster: use the task's.")
        _check_new_cluster(settings.within(entry))
    _check_keys(settings, "job_clusters")


def _check_new_cluster(holder: ApiRequest) -> None:
    check_spec(holder.within(holder.mapping("new_cluster")))


def _check_environments(settings: ApiRequest) -> None:
    environments = settings.objects("environments")
    if len(environments) > MAX_ENVIRONMENTS:
        raise invalid(f"A job can have at most {MAX_ENVIRONMENTS} environments.")
    for entry in environments:
        spec = settings.within(settings.within(entry).mapping("spec"))
        for name in ("base_environment", "java_dependencies"):
            if spec.parameters.get(name):
                raise not_served(f"environments with '{name}' yet")
        version = environment_version(cast(EnvironmentSpec, spec.parameters))
        if not isinstance(version, str) or not version.isdigit():
            raise invalid("An environment needs an environment_version, a number as text.")
        check_strings(spec.parameters.get("dependencies"), "dependencies")
    _check_keys(settings, "environments")


def _check_keys(settings: ApiRequest, name: str) -> Collection[str]:
    """Return the keys of a list's members, which must be unique."""
    by = MERGED_BY[name]
    keys = [settings.within(entry).text(by) for entry in settings.objects(name)]
    if len(set(keys)) < len(keys):
        raise invalid(f"The values of {by} in {name} must differ.")
    return keys


def _check_tasks(settings: ApiRequest) -> None:
    tasks = cast(Sequence[TaskSettings], settings.objects("tasks"))
    if not tasks:
        raise invalid("A job needs at least one task in 'tasks'.")
    if len(tasks) > MAX_TASKS:
        raise invalid(f"A job can have at most {MAX_TASKS} tasks, not {len(tasks)}.")
    for task in tasks:
        _check_task(settings, settings.within(task))
    keys = _check_keys(settings, "tasks")
    for task in tasks:
        for name in dependencies(task):
            if name not in keys:
                raise invalid(
                    f"Task '{task['task_key']}' depends on '{name}', which does not exist."
                )
    _check_order({task["task_key"]: set(dependencies(task)) for task in tasks})


def _check_order(upstream: dict[str, set[str]]) -> None:
    """Check that dependencies have no cycle."""
    while upstream:
        free = {key for key, names in upstream.items() if not names & upstream.keys()}
        if not free:
            raise invalid(f"The tasks {', '.join(sorted(upstream))} depend on one another.")
        upstream = {key: names for key, names in upstream.items() if key not in free}


def _is_set(given: ApiRequest, name: str) -> bool:
    """Return whether a field is set. Empty values are not, except `continuous` and tasks."""
    value = given.parameters.get(name)
    return bool(value) or (value == {} and (name == "continuous" or name.endswith("_task")))


def _check_task(settings: ApiRequest, task: ApiRequest, *, is_iterated: bool = False) -> None:
    key = task.text("task_key")
    if not re.fullmatch(r"[\w-]{1,100}", key, re.ASCII):
        raise invalid(
            f"'{key}' is not a valid task key: use up to 100 letters, digits, '_' and '-'."
        )
    for name in REFUSED_TASK_SETTINGS:
        if _is_set(task, name):
            raise not_served(f"tasks with '{name}' yet (task '{key}')")
    for dependency in task.objects("depends_on"):
        task.within(dependency).text("task_key")
        if dependency.get("outcome"):
            raise not_served(f"'depends_on' with an 'outcome' yet (task '{key}')")
    if task.text("run_if", "ALL_SUCCESS") not in RUN_IF:
        raise invalid(f"run_if must be one of {', '.join(RUN_IF)}.")
    if task.number("max_retries", 0) < -1:
        raise invalid("max_retries must be -1 or more.")
    for name in ("timeout_seconds", "min_retry_interval_millis"):
        _check_not_negative(task, name)
    kinds = [name for name in TASK_KINDS if task.parameters.get(name)]
    if len(kinds) != 1:
        raise invalid(f"Task '{key}' must have exactly one of {', '.join(TASK_KINDS)}.")
    if kinds == ["for_each_task"]:
        if is_iterated:
            raise invalid(f"A for-each task can not iterate over another one (task '{key}').")
        _check_for_each(settings, task)
        return
    _check_compute(settings, task)
    program = task.within(task.mapping(kinds[0]))
    if kinds == ["python_wheel_task"]:
        _check_wheel_task(program)
    else:
        _check_python_task(program)
    for library in task.objects("libraries"):
        check_library(library)


def _check_for_each(settings: ApiRequest, task: ApiRequest) -> None:
    for name in ("timeout_seconds", "max_retries"):
        if task.parameters.get(name):
            raise not_served(f"'{name}' of a for-each task: set it on the task in it")
    loop = task.within(task.mapping("for_each_task"))
    loop.text("inputs")
    if not 1 <= loop.number("concurrency", 1) <= MAX_ITERATIONS_AT_ONCE:
        raise invalid(f"concurrency must be between 1 and {MAX_ITERATIONS_AT_ONCE}.")
    _check_task(settings, loop.within(loop.mapping("task")), is_iterated=True)


def _check_compute(settings: ApiRequest, task: ApiRequest) -> None:
    given = [name for name in COMPUTE if task.parameters.get(name)]
    key = task.text("task_key")
    if len(given) != 1:
        raise invalid(f"Task '{key}' must have exactly one of {', '.join(COMPUTE)}.")
    if given == ["new_cluster"]:
        _check_new_cluster(task)
        return
    name = task.text(given[0])
    declared = {"job_cluster_key": "job_clusters", "environment_key": "environments"}
    if given[0] in declared:
        keys = _check_keys(settings, declared[given[0]])
        if name not in keys:
            raise invalid(f"Task '{key}': '{name}' does not exist in {declared[given[0]]}.")
    if given == ["environment_key"] and task.parameters.get("libraries"):
        raise invalid(
            f"Task '{key}': libraries are not supported on serverless compute: use the "
            "dependencies of its environment."
        )


def _check_wheel_task(wheel: ApiRequest) -> None:
    wheel.text("package_name")
    wheel.text("entry_point")
    check_strings(wheel.parameters.get("parameters"), "parameters")
    named = wheel.mapping("named_parameters")
    check_strings(list(named.values()), "named_parameters")
    if named and wheel.parameters.get("parameters"):
        raise invalid("A task has either parameters or named_parameters.")


def _check_python_task(program: ApiRequest) -> None:
    if program.text("source", "WORKSPACE") != "WORKSPACE":
        raise not_served("a 'source' of Python files other than WORKSPACE yet")
    path = program.text("python_file")
    if not path.startswith(("/", "dbfs:/")):
        raise invalid(f"python_file must be an absolute path or begin with dbfs:/, not '{path}'.")
    check_strings(program.parameters.get("parameters"), "parameters")


def _check_not_negative(holder: ApiRequest, name: str) -> None:
    if not 0 <= holder.number(name, 0) < 2**40:
        raise invalid(f"{name} must not be negative.")


def check_library(library: Mapping[str, Any]) -> None:
    """Raise the error of an invalid library."""
    if len(library) != 1:
        raise invalid(f"A library has exactly one kind: {to_json(library)}")
    kind, value = next(iter(library.items()))
    if kind == "pypi":
        value = value.get("package") if isinstance(value, dict) else None
    elif kind not in ("whl", "requirements"):
        raise not_served(f"libraries of the kind '{kind}'")
    if not isinstance(value, str) or not value:
        raise invalid(f"A library of the kind '{kind}' needs a text: {to_json(library)}")
