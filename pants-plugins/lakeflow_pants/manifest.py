"""The manifest: the wheels of the named targets and of the first-party wheels they need.

Its form is the contract "Manifest: plugin to launcher" in docs/architecture.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pants.backend.python.util_rules.package_dists import is_ownable_target
from pants.base.specs import AncestorGlobSpec, RawSpecs
from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.environment import EnvironmentName
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestSubset,
    FileContent,
    MergeDigests,
    PathGlobs,
)
from pants.engine.rules import collect_rules, rule
from pants.engine.target import (
    FieldSetsPerTargetRequest,
    Target,
    TransitiveTargets,
    TransitiveTargetsRequest,
)
from pants.engine.unions import UnionMembership

from lakeflow_pants._engine import (
    CALLS_BY_NAME,
    EnvironmentNameRequest,
    add_prefix,
    build_package,
    concurrently,
    create_digest,
    digest_subset_to_digest,
    find_valid_field_sets,
    implicitly,
    merge_digests,
    resolve_environment_name,
    resolve_unexpanded_targets,
    transitive_targets,
)
from lakeflow_pants.targets import is_deployable

FOLDER = "__lakeflow"
"""Where in the launcher's sandbox `manifest.json` and the wheels beside it are."""


class AmbiguousDistribution(Exception):
    """More than one distribution could carry code that a deployed one needs."""


class NotOneWheel(Exception):
    """A distribution that is to be deployed does not make one wheel of its own."""


@dataclass(frozen=True)
class ManifestRequest:
    """Which targets the user named, for which project (a name; it becomes part of job tags).

    `command` is the start of a command line that deploys them, to which arguments of the launcher
    can be added: what the launcher advises to type next begins with it.
    """

    roots: tuple[Target, ...]
    project: str
    command: str


@dataclass(frozen=True)
class Distribution:
    """One wheel of the manifest; `wheel` is its path relative to the manifest."""

    address: str
    root: bool
    wheel: str


@dataclass(frozen=True)
class Manifest:
    """The wheels, and a digest that holds them and `manifest.json` under `FOLDER`."""

    distributions: tuple[Distribution, ...]
    digest: Digest


async def needed_distributions(
    roots: tuple[Target, ...], union_membership: UnionMembership
) -> tuple[Target, ...]:
    """The roots and every distribution that carries code they depend on, sorted by address."""
    root_closures = await concurrently(
        transitive_targets(TransitiveTargetsRequest([root.address]), **implicitly())
        for root in roots
    )
    code_of_roots = [
        [target for target in closure.closure if is_ownable_target(target, union_membership)]
        for closure in root_closures
    ]
    folders = {target.address.spec_path for code in code_of_roots for target in code}
    above = await resolve_unexpanded_targets(
        **implicitly(
            RawSpecs(
                ancestor_globs=tuple(AncestorGlobSpec(folder) for folder in sorted(folders)),
                description_of_origin="the `lakeflow-deploy` goal",
            )
        )
    )
    carriers = [target for target in above if is_deployable(target, union_membership)]
    carrier_closures = await concurrently(
        transitive_targets(TransitiveTargetsRequest([carrier.address]), **implicitly())
        for carrier in carriers
    )
    carried = [
        (carrier, _addresses(closure)) for carrier, closure in zip(carriers, carrier_closures)
    ]

    needed: dict[Address, Target] = {root.address: root for root in roots}
    for root, closure, code in zip(roots, root_closures, code_of_roots):
        named = _addresses(closure)
        for target in code:
            for owner in _owner(target, root, named, carried):
                needed[owner.address] = owner
    return tuple(needed[address] for address in sorted(needed))


