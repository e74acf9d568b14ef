"""Changes to a workspace as data: what a plan consists of, and how plans are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from lakeflow.resources.field_diff import FieldChanges
from lakeflow.state.hashing import digest

Kind = Literal[
    "unchanged",
    "create",
    "update",
    "delete",
    "upload",
    "start",
    "restart",
    "grant",
    "trigger",
    "cancel",
    "repair",
]


class ResourceJson(TypedDict):
    """A resource as JSON."""

    kind: str
    name: str
    id: str | None


class ChangeJson(TypedDict):
    """A change as JSON."""

    kind: Kind
    resource: ResourceJson
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True)
class Resource:
    """The address of something in a workspace; `id` is None until it exists.

    `kind` is wheel, compute, cluster, job, run, scope or file.
    """

    kind: str
    name: str
    id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.id})" if self.id is not None else "")


@dataclass(frozen=True)
class Change:
    """One change to one resource: the fields that change, with their old and new values.

    `before` is None for what does not exist yet, `after` for what is deleted. A resource that a
    plan uses as it is has the kind `unchanged`.
    """

    kind: Kind
    resource: Resource
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None

    @property
    def fields(self) -> FieldChanges:
        """The fields that change, each with its old and new value."""
        before, after = self.before or {}, self.after or {}
        return {
            name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])
        }

    def as_json(self) -> ChangeJson:
        """Return the change as a JSON value."""
        return {
            "kind": self.kind,
            "resource": {
                "kind": self.resource.kind,
                "name": self.resource.name,
                "id": self.resource.id,
            },
            "before": None if self.before is None else dict(self.before),
            "after": None if self.after is None else dict(self.after),
        }

    @classmethod
    def from_json(cls, raw: ChangeJson) -> Change:
        """Return the change that `as_json` returned as `raw`."""
        return cls(raw["kind"], Resource(**raw["resource"]), raw["before"], raw["after"])


@dataclass(frozen=True)
class Plan(ABC):
    """What an operation would do in a workspace; `workspace` is its host."""

    workspace: str

    @property
    @abstractmethod
    def changes(self) -> tuple[Change, ...]:
        """All changes, in the order in which they are made."""

    @property
    def digest(self) -> str:
        """Identifies what the plan does: plans of equal digest do the same."""
        return digest_of(self.changes)


def update(resource: Resource, fields: FieldChanges) -> Change:
    """Return an update of these fields of a resource."""
    return Change(
        "update",
        resource,
        {name: old for name, (old, _) in fields.items()},
        {name: new for name, (_, new) in fields.items()},
    )


def grant(resource: Resource, permissions: Sequence[tuple[str, str]]) -> Change:
    """Return permissions to grant, pairs of a level and a principal, as a change."""
    levels: dict[str, list[str]] = {}
    for level, principal in permissions:
        levels.setdefault(principal, []).append(level)
    return Change("grant", resource, None, {name: ", ".join(each) for name, each in levels.items()})


def digest_of(changes: Sequence[Change]) -> str:
    """Return the SHA-256 of changes as hexadecimal digits: equal plans do the same.

    Starting a cluster does not count: it may start or terminate at any time.
    """
    return digest([change.as_json() for change in _lasting(changes)])


def compare(
    then: Sequence[Change], now: Sequence[Change]
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Return the changes that only `then` has, and those that only `now` has."""
    old, new = _lasting(then), _lasting(now)
    return (
        tuple(change for change in old if change not in new),
        tuple(change for change in new if change not in old),
    )


def _lasting(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.kind != "start"]
