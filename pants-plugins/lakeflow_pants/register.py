"""What Pants loads as the backend `lakeflow_pants`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakeflow_pants import goal, launcher, manifest, targets


def rules() -> Iterable[Any]:
    """The goal, its rules and the targets it takes; `pants.backend.python` brings the rest."""
    collected: list[Any] = []
    for module in (goal, launcher, manifest, targets):
        collected.extend(module.rules())
    return collected
