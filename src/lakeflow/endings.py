"""How runs end, in Databricks' short words, and what these mean for people."""

from __future__ import annotations


def outcome_of(code: str) -> str:
    """The outcome that a termination code, or an older result state, stands for."""
    return _OUTCOMES.get(code, "failed")


def meaning_of(code: str) -> str | None:
    """What a termination code means and what to do about it; None where it says all there is."""
    return _MEANING.get(code)


_OUTCOMES = {
    "SUCCESS": "succeeded",
    "SUCCESS_WITH_FAILURES": "succeeded",
    "CANCELED": "cancelled",
    "USER_CANCELED": "cancelled",
    "SKIPPED": "skipped",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "skipped",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "skipped",
}

# The codes are those of the Jobs API reference, TerminationCode.
_MEANING = {
    "RUN_EXECUTION_ERROR": "the code itself failed: what it printed says why",
    "CLUSTER_ERROR": "the cluster could not be used: it was ended, or did not start; its page in "
    "the workspace says why",
    "DRIVER_ERROR": "the driver's process died, often because it had no memory left: use a larger "
    "node type, or start fewer runs at once (--runs-per-driver)",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed on the cluster: the message "
    "above names it",
    "CLOUD_FAILURE": "the cloud provider failed; try again later",
    "STORAGE_ACCESS_ERROR": "storage that the run needs could not be read or written",
    "RESOURCE_NOT_FOUND": "something that the job names is gone: deploy it again",
    "UNAUTHORIZED_ERROR": "the identity that the job runs as may not use what it needs",
    "INVALID_CLUSTER_REQUEST": "the cluster that the job describes cannot be made as described",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "too many runs are active in the whole workspace",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "as many runs of the job were active as it allows, and it does "
    "not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "too many runs of the job were waiting",
    "USER_CANCELED": "somebody cancelled it",
    "CANCELED": "the platform ended it, such as when it had lasted longer than it may",
    "INTERNAL_ERROR": "the platform failed, not your code; start it again",
}