@rule
async def make_manifest(request: ManifestRequest, union_membership: UnionMembership) -> Manifest:
    """Find the distributions that the roots need, build all, and describe them.

    Raises AmbiguousDistribution and NotOneWheel; a build that fails raises what its tool printed.
    """
    targets = await needed_distributions(request.roots, union_membership)
    packagers = await find_valid_field_sets(
        FieldSetsPerTargetRequest(PackageFieldSet, targets), **implicitly()
    )
    environments = await concurrently(
        resolve_environment_name(EnvironmentNameRequest.from_target(target), **implicitly())
        for target in targets
    )
    packages = await concurrently(
        build_package(**implicitly({field_sets[0]: PackageFieldSet, environment: EnvironmentName}))
        for field_sets, environment in zip(packagers.collection, environments)
    )
    roots = {target.address for target in request.roots}
    distributions = tuple(
        Distribution(target.address.spec, target.address in roots, _only_wheel(target, package))
        for target, package in zip(targets, packages)
    )
    _refuse_same_wheel(distributions)

    merged = await merge_digests(MergeDigests(package.digest for package in packages))
    wheels = await digest_subset_to_digest(
        DigestSubset(merged, PathGlobs([entry.wheel for entry in distributions]))
    )
    manifest = await create_digest(
        CreateDigest([FileContent("manifest.json", _json(request, distributions))])
    )
    beside = await merge_digests(MergeDigests([wheels, manifest]))
    digest = await add_prefix(AddPrefix(beside, FOLDER))
    return Manifest(distributions, digest)


if TYPE_CHECKING or CALLS_BY_NAME:
    manifest_of = make_manifest
else:
    from pants.engine.rules import Get

    def manifest_of(request: ManifestRequest) -> Get:
        """`make_manifest` as older versions call a rule that has injected parameters."""
        return Get(Manifest, ManifestRequest, request)


def _owner(
    code: Target,
    root: Target,
    named: set[Address],
    carried: list[tuple[Target, set[Address]]],
) -> list[Target]:
    """The distribution that carries `code` for `root`: none or one.

    The rule is that of Pants: the closest distribution, in the code's folder or above it, that
    depends on the code. Pants refuses siblings; here the one that `root` names among its
    dependencies wins, then the one with the parameters of `root`
    (`dist@interpreter_constraints=py311`).
    See https://www.pantsbuild.org/docs/python-distributions.
    """
    candidates = [
        carrier
        for carrier, addresses in carried
        if code.address in addresses and _is_in(code.address.spec_path, carrier.address.spec_path)
    ]
    if not candidates:
        return []
    depth = max(_depth(carrier.address.spec_path) for carrier in candidates)
    closest = [carrier for carrier in candidates if _depth(carrier.address.spec_path) == depth]
    if root in closest:
        return [root]
    if len(closest) > 1:
        closest = [carrier for carrier in closest if carrier.address in named] or closest
    if len(closest) > 1:
        same = [c for c in closest if c.address.parameters == root.address.parameters]
        closest = same or closest
    if len(closest) > 1:
        raise AmbiguousDistribution(
            f"{root.address} needs {code.address}, which is in the wheels of "
            f"{', '.join(sorted(carrier.address.spec for carrier in closest))} alike. "
            f"Say which one it is to travel with: add its address to `dependencies` of "
            f"{root.address}."
        )
    return closest


def _addresses(closure: TransitiveTargets) -> set[Address]:
    return {target.address for target in closure.closure}


def _depth(folder: str) -> int:
    return len(PurePath(folder).parts)


def _is_in(folder: str, ancestor: str) -> bool:
    return PurePath(folder).parts[: _depth(ancestor)] == PurePath(ancestor).parts


def _only_wheel(target: Target, package: BuiltPackage) -> str:
    paths = [artifact.relpath for artifact in package.artifacts if artifact.relpath]
    wheels = [path for path in paths if path.endswith(".whl")]
    if len(wheels) != 1:
        raise NotOneWheel(
            f"{target.address} made {len(wheels)} wheels ({', '.join(paths) or 'no file'}), but a "
            f"job needs one: set `wheel=True` on this {target.alias}."
        )
    return wheels[0]


def _refuse_same_wheel(distributions: Iterable[Distribution]) -> None:
    counted = Counter(entry.wheel for entry in distributions)
    for wheel, times in counted.items():
        if times > 1:
            makers = ", ".join(entry.address for entry in distributions if entry.wheel == wheel)
            raise NotOneWheel(f"{makers} all make {wheel}: deploy one of them at a time.")


def _json(request: ManifestRequest, distributions: Iterable[Distribution]) -> bytes:
    entries = [
        {"address": entry.address, "root": entry.root, "wheel": entry.wheel}
        for entry in distributions
    ]
    document = {
        "schema": 1,
        "project": request.project,
        "command": request.command,
        "distributions": entries,
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def rules() -> Iterable[Any]:
    """The rule of this module."""
    return collect_rules()
