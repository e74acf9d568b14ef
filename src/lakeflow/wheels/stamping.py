"""Stamp wheels: give each a version made from its content.

A running cluster skips a package whose name and version are installed already, whatever its path.
So every first-party wheel gets a new version before it is uploaded: `1.2.0` becomes
`1.2.0+lf.<12 hex digits>`. A local version label still satisfies requirements such as `==1.2.0`
(PEP 440, version matching).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lakeflow.errors import Refused
from lakeflow.wheels.archive import (
    Member,
    member_from_bytes,
    open_archive,
    read_members,
    write_wheel,
)
from lakeflow.wheels.wheel import Wheel, dist_info_folder, read_wheel

_DIGITS = 12

_SIGNATURES = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the `.dist-info` folder that are left out: RECORD is rewritten, signatures break."""

_CLUSTER_ENVIRONMENTS = tuple(
    {
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
        "implementation_version": f"3.{minor}.0",
    }
    for minor in range(9, 15)
    for machine in ("x86_64", "aarch64")
)
"""Environments for which markers are evaluated: those of clusters, not this machine's."""


@dataclass(frozen=True)
class StampedWheel:
    """A stamped wheel and its source.

    `needs` names every first-party distribution that it requires, directly or not, leaves first.
    `undeclared` names those that only its code requires: no requirement of the source names them.
    """

    source: Wheel
    wheel: Wheel
    needs: tuple[str, ...]
    undeclared: tuple[str, ...] = ()


def stamp(
    wheels: Sequence[Wheel], into: Path, code_needs: Mapping[str, Collection[str]] | None = None
) -> tuple[StampedWheel, ...]:
    """Write stamped copies of wheels to a folder. Returns them leaves first.

    The stamp is the start of a SHA-256 over the wheel's content (names, bytes and executable bits
    of its files) and the stamped versions of those of `wheels` that it requires. Its
    `Requires-Dist` entries for these are pinned, so that no index can substitute them. Requirements
    are evaluated for Linux and all Python versions of clusters, with the extras that other wheels
    request.

    `code_needs` names, for each wheel, those whose code its own code needs, directly or not. If the
    requirements do not lead there, a pinned one is added. Two wheels that need each other that way
    are shipped together without it.

    Members that stay the same keep their compressed bytes, so two wheels that only differ in
    compression get the same stamp but different bytes (see `archive.have_same_content`).

    A wheel that is already stamped is used as is.

    Raises Refused for two wheels of one distribution, a dependency cycle, a requirement that the
    given version does not satisfy, and a damaged file.
    """
    by_name = _by_name(wheels)
    declared = _direct_needs(by_name)
    _leaves_first(declared, by_name)
    needed, undeclared = _with_code_needs(declared, code_needs or {})
    into.mkdir(parents=True, exist_ok=True)
    order = _leaves_first(needed, by_name)
    stamped: dict[str, StampedWheel] = {}
    for name in order:
        source = by_name[name]
        pins = {need: stamped[need].wheel.version for need in sorted(needed[name])}
        below = _reachable(needed, name) | set((code_needs or {}).get(name, ()))
        stamped[name] = StampedWheel(
            source=source,
            wheel=source if _is_stamped(source) else _write_stamped(source, pins, into),
            needs=tuple(leaf for leaf in order if leaf in below - {name}),
            undeclared=tuple(undeclared.get(name, ())),
        )
    return tuple(stamped.values())


def _with_code_needs(
    declared: Mapping[str, set[str]], code_needs: Mapping[str, Collection[str]]
) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    """Return what each wheel is to require, and which of that no requirement leads to so far.

    Leaves come first, so that a wheel does not get what one of its libraries should declare. What
    would close a cycle is not required.
    """
    needed = {name: set(needs) for name, needs in declared.items()}
    undeclared: dict[str, list[str]] = {}
    for name in sorted(code_needs, key=lambda name: (len(code_needs[name]), name)):
        largest_first = sorted(
            set(code_needs[name]) - {name}, key=lambda need: (-len(code_needs.get(need, ())), need)
        )
        for need in largest_first:
            if need in _reachable(needed, name):
                continue
            undeclared.setdefault(name, []).append(need)
            if name not in _reachable(needed, need):
                needed[name].add(need)
    return needed, undeclared


def _reachable(needed: Mapping[str, set[str]], name: str) -> set[str]:
    """Return what a wheel requires, directly or not, and itself only in a cycle."""
    reached: set[str] = set()
    pending = [name]
    while pending:
        new = needed[pending.pop()] - reached
        reached |= new
        pending.extend(new)
    return reached


def _by_name(wheels: Sequence[Wheel]) -> dict[str, Wheel]:
    """Return the wheels by normalized name, in its order. Raises Refused for duplicates."""
    by_name: dict[str, Wheel] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.name):
        other = by_name.setdefault(wheel.name, wheel)
        if other is not wheel:
            raise Refused(
                f"{other.path.name} and {wheel.path.name} are two wheels of one distribution, "
                f"{wheel.distribution}\nhint: pass only one of them"
            )
    return by_name


def _direct_needs(by_name: Mapping[str, Wheel]) -> dict[str, set[str]]:
    """Return which of the wheels each one requires directly, with all extras that are requested.

    Repeats until no further extra turns up, since a requested extra can request others.
    """
    extras = {name: {""} for name in by_name}
    while True:
        before = {name: set(requested) for name, requested in extras.items()}
        needed = {name: _needs_of(wheel, by_name, extras) for name, wheel in by_name.items()}
        if extras == before:
            return needed


