"""The manifest of a deploy: its wheels, and which of them become jobs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lakeflow.errors import UsageError
from lakeflow.wheels.compatibility import has_entry_point
from lakeflow.wheels.wheel import Wheel, read_wheel
from lakeflow_task.protocol import ENTRY_POINT

SCHEMA = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distribution:
    """A wheel and its origin; `root` marks what the user named, which becomes a job.

    An `optional` root, found by a glob say, becomes a job only if it has an entry point. `needs`
    are the addresses of the distributions whose code it needs, by the build graph.
    """

    address: str
    root: bool
    wheel: Wheel
    needs: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Manifest:
    """The content of one deploy. `command` starts it again, if its author says how."""

    project: str
    distributions: tuple[Distribution, ...]
    command: str | None = None

    @property
    def roots(self) -> tuple[Distribution, ...]:
        """The distributions that become jobs."""
        return tuple(
            d for d in self.distributions if d.root and (not d.optional or has_entry_point(d.wheel))
        )

    @property
    def code_needs(self) -> dict[str, tuple[str, ...]]:
        """For each wheel that has any, the names of those whose code it needs."""
        names = {d.address: d.wheel.name for d in self.distributions}
        return {
            d.wheel.name: tuple(names[need] for need in d.needs)
            for d in self.distributions
            if d.needs
        }

    def address_of(self, name: str) -> str:
        """The address of the distribution that built the wheel of this normalized name."""
        return next((d.address for d in self.distributions if d.wheel.name == name), name)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, whose wheel paths are relative to its folder.

    Raises UsageError if the file is missing or not a manifest, and what `read_wheel` raises.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the manifest {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"the manifest {path} is not valid JSON: {error}") from None
    try:
        schema, project, entries = raw["schema"], str(raw["project"]), raw["distributions"]
        distributions = tuple(_distribution(entry, path.parent) for entry in entries)
        command = raw.get("command")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not a manifest: {type(error).__name__}: {error}") from None
    if schema != SCHEMA:
        raise UsageError(
            f"the manifest {path} has schema {schema!r}; this lakeflow reads {SCHEMA}\n"
            "hint: use the same version of lakeflow-pants and lakeflow-launcher"
        )
    manifest = Manifest(project, distributions, command)
    unknown = {n for d in distributions for n in d.needs} - {d.address for d in distributions}
    if unknown:
        raise UsageError(f"{path} is not a manifest: no wheel of {', '.join(sorted(unknown))}")
    if not any(distribution.root for distribution in distributions):
        raise UsageError(f"the manifest {path} names no distribution to deploy")
    for distribution in distributions:
        if distribution.root and distribution not in manifest.roots:
            _log.info(
                "%s: no job, since it has no entry point %s", distribution.address, ENTRY_POINT
            )
    return manifest


def manifest_of(paths: Sequence[Path]) -> Manifest:
    """Make a manifest of wheels; those that no other one needs become jobs.

    Raises UsageError if there are no wheels, and what `read_wheel` raises.
    """
    wheels = [read_wheel(path) for path in paths]
    if not wheels:
        raise UsageError("nothing to deploy\nhint: name wheels, or a manifest with --manifest")
    needed = {
        canonicalize_name(requirement.name)
        for wheel in wheels
        for requirement in wheel.requires
        if canonicalize_name(requirement.name) != wheel.name
    }
    distributions = [Distribution(w.distribution, w.name not in needed, w) for w in wheels]
    if not any(distribution.root for distribution in distributions):
        raise UsageError("each of these wheels needs another one of them, so none can become a job")
    return Manifest("", tuple(distributions))


def _distribution(entry: dict[str, Any], folder: Path) -> Distribution:
    wheel = read_wheel(folder / entry["wheel"])
    pythons = [str(python) for python in entry.get("pythons", ())]
    return Distribution(
        address=str(entry["address"]),
        root=bool(entry["root"]),
        wheel=replace(wheel, requires_python=wheel.requires_python & _only(pythons)),
        needs=tuple(str(need) for need in entry.get("needs", ())),
        optional=bool(entry.get("optional", False)),
    )


def _only(pythons: Sequence[str]) -> SpecifierSet:
    """The Pythons of a list such as `3.10`, `3.11`; an empty list allows every Python."""
    minors = sorted(int(python.removeprefix("3.")) for python in pythons)
    if not minors:
        return SpecifierSet()
    gaps = set(range(minors[0], minors[-1])) - set(minors)
    excluded = [f"!=3.{minor}.*" for minor in sorted(gaps)]
    return SpecifierSet(",".join([f">=3.{minors[0]}", f"<3.{minors[-1] + 1}", *excluded]))
