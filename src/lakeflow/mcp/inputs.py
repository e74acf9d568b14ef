"""Types of tool parameters: their descriptions and validation."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

_LARGEST = 2**63 - 1
_DIGITS = re.compile("[0-9]{1,19}")


def _number(value: object) -> int:
    """Parse an id given as a number or a string; JSON numbers above 2**53 may be rounded."""
    number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _LARGEST:
        raise ValueError("an id is a positive integer, as a number or a string of digits")
    return number


_ID = {"anyOf": [{"type": "string", "pattern": "^[0-9]{1,19}$"}, {"type": "integer", "minimum": 1}]}


Id = Annotated[int, BeforeValidator(_number), WithJsonSchema(_ID)]
JobId = Annotated[Id, Field(description="The job's id, from list_jobs or a deploy.")]
RunId = Annotated[Id, Field(description="The run's id, from trigger_runs or list_runs.")]
RunIds = Annotated[list[Id], Field(description="Run ids.", min_length=1, max_length=100)]

Limit = Annotated[int, Field(description="Page size.", ge=1, le=100)]
Offset = Annotated[int, Field(description="Number of items to skip.", ge=0, le=10_000)]

RequestId = Annotated[
    str,
    Field(
        description="A unique name for this request. Choose a new one for each new request, and "
        "reuse it when you retry a call that did not return: nothing is started twice.",
        min_length=1,
        max_length=200,
    ),
]
DryRun = Annotated[bool, Field(description="Change nothing; return a plan.")]
PlanToken = Annotated[
    str,
    Field(
        description="The token of a plan that the same call returned with dry_run. The call does "
        "exactly what the plan says, or fails and says what has changed.",
        max_length=100,
    ),
]
Confirm = Annotated[
    bool,
    Field(
        description="Set this only after the user has confirmed this call. Not needed if the "
        "client asks the user itself; the user's answer overrides it."
    ),
]

Wheels = Annotated[
    list[str],
    Field(
        description="Wheel files: local paths below a --root of this server, or paths in the "
        "workspace's artifact store. Include the wheels of local packages that it needs.",
        min_length=1,
        max_length=50,
    ),
]
JobName = Annotated[
    str, Field(description="The job's name. Default: the package's name.", max_length=1000)
]
ComputeKind = Annotated[
    Literal["as-is", "per-run", "serverless"],
    Field(
        description="per-run: a single-node cluster for each run. serverless: serverless compute. "
        "as-is: keep the job's compute; a new job gets its own cluster."
    ),
]
MaxWorkers = Annotated[
    int,
    Field(
        description="Upper limit for autoscaling the job's cluster. Workers only serve Spark. "
        "0 keeps the current limit; a new cluster gets 1.",
        ge=0,
        le=1000,
    ),
]
ClusterId = Annotated[
    str, Field(description="An existing cluster to use instead of the job's own.", max_length=100)
]
