"""Termination codes of runs: outcomes, and explanations with remedies."""

from __future__ import annotations

import re


def outcome_of(code: str, result: str = "") -> str:
    """Return the outcome for a termination code and, if known, the older result state.

    A run that timed out has the same code as one cancelled by the platform; only the older result
    state tells them apart.
    """
    return "failed" if result == "TIMEDOUT" else _OUTCOMES.get(code, "failed")


def meaning_of(code: str, message: str = "") -> str | None:
    """Return what a termination code and its message mean, and what to do about it.

    A known message takes precedence, since it says more than the code. None for a success and for
    an unknown code.
    """
    for pattern, meaning in _MEANING_OF_MESSAGE.items():
        if re.search(pattern, message):
            return meaning
    return _MEANING_OF_CODE.get(code)


_OUTCOMES = {
    "SUCCESS": "succeeded",
    "SUCCESS_WITH_FAILURES": "succeeded",
    "CANCELED": "cancelled",
    "USER_CANCELED": "cancelled",
    "UPSTREAM_CANCELED": "cancelled",
    "SKIPPED": "skipped",
    "DISABLED": "skipped",
    "EXCLUDED": "skipped",
    "UPSTREAM_FAILED": "skipped",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "skipped",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "skipped",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "skipped",
}

# Patterns of messages seen on Databricks.
_MEANING_OF_MESSAGE = {
    r"Workload failed, see run output": "your code failed: its output says why",
    r"'Manage' permissions are required to install libraries": "installing libraries requires "
    "CAN_MANAGE on the cluster: have it granted (--permission of the person who deployed), or let "
    "the job have a separate cluster",
    r"[Ll]ibrary file does not exist": "the job's wheel was removed from the artifact store: "
    "deploy the job again",
    r"[Ll]ibrary installation": "a library could not be installed on the cluster: the message "
    "names it; often the package index has no release for this Python",
    r"existing cluster ID \S+ failed since the cluster does not exist": "the job's cluster was "
    "deleted: deploy the job again, which creates one",
    r"Cannot access cluster \S+ that was terminated or unpinned": "the job's cluster was removed "
    "after a month without use: deploy the job again, which creates one",
    r"limit of \d+ maximum concurrent runs": "the job's maximum of concurrent runs was reached, "
    "and it does not queue: deploy it with lakeflow, which allows 1000 and queues",
    r"[Tt]oo many execution contexts|maximum number of (execution )?contexts": "one driver takes "
    "about 145 runs: start fewer at once (--runs-per-driver), or use --compute per-run",
    r"timed out|[Tt]imeout|maximum (run )?duration": "it exceeded the job's --timeout",
}

# The codes are those of the Jobs API reference, TerminationCode and RunResultState.
_MEANING_OF_CODE = {
    "RUN_EXECUTION_ERROR": "your code failed: its output says why",
    "FAILED": "your code failed: its output says why",
    "CLUSTER_ERROR": "the cluster was terminated or did not start: its page in the web UI says "
    "why",
    "CLUSTER_TERMINATED_BY_USER": "a user terminated or restarted the cluster during the run",
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": "too many clusters were requested at once: start fewer runs "
    "at a time, or use --compute cluster or a pool",
    "DRIVER_ERROR": "the driver process exited, often for lack of memory: use a larger node "
    "type, or start fewer runs at once (--runs-per-driver)",
    "MAX_SPARK_CONTEXTS_EXCEEDED": "one driver takes about 145 runs: start fewer at once "
    "(--runs-per-driver), or use --compute per-run",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed on the cluster: the message "
    "names it",
    "CLOUD_FAILURE": "the cloud provider failed; try again later",
    "STORAGE_ACCESS_ERROR": "storage that the run needs could not be read or written",
    "REPOSITORY_CHECKOUT_FAILED": "the job's code could not be fetched from its git repository",
    "RESOURCE_NOT_FOUND": "something that the job refers to was deleted: deploy it again",
    "UNAUTHORIZED_ERROR": "the job's run-as principal lacks a permission",
    "INVALID_CLUSTER_REQUEST": "the job's cluster settings are not valid",
    "INVALID_RUN_CONFIGURATION": "the job's settings are not valid: deploy it again",
    "FEATURE_DISABLED": "the workspace does not have a feature that the job needs, such as "
    "serverless compute: ask an administrator",
    "BUDGET_POLICY_LIMIT_EXCEEDED": "the run's budget is used up",
    "BREAKING_CHANGE": "a change in Spark broke the run; Databricks retries it automatically",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "too many runs are active in the whole workspace",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "the job's maximum of concurrent runs was reached, and it does "
    "not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "the job's maximum of concurrent runs was reached, and it "
    "does not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "the job's queue was full",
    "USER_CANCELED": "a user cancelled it",
    "CANCELED": "the platform cancelled it, for example after a timeout",
    "TIMEDOUT": "it exceeded the job's --timeout",
    "SKIPPED": "it was not started: a task it depends on did not have the required outcome",
    "UPSTREAM_FAILED": "it was not started: a task it depends on failed",
    "UPSTREAM_CANCELED": "it was not started: a task it depends on was cancelled",
    "EXCLUDED": "it was not started: its run-if condition was not met",
    "DISABLED": "it was not started: it is disabled",
    "INTERNAL_ERROR": "the platform failed, not your code; start it again",
}
