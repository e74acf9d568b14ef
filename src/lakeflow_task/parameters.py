"""The task's parameters, fixed when the job was deployed (docs, "Job")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lakeflow_task.errors import TaskRefused

PROTOCOL = "--lakeflow-protocol="
VERSION = "1"
_ONCE = ("distribution", "entry-point", "root", "job-run", "task-run", "attempt", "call")


class Parameters(NamedTuple):
    """The entry point to run and the run's ids; `requires` has (distribution, version) pairs."""

    distribution: str
    entry_point: str
    root: str
    requires: tuple[tuple[str, str], ...]
    job_run: str
    task_run: str
    attempt: str
    call: str


def is_ours(parameters: Sequence[str]) -> bool:
    """Return whether the parameters are those of the deploy, not replaced by another client."""
    return bool(parameters) and parameters[0].startswith(PROTOCOL)


def read_parameters(parameters: Sequence[str]) -> Parameters:
    """Parse the parameters of a deploy. Raises TaskRefused for another version or form."""
    version = parameters[0][len(PROTOCOL) :]
    if version != VERSION:
        raise TaskRefused(
            f"the job was deployed for version {version} of the task protocol, but the installed "
            f"lakeflow-task supports version {VERSION}\nhint: deploy the job again"
        )
    once: dict[str, str] = {}
    requires: list[tuple[str, str]] = []
    for parameter in parameters[1:]:
        option, equals, value = parameter.partition("=")
        name = option[2:]
        distribution, pinned, deployed = value.partition("==")
        if name == "requires" and pinned:
            requires.append((distribution, deployed))
        elif option.startswith("--") and equals and name in _ONCE and name not in once:
            once[name] = value
        else:
            raise TaskRefused(f"unknown task parameter {parameter!r}\nhint: deploy the job again")
    missing = [name for name in _ONCE if name not in once]
    if missing:
        raise TaskRefused(
            f"the task parameter --{missing[0]} is missing\nhint: deploy the job again"
        )
    for name in ("job-run", "task-run"):
        if not once[name].isdecimal():
            raise TaskRefused(
                f"--{name} is {once[name]!r} and not a run's id: dynamic value references were "
                "not replaced\nhint: start the job through Databricks or the local workspace"
            )
    return Parameters(
        distribution=once["distribution"],
        entry_point=once["entry-point"],
        root=once["root"],
        requires=tuple(requires),
        job_run=once["job-run"],
        task_run=once["task-run"],
        attempt=once["attempt"],
        call=once["call"],
    )
