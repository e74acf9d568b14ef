"""What can be known to fail is refused here, before anything is sent."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from packaging.tags import compatible_tags, cpython_tags

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.wheel import Wheel
from lakeflow_task.protocol import encode_call

ENTRY_POINT = "lakeflow-task"

Python = tuple[int, int]
Glibc = tuple[int, int]

PYTHONS: tuple[Python, ...] = ((3, 10), (3, 11), (3, 12))

# Databricks Runtime release notes, "System environment"; workspace files as libraries need 13.3.
_RUNTIME_PYTHON: Mapping[int, Python] = {13: (3, 10), 14: (3, 10), 15: (3, 11)}
_NEWER_RUNTIME_PYTHON: Python = (3, 12)
OLDEST_RUNTIME = 13

# The same notes: Ubuntu 22.04 up to 15.4 and 24.04 from 16.0 on, which have these.
_RUNTIME_GLIBC: Mapping[int, Glibc] = {13: (2, 35), 14: (2, 35), 15: (2, 35)}
_NEWER_RUNTIME_GLIBC: Glibc = (2, 39)

# AWS Graviton (m6gd.large), Azure (Standard_D4pds_v6), Google (c4a-standard-4): the clouds' names.
_ARM = re.compile(r"[a-z]+\d+g[a-z]*\.|Standard_[A-Z]+\d+(-\d+)?[a-z]*p|(t2a|c4a|n4a)-")

_OLD_MANYLINUX: Mapping[str, Glibc] = {  # PEPs 513, 571, 599
    "manylinux1": (2, 5),
    "manylinux2010": (2, 12),
    "manylinux2014": (2, 17),
}

# Databricks release notes, "Serverless environment versions".
_SERVERLESS: Mapping[str, Python] = {"1": (3, 10), "2": (3, 11), "3": (3, 12)}


def has_entry_point(wheel: Wheel) -> bool:
    """Return whether a wheel has the entry point `lakeflow-task`, so that it can be a job."""
    return any(ENTRY_POINT in names for names in wheel.entry_points.values())


def check_entry_point(wheel: Wheel) -> None:
    """Raises Refused, with the lines to add, where a wheel has no entry point `lakeflow-task`."""
    if has_entry_point(wheel):
        return
    module = str(wheel.name).replace("-", "_")
    raise Refused(
        f"{wheel.path.name} has no entry point {ENTRY_POINT!r}, so there is nothing to run. Add "
        f"to the pyproject.toml of {wheel.distribution}, with the function to call:\n\n"
        "    [project.scripts]\n"
        f'    {ENTRY_POINT} = "{module}.main:main"\n'
    )


def encode_calls(
    calls: Sequence[Sequence[str]], env: Mapping[str, str], scope: str | None = None
) -> tuple[str, ...]:
    """The job parameter of each call. Raises UsageError for one that cannot be sent."""
    encoded = []
    for ordinal, argv in enumerate(calls, 1):
        try:
            encoded.append(encode_call(argv, env, scope))
        except ValueError as error:
            raise UsageError(f"run {ordinal} of {len(calls)}: {error}") from None
    return tuple(encoded)


def pythons_of(wheels: Sequence[Wheel]) -> tuple[Python, ...]:
    """The Pythons that all the wheels run on, oldest first.

    Raises Refused where there is none, saying which wheel runs on what.
    """
    common = [p for p in PYTHONS if all(_runs_on(wheel, p) for wheel in wheels)]
    if not common:
        each = "\n".join(f"    {w.path.name}: {_listed(_all_of(w)) or 'none'}" for w in wheels)
        raise Refused(
            "there is no Python of a Databricks runtime "
            f"({_listed(PYTHONS)}) that all the wheels run on:\n{each}\n"
            "Build them all for one of these."
        )
    return tuple(common)


def runtime_python(runtime: str) -> Python | None:
    """The Python of a runtime such as `15.4.x-scala2.12`; None for what is no such name."""
    major = runtime.partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_RUNTIME:
        return None
    return _RUNTIME_PYTHON.get(int(major), _NEWER_RUNTIME_PYTHON)


def check_runtime(runtime: str, pythons: Sequence[Python], cluster: str) -> None:
    """Raises Refused where the wheels do not run on a cluster's runtime."""
    python = runtime_python(runtime)
    if python is None:
        raise Refused(
            f"{cluster} has the runtime {runtime}; lakeflow needs {OLDEST_RUNTIME}.3 LTS or newer"
        )
    if python not in pythons:
        raise Refused(
            f"{cluster} has the runtime {runtime} with Python {_listed([python])}, but the wheels "
            f"run on {_listed(pythons)}. Build them for Python {_listed([python])} or name "
            "another cluster."
        )


def python_of(runtime: str) -> Python:
    """The Python of a runtime, the newest where its name does not tell."""
    return runtime_python(runtime) or _NEWER_RUNTIME_PYTHON


