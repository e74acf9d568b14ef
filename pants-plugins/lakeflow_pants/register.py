"""The entry point of the Pants backend `lakeflow_pants`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakeflow_pants import goal, launcher, manifest, reproducible, targets


def rules() -> Iterable[Any]:
    """Return the goal with its rules and targets; `pants.backend.python` provides the rest."""
    reproducible.install()
    collected: list[Any] = []
    for module in (goal, launcher, manifest, targets):
        collected.extend(module.rules())
    return collected
