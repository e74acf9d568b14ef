"""How runs end, in Databricks' short words, and what these mean for people."""

from __future__ import annotations

import re


def outcome_of(code: str, result: str = "") -> str:
    """The outcome that a termination code, with an older result state if there is one, stands for.

    A run that has lasted too long has the code of one that was cancelled by the platform, and only
    the older state tells them apart.
    """
    return "failed" if result == "TIMEDOUT" else _OUTCOMES.get(code, "failed")


def meaning_of(code: str, message: str = "") -> str | None:
    """What the code and the short message of an end mean, and what to do about it.

    The message decides where it is one of those known, since it says more than the code. None
    where there is nothing to explain: of a success, or of words that are not known here.
    """
    for pattern, meaning in _SAID.items():
        if re.search(pattern, message):
            return meaning
    return _MEANING.get(code)


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

# Messages as they were seen on Databricks; for the codes alone see _MEANING.
_SAID = {
    r"Workload failed, see run output": "the code itself failed: what it printed says why",
    r"'Manage' permissions are required to install libraries": "only who manages a cluster may "
    "install libraries on it: ask for CAN_MANAGE on it (--permission of who deployed), or let the "
    "job have a cluster of its own",
    r"[Ll]ibrary file does not exist": "the job's wheel was removed from the artifact store: "
    "deploy the job again",
    r"[Ll]ibrary installation": "a library could not be installed on the cluster: the message "
    "names it; often it is a package that the index does not have for this Python",
    r"existing cluster ID \S+ failed since the cluster does not exist": "the job's cluster was "
    "deleted: deploy the job again, which makes one",
    r"Cannot access cluster \S+ that was terminated or unpinned": "the job's cluster was forgotten "
    "after it had not been used for a month: deploy the job again, which makes one",
    r"limit of \d+ maximum concurrent runs": "as many runs of the job were active as it allows, "
    "and it does not queue: deploy it with lakeflow, which allows 1000 and queues",
    r"[Tt]oo many execution contexts|maximum number of (execution )?contexts": "some 145 runs are "
    "the most that one driver takes: start fewer at once (--runs-per-driver), or use --compute "
    "per-run",
    r"timed out|[Tt]imeout|maximum (run )?duration": "it took longer than the job's --timeout",
}

# The codes are those of the Jobs API reference, TerminationCode and RunResultState.
_MEANING = {
    "RUN_EXECUTION_ERROR": "the code itself failed: what it printed says why",
    "FAILED": "the code itself failed: what it printed says why",
    "CLUSTER_ERROR": "the cluster could not be used: it was ended, or did not start; its page in "
    "the workspace says why",
    "CLUSTER_TERMINATED_BY_USER": "somebody ended or restarted the cluster while the run was on it",
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": "too many clusters were asked for at once: start fewer runs "
    "at a time, or use --compute cluster or a pool",
    "DRIVER_ERROR": "the driver's process died, often because it had no memory left: use a larger "
    "node type, or start fewer runs at once (--runs-per-driver)",
    "MAX_SPARK_CONTEXTS_EXCEEDED": "some 145 runs are the most that one driver takes: start fewer "
    "at once (--runs-per-driver), or use --compute per-run",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed on the cluster: the message "
    "names it",
    "CLOUD_FAILURE": "the cloud provider failed; try again later",
    "STORAGE_ACCESS_ERROR": "storage that the run needs could not be read or written",
    "REPOSITORY_CHECKOUT_FAILED": "the job's code could not be fetched from its git repository",
    "RESOURCE_NOT_FOUND": "something that the job names is gone: deploy it again",
    "UNAUTHORIZED_ERROR": "the identity that the job runs as may not use what it needs",
    "INVALID_CLUSTER_REQUEST": "the cluster that the job describes cannot be made as described",
    "INVALID_RUN_CONFIGURATION": "the job is described in a way that cannot run: deploy it again",
    "FEATURE_DISABLED": "the workspace does not have a feature that the job needs, such as "
    "serverless compute: ask an administrator",
    "BUDGET_POLICY_LIMIT_EXCEEDED": "the budget that the run counts to is used up",
    "BREAKING_CHANGE": "Spark has changed in a way that breaks the run; Databricks tries it again "
    "by itself",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "too many runs are active in the whole workspace",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "as many runs of the job were active as it allows, and it does "
    "not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "as many runs of the job were active as it allows, and it "
    "does not queue: deploy it with lakeflow, which allows 1000 and queues",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "too many runs of the job were waiting",
    "USER_CANCELED": "somebody cancelled it",
    "CANCELED": "the platform ended it, such as when it had lasted longer than it may",
    "TIMEDOUT": "it took longer than the job's --timeout",
    "SKIPPED": "it was never started: a task that it waits for did not end as it has to",
    "UPSTREAM_FAILED": "it was never started: a task that it waits for has failed",
    "UPSTREAM_CANCELED": "it was never started: a task that it waits for was cancelled",
    "EXCLUDED": "it was never started: the condition under which it runs was not met",
    "DISABLED": "it was never started: it is switched off",
    "INTERNAL_ERROR": "the platform failed, not your code; start it again",
}