def check_machine(wheels: Sequence[Wheel], runtime: str, node_type: str, cluster: str) -> None:
    """Raises Refused for a wheel that is built for other machines than a cluster's.

    These are Linux with the runtime's glibc, and ARM where the node type's name says so. In the
    local workspace, whose node types begin with `local.`, they are this machine.
    """
    if node_type.startswith("local."):
        system, machine, glibc = platform.system(), platform.machine(), _own_glibc()
    else:
        system, machine = "Linux", "aarch64" if _ARM.match(node_type) else "x86_64"
        major = runtime.partition(".")[0]
        glibc = _RUNTIME_GLIBC.get(int(major) if major.isdecimal() else 0, _NEWER_RUNTIME_GLIBC)
    if system == "Linux":
        where = f"{node_type}, {runtime}" if node_type else runtime
        _check_platforms(wheels, machine, glibc, f"{cluster} ({where}")


def check_serverless(wheels: Sequence[Wheel], version: str) -> None:
    """Raises Refused for a wheel that is built for other machines than serverless compute's."""
    glibc = _RUNTIME_GLIBC[15] if int(version) < 3 else _NEWER_RUNTIME_GLIBC
    _check_platforms(wheels, None, glibc, f"serverless compute (environment {version}")


def _check_platforms(
    wheels: Sequence[Wheel], machine: str | None, glibc: Glibc, where: str
) -> None:
    """Raises Refused; with no `machine` it may be x86_64 or ARM."""
    for wheel in wheels:
        reasons = [_obstacle(tag.platform, machine, glibc) for tag in wheel.tags]
        if all(reasons):
            why = "; ".join(sorted({str(reason) for reason in reasons}))
            raise Refused(
                f"{wheel.path.name} does not run on {where}: Linux, {machine or 'x86_64'}, glibc "
                f"{glibc[0]}.{glibc[1]}): {why}. Build it for that, in a manylinux environment "
                "say, or choose another --runtime or --node-type."
            )


def _obstacle(tag: str, machine: str | None, glibc: Glibc) -> str | None:
    """Why a platform tag does not fit a Linux machine (PEP 425, 600); None where it does."""
    if tag == "any":
        return None
    found = re.fullmatch(r"(linux|(many|musl)linux(?:1|\d{4}|_(\d+)_(\d+)))_(\w+)", tag)
    if found is None:
        return f"it is built for {tag}"
    family, _, major, minor, built_for = found.groups()
    if built_for not in ((machine,) if machine else ("x86_64", "aarch64")):
        return f"it is built for {built_for}"
    if family.startswith("musl"):
        return "it is built for musl, not glibc"
    needed = (int(major), int(minor)) if major else _OLD_MANYLINUX.get(family, (0, 0))
    if needed > glibc:
        return f"it needs glibc {needed[0]}.{needed[1]}"
    return None


def _own_glibc() -> Glibc:
    parts = platform.libc_ver()[1].split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 else _NEWER_RUNTIME_GLIBC


def choose_runtime(
    offered: Sequence[Mapping[str, str]], pythons: Sequence[Python], *, gpu: bool = False
) -> str:
    """The newest long-term support runtime whose Python fits, of what spark-versions offers.

    `offered` are its entries, each with `key` and `name`. With `gpu` it is one for machine learning
    that has the drivers. Raises Refused where none fits.
    """
    unwanted = ("photon", "aarch64") if gpu else ("-ml-", "gpu", "photon", "aarch64")
    plain = [
        entry["key"]
        for entry in offered
        if "LTS" in entry["name"]
        and ("-gpu-ml-" in entry["key"]) is gpu
        and not any(word in entry["key"] for word in unwanted)
        and runtime_python(entry["key"]) is not None
    ]
    fitting = [key for key in plain if runtime_python(key) in pythons]
    if not fitting:
        has = ", ".join(f"{key} (Python {_listed([python_of(key)])})" for key in sorted(plain))
        raise Refused(
            f"no runtime of this workspace fits: the wheels run on Python {_listed(pythons)}, and "
            f"it offers {has or 'no long-term support runtime that lakeflow can use'}."
        )
    return max(fitting, key=_release)


def serverless_environment(pythons: Sequence[Python]) -> str:
    """The newest version of the serverless environment whose Python fits.

    Raises Refused where none fits.
    """
    fitting = [version for version, python in _SERVERLESS.items() if python in pythons]
    if not fitting:
        raise Refused(
            f"serverless compute has Python {_listed(sorted(set(_SERVERLESS.values())))}; the "
            f"wheels run on {_listed(pythons)}"
        )
    return max(fitting, key=int)


def _release(runtime: str) -> tuple[int, int, bool]:
    major, minor = runtime.split(".")[:2]
    return int(major), int(minor) if minor.isdecimal() else 0, "scala2.12" in runtime


def _all_of(wheel: Wheel) -> list[Python]:
    return [python for python in PYTHONS if _runs_on(wheel, python)]


def _runs_on(wheel: Wheel, python: Python) -> bool:
    version = f"{python[0]}.{python[1]}.11"  # runtimes are late patch releases
    return wheel.requires_python.contains(version) and any(
        (tag.interpreter, tag.abi) in _supported(python) for tag in wheel.tags
    )


@lru_cache
def _supported(python: Python) -> frozenset[tuple[str, str]]:
    """The interpreter and ABI tags that a CPython takes (PEP 425), whatever the platform."""
    interpreter = f"cp{python[0]}{python[1]}"
    tags = [
        *cpython_tags(python, platforms=["any"]),
        *compatible_tags(python, interpreter=interpreter, platforms=["any"]),
    ]
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _listed(pythons: Sequence[Python]) -> str:
    return ", ".join(f"{major}.{minor}" for major, minor in pythons)
