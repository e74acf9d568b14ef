"""Check wheels before anything is sent: entry point, Python version and platform.

What runtimes and node types offer is taken from Databricks' release notes.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from packaging.tags import compatible_tags, cpython_tags

from lakeflow.errors import Refused
from lakeflow.wheels.wheel import Wheel
from lakeflow_task.protocol import ENTRY_POINT

Python = tuple[int, int]
Glibc = tuple[int, int]

PYTHONS: tuple[Python, ...] = ((3, 10), (3, 11), (3, 12))

# Databricks Runtime release notes, "System environment"; workspace files as libraries need 13.3.
_RUNTIME_PYTHON: Mapping[int, Python] = {13: (3, 10), 14: (3, 10), 15: (3, 11)}
_NEWER_RUNTIME_PYTHON: Python = (3, 12)
OLDEST_RUNTIME = 13

# The same notes: Ubuntu 22.04 up to 15.4, 24.04 from 16.0 on.
_RUNTIME_GLIBC: Mapping[int, Glibc] = {13: (2, 35), 14: (2, 35), 15: (2, 35)}
_NEWER_RUNTIME_GLIBC: Glibc = (2, 39)

# Node types of AWS Graviton (m6gd.large), Azure (Standard_D4pds_v6) and Google (c4a-standard-4).
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
    """Raise Refused if a wheel has no entry point `lakeflow-task`, with the lines to add."""
    if has_entry_point(wheel):
        return
    module = str(wheel.name).replace("-", "_")
    raise Refused(
        f"{wheel.path.name} has no entry point {ENTRY_POINT!r}, so there is nothing to run\n"
        f"hint: add the function to call to the pyproject.toml of {wheel.distribution}:\n\n"
        "    [project.scripts]\n"
        f'    {ENTRY_POINT} = "{module}.main:main"\n'
    )


def pythons_of(wheels: Sequence[Wheel]) -> tuple[Python, ...]:
    """Return the Python versions that all wheels support, oldest first.

    Raises Refused if no version qualifies, with the versions that each wheel supports.
    """
    common = [p for p in PYTHONS if all(_runs_on(wheel, p) for wheel in wheels)]
    if not common:
        each = "\n".join(f"    {w.path.name}: {_listed(_all_of(w)) or 'none'}" for w in wheels)
        raise Refused(
            f"no Python version of a Databricks runtime ({_listed(PYTHONS)}) is supported by all "
            f"wheels:\n{each}\nhint: build them all for one of these"
        )
    return tuple(common)


def runtime_python(runtime: str) -> Python | None:
    """Return the Python version of a runtime such as `15.4.x-scala2.12`; None if unknown."""
    major = runtime.partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_RUNTIME:
        return None
    return _RUNTIME_PYTHON.get(int(major), _NEWER_RUNTIME_PYTHON)


def check_runtime(runtime: str, pythons: Sequence[Python], cluster: str) -> None:
    """Raise Refused if the wheels do not support the Python of a cluster's runtime."""
    python = runtime_python(runtime)
    if python is None:
        raise Refused(
            f"{cluster} has the runtime {runtime}; lakeflow needs {OLDEST_RUNTIME}.3 LTS or newer"
        )
    if python not in pythons:
        raise Refused(
            f"{cluster} has the runtime {runtime} with Python {_listed([python])}, but the wheels "
            f"support {_listed(pythons)}\nhint: build them for Python {_listed([python])} or name "
            "another cluster"
        )


def python_of(runtime: str) -> Python:
    """Return the Python version of a runtime; the newest if its name does not tell."""
    return runtime_python(runtime) or _NEWER_RUNTIME_PYTHON


def check_machine(wheels: Sequence[Wheel], runtime: str, node_type: str, cluster: str) -> None:
    """Raise Refused for a wheel that is built for another platform than a cluster's.

    That is Linux with the runtime's glibc, on ARM if the node type's name says so. In the local
    workspace, whose node types begin with `local.`, it is this machine.
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
    """Raise Refused for a wheel that is built for another platform than serverless compute."""
    glibc = _RUNTIME_GLIBC[15] if int(version) < 3 else _NEWER_RUNTIME_GLIBC
    _check_platforms(wheels, None, glibc, f"serverless compute (environment {version}")


def _check_platforms(
    wheels: Sequence[Wheel], machine: str | None, glibc: Glibc, where: str
) -> None:
    """Raise Refused for a wheel of another platform. Without `machine`, x86_64 and ARM are fine."""
    for wheel in wheels:
        reasons = [_obstacle(tag.platform, machine, glibc) for tag in wheel.tags]
        if all(reasons):
            why = "; ".join(sorted({str(reason) for reason in reasons}))
            raise Refused(
                f"{wheel.path.name} does not run on {where}: Linux, {machine or 'x86_64'}, glibc "
                f"{glibc[0]}.{glibc[1]}): {why}\nhint: build it for that platform, for example in "
                "a manylinux environment, or choose another --runtime or --node-type"
            )


def _obstacle(tag: str, machine: str | None, glibc: Glibc) -> str | None:
    """Return why a platform tag is incompatible with a machine (PEP 425, 600), or None."""
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
    available: Sequence[Mapping[str, str]], pythons: Sequence[Python], *, gpu: bool = False
) -> str:
    """Return the newest LTS runtime with one of these Python versions.

    `available` are the entries of spark-versions, each with `key` and `name`. With `gpu` it is a
    machine learning runtime with GPU drivers. Raises Refused if no version qualifies.
    """
    unwanted = ("photon", "aarch64") if gpu else ("-ml-", "gpu", "photon", "aarch64")
    plain = [
        entry["key"]
        for entry in available
        if "LTS" in entry["name"]
        and ("-gpu-ml-" in entry["key"]) is gpu
        and not any(word in entry["key"] for word in unwanted)
        and runtime_python(entry["key"]) is not None
    ]
    compatible = [key for key in plain if runtime_python(key) in pythons]
    if not compatible:
        has = ", ".join(f"{key} (Python {_listed([python_of(key)])})" for key in sorted(plain))
        raise Refused(
            f"no runtime of this workspace is compatible: the wheels run on Python "
            f"{_listed(pythons)}, and it has {has or 'no LTS runtime that lakeflow supports'}"
        )
    return max(compatible, key=_release)


def serverless_environment(pythons: Sequence[Python]) -> str:
    """Return the newest serverless environment with one of these Python versions.

    Raises Refused if no version qualifies.
    """
    compatible = [version for version, python in _SERVERLESS.items() if python in pythons]
    if not compatible:
        raise Refused(
            f"serverless compute has Python {_listed(sorted(set(_SERVERLESS.values())))}; the "
            f"wheels support {_listed(pythons)}"
        )
    return max(compatible, key=int)


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
    """Return the interpreter and ABI tags that a CPython supports (PEP 425), on any platform."""
    interpreter = f"cp{python[0]}{python[1]}"
    tags = [
        *cpython_tags(python, platforms=["any"]),
        *compatible_tags(python, interpreter=interpreter, platforms=["any"]),
    ]
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _listed(pythons: Sequence[Python]) -> str:
    return ", ".join(f"{major}.{minor}" for major, minor in pythons)
