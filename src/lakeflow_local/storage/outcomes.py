"""How runs and tasks can finish: states, termination codes and messages.

The texts are as recorded from real workspaces, with and without final periods.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from lakeflow_local.storage.storable_text import storable_message


@dataclass(frozen=True)
class Outcome:
    """How a run or task finished.

    `phase` and `result` are `life_cycle_state` and `result_state` of API 2.1; `code` and
    `code_type` are the `termination_details` of API 2.2.
    """

    phase: str
    result: str
    code: str
    code_type: str
    message: str = ""

    @property
    def columns(self) -> tuple[str, str, str, str, str]:
        """Return phase, result, code, code type and message, as tables have them."""
        message = storable_message(self.message)
        return self.phase, self.result, self.code, self.code_type, message


SUCCEEDED = Outcome("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS")
WORKLOAD_FAILED = Outcome(
    "TERMINATED",
    "FAILED",
    "RUN_EXECUTION_ERROR",
    "CLIENT_ERROR",
    "Workload failed, see run output for details",
)
CANCELED = Outcome("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR", "Run cancelled.")
TIMED_OUT = Outcome("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR", "Run timed out.")
SUCCEEDED_WITH_FAILURES = Outcome(
    "TERMINATED", "SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", "SUCCESS"
)
EXCLUDED = Outcome("SKIPPED", "EXCLUDED", "SKIPPED", "SUCCESS", "Run condition not met.")
UPSTREAM_FAILED = Outcome(
    "SKIPPED", "UPSTREAM_FAILED", "SKIPPED", "CLIENT_ERROR", "An upstream task failed."
)
UPSTREAM_CANCELED = Outcome(
    "SKIPPED", "UPSTREAM_CANCELED", "SKIPPED", "CLIENT_ERROR", "An upstream task was canceled."
)
INTERRUPTED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "INTERNAL_ERROR",
    "INTERNAL_ERROR",
    "The local workspace was stopped while this run was in progress.",
)
CLUSTER_TERMINATED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "CLUSTER_ERROR",
    "CLIENT_ERROR",
    "The cluster was terminated while this run was in progress.",
)
PREEMPTED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "CLOUD_FAILURE",
    "CLOUD_FAILURE",
    "The machine of this run was reclaimed while the run was in progress.",
)
CONTEXTS_EXCEEDED = Outcome(
    "INTERNAL_ERROR",
    "FAILED",
    "MAX_SPARK_CONTEXTS_EXCEEDED",
    "CLIENT_ERROR",
    "Too many execution contexts are open right now. (Limit set to 150)",
)


def cluster_missing(cluster_id: str) -> Outcome:
    message = (
        f"Run executed on existing cluster ID {cluster_id} failed since the cluster does not exist."
    )
    return Outcome("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLIENT_ERROR", message)


def cluster_not_started(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLIENT_ERROR", message)


def library_failed(message: str) -> Outcome:
    return Outcome(
        "INTERNAL_ERROR", "FAILED", "LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", message
    )


def package_missing(package: str) -> Outcome:
    message = (
        f"Run failed with error message\n Python wheel with name {package} could not be found. "
        "Please check the driver logs for more details"
    )
    return Outcome("INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)


def workspace_failed(error: BaseException) -> Outcome:
    message = f"The local workspace could not run this task: {error}"
    return Outcome("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", message)


def not_stored(error: BaseException) -> Outcome:
    message = (
        "The local workspace could not store how this task finished:"
        f" {type(error).__name__}: {error}"
    )
    return Outcome("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", message)


def iterations_failed(failed: int, count: int) -> Outcome:
    message = f"{failed} of {count} iterations failed"
    return Outcome("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)


def not_allowed(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "UNAUTHORIZED_ERROR", "CLIENT_ERROR", message)


def invalid_configuration(message: str) -> Outcome:
    return Outcome("INTERNAL_ERROR", "FAILED", "INVALID_RUN_CONFIGURATION", "CLIENT_ERROR", message)


def skipped(limit: int) -> Outcome:
    message = (
        f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
    )
    return Outcome(
        "SKIPPED",
        "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "CLIENT_ERROR",
        message,
    )


def outcome_of(row: sqlite3.Row) -> Outcome | None:
    """Read the outcome from a row of `runs`, `task_runs` or `repairs`; None while active."""
    if row["ended"] is None:
        return None
    return Outcome(row["phase"], row["result"], row["code"], row["code_type"], row["message"])
