"""Settings of jobs, tasks and clusters, as clients send them and the database keeps them.

Only the fields that the local workspace reads are declared; all others are kept as they were sent.
"""

from __future__ import annotations

from typing import Any, TypedDict


class PyPiLibrary(TypedDict, total=False):
    package: str
    repo: str


class Library(TypedDict, total=False):
    """A library of a task or cluster: exactly one kind."""

    whl: str
    pypi: PyPiLibrary
    requirements: str


class AutoScale(TypedDict, total=False):
    min_workers: int
    max_workers: int


class ClusterSpec(TypedDict, total=False):
    """What a client sent to create or edit a cluster, or declares as `new_cluster`."""

    cluster_name: str
    spark_version: str
    node_type_id: str
    driver_node_type_id: str
    num_workers: int
    autoscale: AutoScale
    autotermination_minutes: int
    spark_env_vars: dict[str, str]
    spark_conf: dict[str, str]
    custom_tags: dict[str, str]
    data_security_mode: str
    single_user_name: str


class JobCluster(TypedDict):
    job_cluster_key: str
    new_cluster: ClusterSpec


class EnvironmentSpec(TypedDict, total=False):
    """A serverless environment; `client` is the old name of `environment_version`."""

    environment_version: str
    client: str
    dependencies: list[str]


class JobEnvironment(TypedDict, total=False):
    environment_key: str
    spec: EnvironmentSpec


class JobParameter(TypedDict):
    name: str
    default: str


class Dependency(TypedDict, total=False):
    task_key: str
    outcome: str


class WheelTask(TypedDict, total=False):
    package_name: str
    entry_point: str
    parameters: list[str]
    named_parameters: dict[str, str]


class PythonFileTask(TypedDict, total=False):
    python_file: str
    source: str
    parameters: list[str]


class ForEachTask(TypedDict, total=False):
    """`inputs` is JSON, or a reference to a task value that holds JSON."""

    inputs: str
    concurrency: int
    task: TaskSettings


class TaskSettings(TypedDict, total=False):
    task_key: str
    description: str
    depends_on: list[Dependency]
    run_if: str
    python_wheel_task: WheelTask
    spark_python_task: PythonFileTask
    for_each_task: ForEachTask
    existing_cluster_id: str
    new_cluster: ClusterSpec
    job_cluster_key: str
    environment_key: str
    libraries: list[Library]
    timeout_seconds: int
    max_retries: int
    min_retry_interval_millis: int
    retry_on_timeout: bool
    disable_auto_optimization: bool


class Schedule(TypedDict, total=False):
    quartz_cron_expression: str
    timezone_id: str
    pause_status: str


class PeriodicTrigger(TypedDict):
    interval: int
    unit: str


class Trigger(TypedDict, total=False):
    """The `trigger` of a job's settings."""

    periodic: PeriodicTrigger
    pause_status: str


class QueueSettings(TypedDict, total=False):
    enabled: bool


class JobSettings(TypedDict, total=False):
    name: str
    format: str
    tasks: list[TaskSettings]
    parameters: list[JobParameter]
    job_clusters: list[JobCluster]
    environments: list[JobEnvironment]
    tags: dict[str, str]
    schedule: Schedule
    trigger: Trigger
    queue: QueueSettings
    run_as: dict[str, str]
    max_concurrent_runs: int
    timeout_seconds: int
    email_notifications: dict[str, Any]
    webhook_notifications: dict[str, Any]


class RunTrigger(TypedDict, total=False):
    """What started a run and what it overrides. `due` (ms since 1970) is of scheduled runs."""

    type: str
    due: int
    python_params: list[str]
    python_named_params: dict[str, str]
    job_parameters: dict[str, str]
    queue: QueueSettings


TASK_KINDS = ("python_wheel_task", "spark_python_task", "for_each_task")
"""The kinds of tasks that the local workspace runs."""
