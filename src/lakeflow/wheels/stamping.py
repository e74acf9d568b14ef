"""Stamp wheels: give each a version made from its content.

A running cluster skips a package whose name and version are installed already, whatever its path.
So every first-party wheel gets a version of its own before it is uploaded: `1.2.0` becomes
`1.2.0+lf.<12 hex digits>`. A local version label still satisfies requirements such as `==1.2.0`
(PEP 440, version matching).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
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
"""Files of the `.dist-info` folder that are left out: RECORD is written anew, signatures break."""

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
    """

    source: Wheel
    wheel: Wheel
    needs: tuple[str, ...]


def stamp(wheels: Sequence[Wheel], into: Path) -> tuple[StampedWheel, ...]:
    """Write stamped copies of wheels to a folder. Returns them leaves first.

    The stamp is the start of a SHA-256 over the wheel's content (names, bytes and executable bits
    of its files) and the stamped versions of those of `wheels` that it requires. Its
    `Requires-Dist` entries for these are pinned, so that no index can substitute them. Requirements
    are evaluated for Linux and all Python versions of clusters, with the extras that other wheels
    request.

    Members that stay the same keep their compressed bytes, so two wheels that only differ in
    compression get the same stamp but different bytes (see `archive.have_same_content`).

    A wheel that is already stamped is used as is.

    Raises Refused for two wheels of one distribution, a dependency cycle, a requirement that the
    given version does not satisfy, and a damaged file.
    """
    by_name = _by_name(wheels)
    needed = _direct_needs(by_name)
    into.mkdir(parents=True, exist_ok=True)
    stamped: dict[str, StampedWheel] = {}
    for name in _leaves_first(needed, by_name):
        source = by_name[name]
        pins = {need: stamped[need].wheel.version for need in sorted(needed[name])}
        below = {leaf for need in pins for leaf in (*stamped[need].needs, need)}
        stamped[name] = StampedWheel(
            source=source,
            wheel=source if _is_stamped(source) else _write_stamped(source, pins, into),
            needs=tuple(leaf for leaf in stamped if leaf in below),
        )
    return tuple(stamped.values())


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
        lines.append(line)
    return b"\n".join(lines) + rest
