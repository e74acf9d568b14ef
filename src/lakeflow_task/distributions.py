"""Installed distributions, found by their `.dist-info` folders on `sys.path`.

The names of the folders and of the files in them are those of the PyPA specifications "Recording
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
    """An installed distribution: normalized name, version, and its folder."""

    name: str
    version: str
    folder: str


class Task(NamedTuple):
    """An entry point, `module:object`, and the name of its distribution as it is written there."""

    distribution: str
    target: str

    def load(self) -> Callable[[], Any]:
        """Import what the entry point names. Raises whatever the user's import raises."""
        module, _, attributes = self.target.partition("[")[0].strip().partition(":")
        found: Any = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        function: Callable[[], Any] = found
        return function


def installed() -> Iterator[Distribution]:
    """All distributions in the order of `sys.path`, in which imports find them too."""
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            if name.endswith(_SUFFIX):
                project, _, version = name[: -len(_SUFFIX)].partition("-")
                yield Distribution(normalized(project), version, os.path.join(folder, name))


def find(name: str) -> Distribution:
    """The installed distribution of that name. Raises TaskRefused without one."""
    for distribution in installed():
        if distribution.name == normalized(name):
            return distribution
    raise TaskRefused(
        f"{name} is not installed here. Look at the cluster's libraries, and deploy again."
    )


def task_of(distribution: Distribution, entry_point: str) -> Task | None:
    """The entry point of that name in whichever group, as Databricks looks it up."""
    text = _read(distribution, "entry_points.txt")
    for line in text.splitlines():
        name, equals, target = line.partition("=")
        if equals and name.strip() == entry_point and not line.startswith(("#", ";", "[")):
            written = re.search(r"^Name:\s*(.+?)\s*$", _read(distribution, "METADATA"), re.M)
            return Task(written[1] if written else distribution.name, target)
    return None


def normalized(name: str) -> str:
    """The name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(distribution: Distribution, name: str) -> str:
    try:
        with open(os.path.join(distribution.folder, name), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
