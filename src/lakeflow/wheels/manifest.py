"""The manifest: which wheels there are, and which of them the user named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from lakeflow.errors import UsageError
from lakeflow.wheels.wheel import Wheel, read_wheel

SCHEMA = 1


@dataclass(frozen=True)
class Distribution:
    """A wheel and where it comes from; `root` marks what the user named and wants as a job."""

    address: str
    root: bool
    wheel: Wheel


@dataclass(frozen=True)
class Manifest:
    """What one deploy is about. `command` starts this deploy again, where its maker says how."""

    project: str
    distributions: tuple[Distribution, ...]
    command: str | None = None

    @property
    def roots(self) -> tuple[Distribution, ...]:
        """The distributions that become jobs."""
        return tuple(d for d in self.distributions if d.root)


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`; wheel paths are relative to its folder.

    Raises UsageError where the file is missing or is no manifest, and what `read_wheel` raises.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the manifest {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"the manifest {path} is no JSON: {error}") from None
    try:
        schema, project, entries = raw["schema"], str(raw["project"]), raw["distributions"]
        distributions = tuple(_distribution(entry, path.parent) for entry in entries)
        command = raw.get("command")
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no manifest: {type(error).__name__}: {error}") from None
    if schema != SCHEMA:
        raise UsageError(
            f"the manifest {path} has schema {schema!r}; this lakeflow reads {SCHEMA}. "
            "Use versions of lakeflow-pants and lakeflow-launcher that belong together."
        )
    manifest = Manifest(project, distributions, command)
    if not manifest.roots:
        raise UsageError(f"the manifest {path} names no distribution to deploy")
    return manifest


def manifest_of(paths: Sequence[Path]) -> Manifest:
    """Wheels without a manifest: those that none of the others needs are what the user wants.

    Raises UsageError for no wheels, and what `read_wheel` raises.
    """
    wheels = [read_wheel(path) for path in paths]
    if not wheels:
        raise UsageError("there is nothing to deploy: name wheels, or a manifest with --manifest")
    needed = {
        canonicalize_name(requirement.name)
        for wheel in wheels
        for requirement in wheel.requires
        if canonicalize_name(requirement.name) != wheel.name
    }
    distributions = [Distribution(w.distribution, w.name not in needed, w) for w in wheels]
    if not any(distribution.root for distribution in distributions):
        raise UsageError("each of these wheels needs another one of them: none is to become a job")
    return Manifest("", tuple(distributions))


def _distribution(entry: dict[str, Any], folder: Path) -> Distribution:
    wheel = read_wheel(folder / entry["wheel"])
    return Distribution(str(entry["address"]), bool(entry["root"]), wheel)
