"""Results of tools. Ids are strings: JavaScript rounds integers above 2**53. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["succeeded", "failed", "cancelled", "skipped"]


@dataclass(frozen=True)
class JobLine:
    """A job in a list. `link` is a resource of this server, or with --links the job's page."""

    id: str
    name: str
    link: str


@dataclass(frozen=True)
class JobList:
    """A page of jobs by name. `more` says how to get the next page; null on the last one."""

    jobs: list[JobLine]
    total: int
    more: str | None


@dataclass(frozen=True)
class JobDetail:
    """A job. With `takes_arguments` lakeflow deployed it, and each run has its own arguments."""

    id: str
    name: str
    link: str
    created_by_lakeflow: bool
    takes_arguments: bool
    compute: str
    wheels: list[str]
    schedule: str | None
    run_as: str | None
    tags: dict[str, str]
    max_concurrent_runs: int
    next: str


@dataclass(frozen=True)
class ClusterLine:
    """An all-purpose cluster. With `created_by_lakeflow` this server may change it."""

    id: str
    name: str
    state: str
    runtime: str
    node_type: str
    max_workers: int | None
    created_by_lakeflow: bool


@dataclass(frozen=True)
class ClusterList:
    """A page of clusters by name. `more` says how to get the next page; null on the last one."""

    clusters: list[ClusterLine]
    total: int
    more: str | None


@dataclass(frozen=True)
class RunLine:
    """A run in a list. `outcome` is null until it finishes, `seconds` until it starts."""

    id: str
    job_id: str
    state: str
    outcome: Outcome | None
    arguments: list[str] | None
    started: str | None
    seconds: float | None
    link: str


@dataclass(frozen=True)
class RunList:
    """A page of a job's runs, newest first. `more` says how to get older ones; null on the last."""

    runs: list[RunLine]
    more: str | None


@dataclass(frozen=True)
class TaskLine:
    """The latest attempt of a task. `message` is text from Databricks, fenced as data."""

    task: str
    state: str
    outcome: Outcome | None
    attempt: int
    message: str


@dataclass(frozen=True)
class RunDetail:
    """A run with its tasks. `message` is from Databricks, fenced as data; `meaning` explains it."""

    run: RunLine
    name: str
    environment: list[str]
    tasks: list[TaskLine]
    message: str | None
    meaning: str | None
    next: str


@dataclass(frozen=True)
class Waited:
    """Runs after a wait. `all_finished` is false if the time ran out first."""

    all_finished: bool
    runs: list[RunLine]
    next: str


@dataclass(frozen=True)
class TaskLog:
    """Output of an attempt of a task, fenced as data.

    `lines` is the number of lines shown, before the last `skipped` ones.
    """

    task: str
    attempt: int
    outcome: Outcome | None
    exit_code: int | None
    lines: int
    skipped: int
    text: str
    more: str | None


@dataclass(frozen=True)
class Logs:
    """The output of a run, task by task."""

    run: RunLine
    tasks: list[TaskLog]
    next: str


@dataclass(frozen=True)
class TaskFailure:
    """Why a task failed. `error` and `last_lines` are fenced as data; `remedy` is from lakeflow."""

    task: str
    attempt: int
    exit_code: int | None
    error: str | None
    last_lines: str
    remedy: str


@dataclass(frozen=True)
class Failure:
    """Why a run failed. `code` is Databricks' termination code, and `meaning` explains it."""

    run: RunLine
    failed: bool
    code: str
    message: str | None
    meaning: str | None
    tasks: list[TaskFailure]
    next: str


@dataclass(frozen=True)
class OutputLine:
    """An output file of a run; `size` in bytes, null if the workspace does not tell."""

    task: str
    name: str
    size: int | None


@dataclass(frozen=True)
class Outputs:
    """Output files of a run, or a part of one: `text` is fenced as data, `offset` counts bytes."""

    run_id: str
    files: list[OutputLine]
    total: int
    name: str | None
    offset: int
    text: str | None
    more: str | None


@dataclass(frozen=True)
class Plan:
    """What a call would do. The same call with plan_token=`token` does exactly that or fails.

    `changes` holds changed fields of the job's settings, one line each.
    """

    token: str
    steps: list[str]
    changes: list[str]
    next: str


@dataclass(frozen=True)
class StartedRun:
    """A started run; `index` is the position of its arguments in the call."""

    index: int
    id: str
    arguments: list[str]
    link: str


@dataclass(frozen=True)
class Triggered:
    """The runs of a request. With `repeated` an earlier call with this request_id started them.

    A dry run has a `plan` and no runs.
    """

    runs: list[StartedRun]
    repeated: bool
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class Cancelled:
    """Runs being cancelled, and runs that had finished before. A dry run has only a `plan`."""

    cancelling: list[str]
    already_finished: list[str]
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class Repaired:
    """A run whose failed tasks are retried under its own id. A dry run has a `plan`."""

    run_id: str
    repeated: bool
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class DeployedWheel:
    """A wheel of a job, with the version it is installed under."""

    distribution: str
    version: str
    path: str
    uploaded_bytes: int


@dataclass(frozen=True)
class DeployedJob:
    """A job after a deploy."""

    id: str
    name: str
    link: str
    cluster_id: str | None
    wheels: list[DeployedWheel]


@dataclass(frozen=True)
class Deployed:
    """The jobs of a deploy, which starts no runs. A dry run has a `plan` and no jobs."""

    jobs: list[DeployedJob]
    plan: Plan | None
    next: str
