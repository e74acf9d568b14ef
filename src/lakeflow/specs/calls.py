"""The calls of a job's runs: arguments and environment, encoded as job parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeflow.errors import UsageError
from lakeflow_task.protocol import encode_call


def encode_calls(
    calls: Sequence[Sequence[str]], env: Mapping[str, str], scope: str | None = None
) -> tuple[str, ...]:
    """Return the job parameter of each call. Raises UsageError if one cannot be sent."""
    encoded = []
    for ordinal, argv in enumerate(calls, 1):
        try:
            encoded.append(encode_call(argv, env, scope))
        except ValueError as error:
            raise UsageError(f"run {ordinal} of {len(calls)}: {error}") from None
    return tuple(encoded)