def _needs_of(
    wheel: Wheel, by_name: Mapping[str, Wheel], extras: Mapping[str, set[str]]
) -> set[str]:
    """Return the wheels that one requires; adds the extras that it requests to `extras`."""
    needs: set[str] = set()
    unmet: dict[str, Requirement] = {}
    for requirement in wheel.requires:
        need: str = canonicalize_name(requirement.name)
        if need not in by_name or not _applies(requirement.marker, extras[wheel.name]):
            continue
        extras[need].update(requirement.extras)
        if need == wheel.name:
            continue
        if _is_satisfied(requirement, by_name[need].version):
            needs.add(need)
        else:
            unmet[need] = requirement
    for need in sorted(unmet.keys() - needs):
        raise Refused(
            f"{wheel.path.name} needs {unmet[need]}, but the wheel built beside it is "
            f"{by_name[need].path.name}\nhint: change the requirement or the version"
        )
    return needs


def _leaves_first(needed: Mapping[str, set[str]], by_name: Mapping[str, Wheel]) -> tuple[str, ...]:
    """Return the names so that each follows what it requires. Raises Refused for a cycle."""
    try:
        return tuple(TopologicalSorter(needed).static_order())
    except CycleError as error:
        cycle = " needs ".join(by_name[name].distribution for name in reversed(error.args[1]))
        raise Refused(
            f"{cycle}: wheels that depend on each other cannot be installed one after the other\n"
            "hint: put them into one distribution, or drop one of the dependencies"
        ) from None


def _applies(marker: Marker | None, extras: Iterable[str]) -> bool:
    return marker is None or any(
        marker.evaluate({**environment, "extra": extra})
        for extra in extras
        for environment in _CLUSTER_ENVIRONMENTS
    )


def _is_satisfied(requirement: Requirement, version: Version) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _write_stamped(wheel: Wheel, pins: Mapping[str, Version], into: Path) -> Wheel:
    with open_archive(wheel.path) as archive:
        folder = dist_info_folder(archive, wheel.path)
        members = read_members(archive, without=(f"{folder}/{name}" for name in _SIGNATURES))
        version = _stamped_version(wheel.version, _content_digest(members, pins))
        stem = f"{folder.partition('-')[0]}-{version}"
        metadata = _stamped_metadata(archive.read(f"{folder}/METADATA"), version, pins)
        renamed = [
            replace(member, name=_stamped_name(member.name, stem))
            for member in members
            if member.name != f"{folder}/METADATA"
        ]
        name, _, rest = wheel.path.name.split("-", 2)
        path = into / f"{name}-{version}-{rest}"
        stamped_metadata = member_from_bytes(f"{stem}.dist-info/METADATA", metadata)
        write_wheel(path, stem, [*renamed, stamped_metadata])
    return read_wheel(path)


def _content_digest(members: Iterable[Member], pins: Mapping[str, Version]) -> str:
    digest = hashlib.sha256()
    for member in sorted(members, key=lambda member: member.name):
        kind = "x" if member.executable else "-"
        digest.update(f"{member.sha256.hex()} {kind} {member.name}\n".encode())
    for name, version in pins.items():
        digest.update(f"{name}=={version}\n".encode())
    return digest.hexdigest()


def _stamped_version(version: Version, digest: str) -> Version:
    digits = digest[:_DIGITS]
    if digits.isdecimal():  # PEP 440 would read a number and drop its leading zeros
        digits = "a" + digits[1:]
    label = f"{version.local}.lf.{digits}" if version.local else f"lf.{digits}"
    return Version(f"{version.public}+{label}")


def _is_stamped(wheel: Wheel) -> bool:
    label = wheel.version.local or ""
    return re.search(rf"(^|\.)lf\.[0-9a-f]{{{_DIGITS}}}$", label) is not None


def _stamped_name(name: str, stem: str) -> str:
    top, slash, rest = name.partition("/")
    for suffix in (".dist-info", ".data"):
        if slash and top.endswith(suffix):
            return f"{stem}{suffix}/{rest}"
    return name


def _stamped_metadata(metadata: bytes, version: Version, pins: Mapping[str, Version]) -> bytes:
    """Return METADATA with the stamped version and the pins, otherwise unchanged."""
    end = re.search(rb"\r?\n\r?\n", metadata)
    head, rest = (
        (metadata[: end.start()], metadata[end.start() :]) if end else (metadata.rstrip(), b"\n")
    )
    lines = []
    pinned: set[str] = set()
    for line in re.split(rb"\r?\n(?![ \t])", head):
        key, _, value = line.decode("utf-8", "surrogateescape").partition(":")
        if key.lower() == "version":
            line = f"Version: {version}".encode()
        elif key.lower() == "requires-dist":
            requirement = Requirement(value.strip())
            need = canonicalize_name(requirement.name)
            if need in pins and _is_satisfied(requirement, pins[need]):
                requirement.url = None
                requirement.specifier = SpecifierSet(f"=={pins[need]}")
                line = f"Requires-Dist: {requirement}".encode()
                pinned.add(need)
        lines.append(line)
    missing = sorted(pins.keys() - pinned)
    lines += [f"Requires-Dist: {name}=={pins[name]}".encode() for name in missing]
    return b"\n".join(lines) + rest
