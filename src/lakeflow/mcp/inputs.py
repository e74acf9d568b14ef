"""The types of tools' arguments: what a model is told of each, and how it is read."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

_LARGEST = 2**63 - 1
_DIGITS = re.compile("[0-9]{1,19}")


def _number(value: object) -> int:
    """An id, given as a number or as digits. JSON numbers above 2**53 may have been rounded."""
    number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _LARGEST:
        raise ValueError("an id is a whole number above 0, as a number or as a string of digits")
    return number


_ID = {"anyOf": [{"type": "string", "pattern": "^[0-9]{1,19}$"}, {"type": "integer", "minimum": 1}]}


Id = Annotated[int, BeforeValidator(_number), WithJsonSchema(_ID)]
JobId = Annotated[Id, Field(description="The job's id, as list_jobs or a deploy gives it.")]
RunId = Annotated[Id, Field(description="The run's id, as trigger_runs or list_runs gives it.")]
RunIds = Annotated[list[Id], Field(description="Ids of runs.", min_length=1, max_length=100)]

Limit = Annotated[int, Field(description="How many to list.", ge=1, le=100)]
Offset = Annotated[int, Field(description="How many to leave out first.", ge=0, le=10_000)]

RequestId = Annotated[
    str,
    Field(
        description="Any text that names this request: make up a new one for each thing that is "
        "asked of you, and send the same one when you send a call again because you did not hear "
        "of its end. What was started under it is never started twice.",
        min_length=1,
        max_length=200,
    ),
]
DryRun = Annotated[
    bool, Field(description="Do nothing, and answer with a plan of what would be done.")
]
PlanToken = Annotated[
    str,
    Field(
        description="The token of a plan that the same call with dry_run gave: exactly that is "
        "done, or it is said what has changed since.",
        max_length=100,
    ),
]
Confirm = Annotated[
    bool,
    Field(
        description="True once the person you work for has said yes to this. Not needed where the "
        "client asks them itself; their no counts more."
    ),
]

Wheels = Annotated[
    list[str],
    Field(
        description="Wheel files: paths below a root of this server, or paths of the workspace's "
        "artifact store. A package's local packages travel as wheels beside it.",
        min_length=1,
        max_length=50,
    ),
]
JobName = Annotated[
    str, Field(description="The job's name (default: the package's name).", max_length=1000)
]
ComputeKind = Annotated[
    Literal["as-is", "per-run", "serverless"],
    Field(
        description="Where runs compute: on a single-node cluster for each run, on serverless "
        "compute, or as the job has it; as-is gives a new job a cluster of its own."
    ),
]
MaxWorkers = Annotated[
    int,
    Field(
        description="The most workers that the job's cluster may grow to; they serve Spark. 0: as "
        "it is, 1 for a new one.",
        ge=0,
        le=1000,
    ),
]
ClusterId = Annotated[
    str, Field(description="Use this cluster instead of one of the job's own.", max_length=100)
]
