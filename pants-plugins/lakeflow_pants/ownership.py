"""Which distributions a deploy needs: the named ones and those that own code they depend on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonProvidesField
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.package_dists import is_ownable_target
from pants.base.specs import AncestorGlobSpec, RawSpecs
from pants.engine.addresses import Address
from pants.engine.target import Target, TransitiveTargets, TransitiveTargetsRequest
from pants.engine.unions import UnionMembership

from lakeflow_pants._engine import (
    concurrently,
    implicitly,
    resolve_unexpanded_targets,
    transitive_targets,
)
from lakeflow_pants.targets import is_deployable

PYTHONS = tuple(f"3.{minor}" for minor in range(8, 21))
"""The Pythons that interpreter constraints are compared with, oldest first."""


class AmbiguousDistribution(Exception):
    """More than one distribution could own code that a deployed one needs."""


@dataclass(frozen=True)
class NeededDistribution:
    """A distribution to build. `needs` are the addresses of those whose code it depends on.

    `pythons` are the Pythons that its code allows, such as `3.11`; empty where none is known.
    """

    target: Target
    needs: frozenset[Address]
    pythons: tuple[str, ...]


@dataclass(frozen=True)
class _Closure:
    """A distribution with the addresses of all that it depends on, and the code among them."""

    target: Target
    addresses: frozenset[Address]
    code: tuple[Target, ...]
    pythons: tuple[str, ...]


async def needed_distributions(
    roots: tuple[Target, ...], union_membership: UnionMembership, python_setup: PythonSetup
) -> tuple[NeededDistribution, ...]:
    """Find the roots and every distribution that owns code they need, sorted by address.

    A distribution that is needed brings what its own code needs. Raises AmbiguousDistribution.
    """
    closures: dict[Address, _Closure] = {}
    needs: dict[tuple[Address, Address], set[Address]] = {}
    pending = [(root, root) for root in roots]
    while pending:
        new = {dist.address: dist for _, dist in pending if dist.address not in closures}
        found = await concurrently(
            transitive_targets(TransitiveTargetsRequest([address]), **implicitly())
            for address in new
        )
        for target, closure in zip(new.values(), found):
            closures[target.address] = _closure(target, closure, union_membership, python_setup)
        folders = {
            code.address.spec_path for _, dist in pending for code in closures[dist.address].code
        }
        above = await resolve_unexpanded_targets(
            **implicitly(
                RawSpecs(
                    ancestor_globs=tuple(AncestorGlobSpec(folder) for folder in sorted(folders)),
                    description_of_origin="the `lakeflow-deploy` goal",
                )
            )
        )
        candidates = {
            target.address: target
            for target in above
            if target.address not in closures and is_deployable(target, union_membership)
        }
        found = await concurrently(
            transitive_targets(TransitiveTargetsRequest([address]), **implicitly())
            for address in candidates
        )
        for target, closure in zip(candidates.values(), found):
            closures[target.address] = _closure(target, closure, union_membership, python_setup)

        visited, pending = pending, []
        for root, dist in visited:
            owned = needs.setdefault((root.address, dist.address), set())
            for code in closures[dist.address].code:
                owners = _owners(code, closures[dist.address], closures[root.address], closures)
                owned.update(owner.address for owner in owners)
            owned.discard(dist.address)
            for address in sorted(owned):
                if (root.address, address) not in needs:
                    needs[root.address, address] = set()
                    pending.append((root, closures[address].target))

    addresses = {address for _, address in needs}
    return tuple(
        NeededDistribution(
            closures[address].target,
            _needs_of(address, needs),
            closures[address].pythons,
        )
        for address in sorted(addresses)
    )


def _closure(
    target: Target,
    closure: TransitiveTargets,
    union_membership: UnionMembership,
    python_setup: PythonSetup,
) -> _Closure:
    constraints = InterpreterConstraints.create_from_targets(
        closure.closure, python_setup
    ) or InterpreterConstraints(python_setup.interpreter_constraints)
    return _Closure(
        target,
        frozenset(dependency.address for dependency in closure.closure),
        tuple(code for code in closure.closure if is_ownable_target(code, union_membership)),
        tuple(constraints.partition_into_major_minor_versions(PYTHONS)),
    )


def _needs_of(
    address: Address, needs: dict[tuple[Address, Address], set[Address]]
) -> frozenset[Address]:
    """What a distribution needs, directly or not: as a root, else for every root that needs it."""
    for_roots = [root for root, dist in needs if dist == address]
    if address in for_roots:
        for_roots = [address]
    return frozenset.intersection(*(_below(address, root, needs) for root in for_roots))


def _below(
    address: Address, root: Address, needs: dict[tuple[Address, Address], set[Address]]
) -> frozenset[Address]:
    below: set[Address] = set()
    pending = [address]
    while pending:
        for need in needs[root, pending.pop()] - below:
            below.add(need)
            pending.append(need)
    return frozenset(below - {address})


def _owners(
    code: Target, dist: _Closure, root: _Closure, closures: dict[Address, _Closure]
) -> list[Target]:
    """The distribution that owns `code`, which `dist` needs, in a deploy of `root`: none or one.

    The rule is that of Pants: the closest distribution, in the code's folder or above it, that
    depends on the code. Pants refuses siblings; here the one that `root` names among its
    dependencies wins, then the one with the parameters of `root`
    (`dist@interpreter_constraints=py311`). Variants of one distribution are returned together: if
    they build the same wheel they count as one.
    See https://www.pantsbuild.org/docs/python-distributions.
    """
    if code.has_field(PythonProvidesField) and code.address in closures:
        return [code]
    folder = code.address.spec_path
    candidates = [
        closure
        for address, closure in closures.items()
        if code.address in closure.addresses and _is_in(folder, address.spec_path)
    ]
    if not candidates:
        return []
    depth = max(_depth(candidate.target.address.spec_path) for candidate in candidates)
    closest = [c for c in candidates if _depth(c.target.address.spec_path) == depth]
    for own in (dist, root):
        if own in closest:
            return [own.target]
    for narrowed in (
        [c for c in closest if c.target.address in root.addresses],
        [c for c in closest if c.target.address.parameters == root.target.address.parameters],
        [c for c in closest if set(c.pythons) & set(root.pythons)],
    ):
        if len(closest) > 1 and narrowed:
            closest = narrowed
    if len({generator_of(c.target.address) for c in closest}) > 1:
        raise AmbiguousDistribution(
            f"{root.target.address} needs {code.address}, which is in the wheels of "
            f"{addresses(c.target.address for c in closest)} alike. Choose one: "
            f"add its address to `dependencies` of {root.target.address}."
        )
    return [closure.target for closure in closest]


def generator_of(address: Address) -> Address:
    """The address without parameters: what variants of one target have in common."""
    return Address(
        address.spec_path, target_name=address.target_name, generated_name=address.generated_name
    )


def addresses(found: Iterable[Address]) -> str:
    """Addresses as a sentence lists them."""
    return ", ".join(sorted(address.spec for address in found))


def _depth(folder: str) -> int:
    return len(PurePath(folder).parts)


def _is_in(folder: str, ancestor: str) -> bool:
    return PurePath(folder).parts[: _depth(ancestor)] == PurePath(ancestor).parts
