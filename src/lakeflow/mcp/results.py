"""What tools answer. Ids are strings: JavaScript rounds integers above 2**53. Times are UTC."""

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
    """A page of jobs by name. `more` says how to get the rest, and is null where there is none."""

    jobs: list[JobLine]
    total: int
    more: str | None


@dataclass(frozen=True)
class JobDetail:
    """A job. `takes_arguments` says that lakeflow deployed it and each run has its own argv."""

    id: str
    name: str
    link: str
    made_by_lakeflow: bool
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
    """An all-purpose cluster. `made_by_lakeflow` says whether this server may change it."""

    id: str
    name: str
    state: str
    runtime: str
    node_type: str
    max_workers: int | None
    made_by_lakeflow: bool


@dataclass(frozen=True)
class ClusterList:
    """A page of clusters. `more` says how to get the rest, and is null where there is none."""

    clusters: list[ClusterLine]
    total: int
    more: str | None


@dataclass(frozen=True)
class RunLine:
    """A run in a list. `outcome` is null until it has ended, `seconds` until it has started."""

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
    """A page of a job's runs, the newest first."""

    runs: list[RunLine]
    more: str | None


@dataclass(frozen=True)
class TaskLine:
    """The last attempt of a task of a run. `message` is Databricks' own, fenced."""

    task: str
    state: str
    outcome: Outcome | None
    attempt: int
    message: str


@dataclass(frozen=True)
class RunDetail:
    """A run with its tasks. `message` is Databricks' own, fenced; `meaning` what it stands for."""

    run: RunLine
    name: str
    environment: list[str]
    tasks: list[TaskLine]
    message: str | None
    meaning: str | None
    next: str


@dataclass(frozen=True)
class Waited:
    """Where runs are when the wait is over. `all_ended` is false where time ran out first."""

    all_ended: bool
    runs: list[RunLine]
    next: str


@dataclass(frozen=True)
class TaskLog:
    """The lines that an attempt of a task has printed, fenced as data.

    `lines` is how many are shown, after `skipped` at the end were left out.
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
    """What a run has printed."""

    run: RunLine
    tasks: list[TaskLog]
    next: str


@dataclass(frozen=True)
class TaskFailure:
    """Why a task failed: error and last lines are fenced as data, the remedy is lakeflow's."""

    task: str
    attempt: int
    exit_code: int | None
    error: str | None
    last_lines: str
    remedy: str


@dataclass(frozen=True)
class Failure:
    """Why a run failed. `code` is Databricks' termination code, `meaning` what it stands for."""

    run: RunLine
    failed: bool
    code: str
    message: str | None
    meaning: str | None
    tasks: list[TaskFailure]
    next: str


@dataclass(frozen=True)
class OutputLine:
    """A file that a run left; `size` in bytes."""

    task: str
    name: str
    size: int


@dataclass(frozen=True)
class Outputs:
    """The files that a run left, or a part of one of them: `text` is fenced, `offset` in bytes."""

    run_id: str
    files: list[OutputLine]
    total: int
    name: str | None
    offset: int
    text: str | None
    more: str | None


@dataclass(frozen=True)
class Plan:
    """What a call would do. The same call with `token` does just that, or says what has changed.

    `changes` are lines of a diff of the job's settings, where there are any.
    """

    token: str
    steps: list[str]
    changes: list[str]
    next: str


@dataclass(frozen=True)
class StartedRun:
    """A run that was started, for the arguments with this index."""

    index: int
    id: str
    arguments: list[str]
    link: str


@dataclass(frozen=True)
class Triggered:
    """The runs of one request. `repeated` says that an earlier call had started them already.

    With dry_run there is a `plan` and no runs.
    """

    runs: list[StartedRun]
    repeated: bool
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class Cancelled:
    """Runs that were told to end, and those that had ended before. With dry_run a `plan`."""

    told_to_end: list[str]
    had_ended: list[str]
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class Repaired:
    """A run of which the failed tasks run again, under its own id. With dry_run a `plan`."""

    run_id: str
    repeated: bool
    plan: Plan | None
    next: str


@dataclass(frozen=True)
class DeployedWheel:
    """A wheel of a job, with the version that it travels under."""

    distribution: str
    version: str
    path: str
    uploaded_bytes: int


@dataclass(frozen=True)
class DeployedJob:
    """A job as it is now."""

    id: str
    name: str
    link: str
    cluster_id: str | None
    wheels: list[DeployedWheel]


@dataclass(frozen=True)
class Deployed:
    """The jobs of a deploy; nothing was run. With dry_run there is a `plan` and no jobs."""

    jobs: list[DeployedJob]
    plan: Plan | None
    next: str
