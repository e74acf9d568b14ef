"""The manifest: the wheels of the named targets and of the first-party wheels they need.

Its form is the contract "Manifest: plugin to launcher" in docs/architecture.md.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pants.backend.python.subsystems.setup import PythonSetup
from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.environment import EnvironmentName
from pants.engine.fs import (
    EMPTY_DIGEST,
    AddPrefix,
    CreateDigest,
    Digest,
    DigestSubset,
    FileContent,
    MergeDigests,
    PathGlobs,
)
from pants.engine.rules import collect_rules, rule
from pants.engine.target import FieldSetsPerTargetRequest, Target
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
    get_digest_contents,
    implicitly,
    merge_digests,
    resolve_environment_name,
)
from lakeflow_pants.ownership import (
    AmbiguousDistribution,
    NeededDistribution,
    generator_of,
    needed_distributions,
)

FOLDER = "__lakeflow"
"""Where in the launcher's sandbox `manifest.json` and the wheels beside it are."""


class NotOneWheel(Exception):
    """A distribution to deploy does not build exactly one wheel."""


@dataclass(frozen=True)
class ManifestRequest:
    """Which targets to deploy, for which project (a name; it becomes part of job tags).

    `named` are the addresses that the user typed; other roots were found by a glob or by what has
    changed, and become jobs if there is something to run.

    `command` is the start of a command line that deploys them, to which arguments of the launcher
    can be added: what the launcher advises to type next begins with it.
    """

    roots: tuple[Target, ...]
    project: str
    command: str
    named: frozenset[Address]


