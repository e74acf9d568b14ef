"""Find installed distributions and their entry points by `.dist-info` folders on `sys.path`.

The names of these folders and of the files in them are specified by the PyPA, in "Recording
installed projects" and "Entry points".
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from lakeflow_task.errors import TaskRefused

_SUFFIX = ".dist-info"


class Distribution(NamedTuple):
    """An installed distribution: normalized name, version and `.dist-info` folder."""

    name: str
    version: str
    folder: str


class EntryPoint(NamedTuple):
    """An entry point `module:object`, and its distribution's name as the author wrote it."""

    distribution: str
    target: str

    def load(self) -> Callable[[], Any]:
        """Import the entry point's function. Raises whatever the user's import raises."""
        module, _, attributes = self.target.partition("[")[0].strip().partition(":")
        found: Any = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        function: Callable[[], Any] = found
        return function


def installed() -> Iterator[Distribution]:
    """Yield all distributions in the order of `sys.path`, as imports search it."""
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            if name.endswith(_SUFFIX):
                project, _, version = name[: -len(_SUFFIX)].partition("-")
                yield Distribution(normalize(project), version, os.path.join(folder, name))


def find(name: str) -> Distribution:
    """Return an installed distribution. Raises TaskRefused if it is not installed."""
    for distribution in installed():
        if distribution.name == normalize(name):
            return distribution
    raise TaskRefused(
        f"{name} is not installed here\n"
        "hint: check the libraries of the cluster, then deploy again"
    )


def entry_point_of(distribution: Distribution, name: str) -> EntryPoint | None:
    """Return a distribution's entry point from any group, as Databricks looks it up."""
    text = _read(distribution, "entry_points.txt")
    for line in text.splitlines():
        key, equals, target = line.partition("=")
        if equals and key.strip() == name and not line.startswith(("#", ";", "[")):
            declared = re.search(r"^Name:\s*(.+?)\s*$", _read(distribution, "METADATA"), re.M)
            return EntryPoint(declared[1] if declared else distribution.name, target)
    return None


def normalize(name: str) -> str:
    """Return a distribution's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(distribution: Distribution, name: str) -> str:
    try:
        with open(os.path.join(distribution.folder, name), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
