"""What run-now is sent for each call of a job, its secrets stored where the runs read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from lakeflow.errors import UsageError
from lakeflow.operations.session import Session
from lakeflow.resources import clusters, run_now, secrets
from lakeflow.resources.jobs import Job
from lakeflow.resources.run_now import RunRequest
from lakeflow.specs.calls import encode_calls
from lakeflow.state.invocations import Invocation
from lakeflow_task.protocol import CALL_LIMIT

_log = logging.getLogger(__name__)


def check_calls(
    calls: Sequence[Sequence[str]], env: Mapping[str, str], secret_values: Mapping[str, str]
) -> None:
    """Raise UsageError for calls that cannot be sent to a job that lakeflow deploys."""
    both = sorted(env.keys() & secret_values.keys())
    if both:
        raise UsageError(f"{', '.join(both)}: pass it with --env or as a secret, not both")
    encode_calls(calls, env, secrets.any_scope() if secret_values else None)


def check_job_calls(
    job: Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    secret_values: Mapping[str, str],
) -> None:
    """Raise UsageError for calls that cannot be sent to this job, whoever deployed it."""
    if job.takes_calls:
        check_calls(calls, env, secret_values)
        return
    for argv in calls:
        _foreign_parameters(job, argv, env, secret_values)


def requests_for_job(
    session: Session,
    invocation: Invocation,
    job: Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    secret_values: Mapping[str, str],
) -> list[RunRequest]:
    """Return the run requests of an invocation, and store its secrets.

    Raises Refused if the job's cluster was deleted, unless runs were started before.
    """
    if not invocation.started:
        clusters.check_exists(session.workspace, job)
    if job.takes_calls:
        return requests_for_deployed_job(session, invocation, job, calls, env, secret_values)
    sent = [_foreign_parameters(job, argv, env, secret_values) for argv in calls]
    return run_now.numbered(job.id, calls, sent)


def requests_for_deployed_job(
    session: Session,
    invocation: Invocation,
    job: Job,
    calls: Sequence[Sequence[str]],
    env: Mapping[str, str],
    secret_values: Mapping[str, str],
) -> list[RunRequest]:
    """Do the same for a job just deployed by lakeflow, without looking at its settings."""
    scope = _store_secrets(session, invocation, secret_values, job)
    encoded = encode_calls(calls, env, scope)
    return run_now.numbered(job.id, calls, map(run_now.call_parameters, encoded))


def _store_secrets(
    session: Session, invocation: Invocation, values: Mapping[str, str], job: Job
) -> str | None:
    """Store an invocation's secrets; return their scope's name, None without secrets."""
    if not values:
        return None
    scope = secrets.scope_of(invocation, job.id)
    secrets.store(session.workspace, scope, values, job)
    _log.info(f"secrets {', '.join(values)}: in the scope {scope}")
    for old in secrets.expired(session.workspace):
        if secrets.remove(session.workspace, old):
            _log.info(f"scope {old.name}: removed, its runs finished long ago")
    return scope


def _foreign_parameters(
    job: Job, argv: Sequence[str], env: Mapping[str, str], secret_values: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return run-now's parameters for a job of another tool; its defaults without `argv`."""
    name = f"job {job.id} ({job.name}) was not deployed by lakeflow"
    if env or secret_values:
        raise UsageError(f"{name}: {'--env' if env else 'a secret'} cannot reach it")
    if not argv:
        return {}
    size = len(json.dumps(list(argv)))
    if size > CALL_LIMIT or not all(word.isascii() for word in argv):
        raise UsageError(
            f"{name}: its arguments must be ASCII and at most {CALL_LIMIT} bytes as JSON; these "
            f"take {size}"
        )
    tasks = job.settings.get("tasks", [])
    wheels = [task["python_wheel_task"] for task in tasks if "python_wheel_task" in task]
    if any(wheel.get("named_parameters") for wheel in wheels):
        raise UsageError(
            f"{name}: its task takes named parameters, which cannot be combined with arguments. "
            "Trigger it without arguments, or change the job to take a list."
        )
    if not wheels and not any("spark_python_task" in task for task in tasks):
        raise UsageError(
            f"{name}: none of its tasks takes arguments. Trigger it without arguments."
        )
    return {"python_params": list(argv)}