@dataclass(frozen=True)
class Distribution:
    """One wheel of the manifest; `wheel` is its path relative to the manifest.

    A `root` becomes a job; an `optional` one only if its wheel has an entry point to run.

    `needs` are the addresses of the distributions whose code it depends on, `pythons` the Pythons
    that its targets allow, such as `3.11`.
    """

    address: str
    root: bool
    optional: bool
    wheel: str
    needs: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The wheels, and a digest that holds them and `manifest.json` under `FOLDER`.

    If `refused` says why there is no manifest, nothing can be deployed.
    """

    distributions: tuple[Distribution, ...] = ()
    digest: Digest = EMPTY_DIGEST
    refused: str | None = None


@dataclass(frozen=True)
class _Built:
    """A wheel, and a digest of it alone."""

    needed: NeededDistribution
    wheel: str
    digest: Digest


@rule
async def make_manifest(
    request: ManifestRequest, union_membership: UnionMembership, python_setup: PythonSetup
) -> Manifest:
    """Find the distributions that the roots need, build all, and describe them.

    A build that fails raises what its tool printed.
    """
    try:
        needed = await needed_distributions(request.roots, union_membership, python_setup)
    except AmbiguousDistribution as error:
        return Manifest(refused=str(error))
    targets = [one.target for one in needed]
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
    try:
        wheels = [_only_wheel(target, package) for target, package in zip(targets, packages)]
    except NotOneWheel as error:
        return Manifest(refused=str(error))
    digests = await concurrently(
        digest_subset_to_digest(DigestSubset(package.digest, PathGlobs([wheel])))
        for package, wheel in zip(packages, wheels)
    )
    built = [_Built(*fields) for fields in zip(needed, wheels, digests)]
    contents: dict[Digest, bytes] = {}
    for digest in _digests_to_compare(built):
        (file,) = await get_digest_contents(digest)
        contents[digest] = file.content
    roots = {target.address.spec for target in request.roots}
    named = {address.spec for address in request.named}
    try:
        distributions, kept = _merge_variants(built, contents, roots, named)
    except NotOneWheel as error:
        return Manifest(refused=str(error))

    manifest = await create_digest(
        CreateDigest([FileContent("manifest.json", _json(request, distributions))])
    )
    beside = await merge_digests(MergeDigests([*kept, manifest]))
    digest = await add_prefix(AddPrefix(beside, FOLDER))
    return Manifest(distributions, digest)


if TYPE_CHECKING or CALLS_BY_NAME:
    manifest_of = make_manifest
else:
    from pants.engine.rules import Get

    def manifest_of(request: ManifestRequest) -> Get:
        """`make_manifest` as older versions call a rule that has injected parameters."""
        return Get(Manifest, ManifestRequest, request)


def _only_wheel(target: Target, package: BuiltPackage) -> str:
    paths = [artifact.relpath for artifact in package.artifacts if artifact.relpath]
    wheels = [path for path in paths if path.endswith(".whl")]
    if len(wheels) != 1:
        raise NotOneWheel(
            f"{target.address} built {len(wheels)} wheels ({', '.join(paths) or 'no file'}), but a "
            f"job needs one: set `wheel=True` on this {target.alias}."
        )
    return wheels[0]


def _by_generator(built: Iterable[_Built]) -> list[list[_Built]]:
    """The wheels of each distribution: more than one where it is parametrized."""
    groups: dict[str, list[_Built]] = {}
    for one in built:
        groups.setdefault(generator_of(one.needed.target.address).spec, []).append(one)
    return list(groups.values())


def _digests_to_compare(built: Iterable[_Built]) -> list[Digest]:
    digests: list[Digest] = []
    for variants in _by_generator(built):
        distinct = list(dict.fromkeys(variant.digest for variant in variants))
        if len(distinct) > 1 and len({variant.wheel for variant in variants}) == 1:
            digests += distinct
    return digests


def _merge_variants(
    built: Sequence[_Built], contents: Mapping[Digest, bytes], roots: set[str], named: set[str]
) -> tuple[tuple[Distribution, ...], list[Digest]]:
    """Make one distribution of variants that built the same wheel.

    Raises NotOneWheel where they differ, or where two distributions build wheels of one file name.
    """
    names: dict[str, str] = {}
    merged: list[Distribution] = []
    kept: list[Digest] = []
    for variants in _by_generator(built):
        first = variants[0]
        specs = [variant.needed.target.address.spec for variant in variants]
        wheels = sorted({variant.wheel for variant in variants})
        if len(wheels) > 1 or len({_held(variant.digest, contents) for variant in variants}) > 1:
            raise NotOneWheel(
                f"{', '.join(specs)} build different wheels of one distribution "
                f"({', '.join(wheels)}), and a job takes one. Name the one to deploy, exclude the "
                f"others (`-{specs[0]}`), or add the one that is needed to `dependencies` of the "
                "distribution that needs it."
            )
        address = specs[0]
        if len(variants) > 1:
            address = generator_of(first.needed.target.address).spec
        for spec in specs:
            names[spec] = address
        merged.append(
            Distribution(
                address,
                not roots.isdisjoint(specs),
                named.isdisjoint(specs),
                first.wheel,
                tuple(need.spec for one in variants for need in one.needed.needs),
                _in_order(python for one in variants for python in one.needed.pythons),
            )
        )
        kept.append(first.digest)
    makers: dict[str, list[str]] = {}
    for entry in merged:
        makers.setdefault(entry.wheel, []).append(entry.address)
    for wheel, specs in makers.items():
        if len(specs) > 1:
            raise NotOneWheel(
                f"{', '.join(specs)} all build {wheel}: deploy one of them at a time."
            )
    return (
        tuple(
            replace(entry, needs=tuple(sorted({names[need] for need in entry.needs})))
            for entry in sorted(merged, key=lambda entry: entry.address)
        ),
        kept,
    )


def _held(digest: Digest, contents: Mapping[Digest, bytes]) -> object:
    """What to compare a wheel by: its files where they were read, since bytes hold build times."""
    if digest not in contents:
        return digest
    with zipfile.ZipFile(io.BytesIO(contents[digest])) as archive:
        return frozenset(
            (info.filename, info.CRC, info.file_size)
            for info in archive.infolist()
            if not info.filename.endswith(".dist-info/RECORD")
        )


def _in_order(pythons: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(pythons), key=lambda python: [int(part) for part in python.split(".")]))


def _json(request: ManifestRequest, distributions: Iterable[Distribution]) -> bytes:
    entries = [
        {
            "address": entry.address,
            "root": entry.root,
            "optional": entry.optional,
            "wheel": entry.wheel,
            "needs": list(entry.needs),
            "pythons": list(entry.pythons),
        }
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
