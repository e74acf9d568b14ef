"""What a wheel says of itself, and the stamped copy of it that travels to a cluster.

On a running cluster an installer skips a package whose name and version are there already, whatever
its path. So every first-party wheel gets a version made from what it holds before it is uploaded:
`1.2.0` becomes `1.2.0+lf.<12 hex digits>`. A local label does not hurt requirements such as
`==1.2.0` (PEP 440, version matching). The file format is the "binary distribution format" of the
Python packaging specifications (PEP 427).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.resources
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import IO

from packaging.markers import Marker
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

import lakeflow_task
from lakeflow.errors import Refused, UsageError

_CHUNK = 1 << 20
_DIGITS = 12
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_COPIED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What every installer can unpack; what is compressed in another way is compressed anew."""

_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a member: what the directory says too, and the lengths of its name and its extra field."""

_SIGNATURES = ("RECORD", "RECORD.jws", "RECORD.p7s")
_TARGETS = tuple(
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
"""The environments that markers are asked about: those of clusters, not this machine's."""


@dataclass(frozen=True)
class Wheel:
    """A wheel file, and what its file name and its METADATA say.

    `distribution` is the name as its author wrote it, `name` the normalized one (PEP 503).
    `entry_points` maps group to name to `module:object`. `sha256` and `size` (bytes) are of the
    file.
    """

    path: Path
    distribution: str
    name: str
    version: Version
    tags: frozenset[Tag]
    requires_python: SpecifierSet
    requires: tuple[Requirement, ...]
    entry_points: Mapping[str, Mapping[str, str]]
    sha256: str
    size: int


@dataclass(frozen=True)
class StampedWheel:
    """A stamped wheel beside the one it was made from.

    `needs` names every first-party distribution that it needs, directly or not, leaves first.
    """

    source: Wheel
    wheel: Wheel
    needs: tuple[str, ...]


@dataclass(frozen=True)
class _Packed:
    """The bytes of a member as an archive has them; `size` is their number."""

    compress_type: int
    crc: int
    size: int
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class _Member:
    """A file of a wheel. Where it is `packed` already, it is copied as it is."""

    name: str
    size: int
    executable: bool
    sha256: bytes
    open: Callable[[], IO[bytes]]
    packed: _Packed | None = None


def read_wheel(path: Path) -> Wheel:
    """The facts of a wheel file. Raises UsageError without a file, Refused where it is no wheel."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no such wheel file.")
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise Refused(f"{path}: this is not the name of a wheel. {error}") from error
    with _opened(path) as archive:
        folder = _dist_info(archive, path)
        try:
            raw, _ = parse_email(archive.read(f"{folder}/METADATA"))
        except KeyError:
            raise Refused(f"{path}: it has no {folder}/METADATA. Build the wheel again.") from None
        entry_points = _entry_points(archive, folder)
        digest = _digest(lambda: path.open("rb")).hexdigest()
    try:
        written = (canonicalize_name(raw.get("name", "")), Version(raw.get("version", "")))
        requires = tuple(Requirement(line) for line in raw.get("requires_dist", []))
        requires_python = SpecifierSet(raw.get("requires_python", ""))
    except (InvalidVersion, InvalidRequirement, InvalidSpecifier) as error:
        raise Refused(f"{path}: its METADATA is not valid. {error}") from error
    if written != (name, version):
        raise Refused(
            f"{path}: the file is named {name} {version}, but its METADATA says "
            f"{written[0]} {written[1]}. Build the wheel again instead of renaming it."
        )
    return Wheel(
        path=path,
        distribution=raw["name"],
        name=name,
        version=version,
        tags=tags,
        requires_python=requires_python,
        requires=requires,
        entry_points=entry_points,
        sha256=digest,
        size=path.stat().st_size,
    )


def stamp(wheels: Sequence[Wheel], into: Path) -> tuple[StampedWheel, ...]:
    """Stamped copies of `wheels` in the folder `into`, leaves first.

    The stamp is the start of a SHA-256 over what the wheel holds (names, bytes and executable bits
    of its files) and over the stamped versions of those of `wheels` that it needs; its
    `Requires-Dist` on them is pinned to these versions, so that no index can answer for them.
    Whether one needs another is asked for Linux and every Python that clusters run, with the extras
    that others of `wheels` ask for.

    What is the same in a stamped wheel keeps the compression that it has, so two wheels which were
    compressed differently have one stamp and not the same bytes: see `hold_the_same`.

    A wheel that has a stamp already is taken as it is.

    Raises Refused for two wheels of one distribution, for wheels that need each other in a circle,
    for one that needs another version of a second than is there, and for a damaged file.
    """
    by_name: dict[str, Wheel] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.name):
        other = by_name.setdefault(wheel.name, wheel)
        if other is not wheel:
            raise Refused(
                f"{other.path.name} and {wheel.path.name} are two wheels of one distribution, "
                f"{wheel.distribution}. One job takes one of them."
            )
    needed = _needed(by_name)
    try:
        order = tuple(TopologicalSorter(needed).static_order())
    except CycleError as error:
        circle = " needs ".join(by_name[name].distribution for name in reversed(error.args[1]))
        raise Refused(
            f"{circle}: wheels that need each other in a circle cannot be installed one after the "
            "other. Put them into one distribution, or drop one of the dependencies."
        ) from None
    into.mkdir(parents=True, exist_ok=True)
    stamped: dict[str, StampedWheel] = {}
    for name in order:
        pins = {need: stamped[need].wheel.version for need in sorted(needed[name])}
        below = {leaf for need in pins for leaf in (*stamped[need].needs, need)}
        stamped[name] = StampedWheel(
            source=by_name[name],
            wheel=(
                by_name[name]
                if _is_stamped(by_name[name])
                else _stamp_one(by_name[name], pins, into)
            ),
            needs=tuple(leaf for leaf in stamped if leaf in below),
        )
    return tuple(stamped.values())


def hold_the_same(one: Path, other: Path) -> bool:
    """Whether two wheels hold the same files, however they are compressed.

    A wheel that is damaged holds nothing.
    """
    try:
        return _held_by(one) == _held_by(other)
    except Refused:
        return False


def task_wheel(into: Path) -> Wheel:
    """A wheel of the `lakeflow_task` that this program imports, in the folder `into`.

    The launcher always sends the runner that it was tested with; `stamp` it like any other wheel.
    """
    version = lakeflow_task.__version__
    stem = f"lakeflow_task-{version}"
    package = importlib.resources.files(lakeflow_task)
    sources = [f for f in package.iterdir() if f.name.endswith(".py") or f.name == "py.typed"]
    texts = {
        f"{stem}.dist-info/METADATA": "Metadata-Version: 2.1\nName: lakeflow-task\n"
        f"Version: {version}\nRequires-Python: >=3.9\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: lakeflow-launcher\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": "[console_scripts]\n"
        "lakeflow-run = lakeflow_task.main:main\n",
    }
    members = [
        *(_held(f"lakeflow_task/{source.name}", source.read_bytes()) for source in sources),
        *(_held(name, text.encode()) for name, text in texts.items()),
    ]
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{stem}-py3-none-any.whl"
    _pack(path, stem, members)
    return read_wheel(path)


def _needed(by_name: Mapping[str, Wheel]) -> dict[str, set[str]]:
    """Which of the wheels each one needs directly, for all the extras that are asked for."""
    extras = {name: {""} for name in by_name}
    while True:
        before = {name: set(asked) for name, asked in extras.items()}
        needed: dict[str, set[str]] = {name: set() for name in by_name}
        for name, wheel in by_name.items():
            unmet: dict[str, Requirement] = {}
            for requirement in wheel.requires:
                need: str = canonicalize_name(requirement.name)
                if need not in by_name or not _applies(requirement.marker, extras[name]):
                    continue
                extras[need] |= requirement.extras
                if need == name:
                    continue
                if _admits(requirement, by_name[need].version):
                    needed[name].add(need)
                else:
                    unmet[need] = requirement
            for need in sorted(unmet.keys() - needed[name]):
                raise Refused(
                    f"{wheel.path.name} needs {unmet[need]}, but the wheel built beside it is "
                    f"{by_name[need].path.name}. Change the requirement or the version."
                )
        if extras == before:
            return needed


def _applies(marker: Marker | None, extras: Iterable[str]) -> bool:
    return marker is None or any(
        marker.evaluate({**target, "extra": extra}) for extra in extras for target in _TARGETS
    )


def _admits(requirement: Requirement, version: Version) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _stamp_one(wheel: Wheel, pins: Mapping[str, Version], into: Path) -> Wheel:
    with _opened(wheel.path) as archive:
        folder = _dist_info(archive, wheel.path)
        unsigned = {f"{folder}/{signature}" for signature in _SIGNATURES}
        members = [
            _member(archive, info)
            for info in archive.infolist()
            if not info.is_dir() and info.filename not in unsigned
        ]
        version = _stamped_version(wheel.version, _content_digest(members, pins))
        stem = f"{folder.partition('-')[0]}-{version}"
        metadata = _stamped_metadata(archive.read(f"{folder}/METADATA"), version, pins)
        moved = [
            replace(member, name=_stamped_name(member.name, stem))
            for member in members
            if member.name != f"{folder}/METADATA"
        ]
        name, _, rest = wheel.path.name.split("-", 2)
        path = into / f"{name}-{version}-{rest}"
        _pack(path, stem, [*moved, _held(f"{stem}.dist-info/METADATA", metadata)])
    return read_wheel(path)


def _content_digest(members: Iterable[_Member], pins: Mapping[str, Version]) -> str:
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
    """METADATA with the stamped version and pinned first-party requirements, else as it was."""
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
            if need in pins and _admits(requirement, pins[need]):
                requirement.url = None
                requirement.specifier = SpecifierSet(f"=={pins[need]}")
                line = f"Requires-Dist: {requirement}".encode()
        lines.append(line)
    return b"\n".join(lines) + rest


def _pack(path: Path, stem: str, members: Iterable[_Member]) -> None:
    """Write a wheel whole or not at all; equal members give equal bytes (with the same zlib)."""
    record = f"{stem}.dist-info/RECORD"
    rows: list[tuple[str, str, str]] = []
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    last = f"{stem}.dist-info/"
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in sorted(members, key=lambda m: (m.name.startswith(last), m.name)):
                _add(archive, member)
                encoded = base64.urlsafe_b64encode(member.sha256).rstrip(b"=").decode()
                rows.append((member.name, f"sha256={encoded}", str(member.size)))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
            _add(archive, _held(record, text.getvalue().encode()))
        temporary.replace(path)
    except OSError as error:
        raise Refused(f"{path}: it cannot be written. {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, member: _Member) -> None:
    info = zipfile.ZipInfo(member.name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = (0o100755 if member.executable else 0o100644) << 16
    info.file_size = member.size
    if member.packed is not None:
        _add_packed(archive, info, member.packed)
        return
    with member.open() as source, archive.open(info, "w") as target:
        for chunk in _chunks(source):
            target.write(chunk)


def _add_packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo, packed: _Packed) -> None:
    """Append a member that is packed already, for which `zipfile` has no call.

    One that is added in the usual way has to follow: then the directory is written.
    """
    assert archive.fp is not None
    info.compress_type = packed.compress_type
    info.CRC = packed.crc
    info.compress_size = packed.size
    info.header_offset = archive.start_dir
    archive.fp.seek(archive.start_dir)
    archive.fp.write(info.FileHeader())
    for chunk in packed.chunks():
        archive.fp.write(chunk)
    archive.start_dir = archive.fp.tell()
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """A member of an archive, which stays open. It is read whole, so that its CRC is checked."""
    packed = None
    if info.compress_type in _COPIED:
        chunks = partial(_packed_chunks, archive, info)
        packed = _Packed(info.compress_type, info.CRC, info.compress_size, chunks)
    return _Member(
        info.filename,
        info.file_size,
        bool(info.external_attr >> 16 & 0o111),
        _digest(partial(archive.open, info)).digest(),
        partial(archive.open, info),
        packed,
    )


def _packed_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes between a member's own header, whose fields may be elsewhere, and the next."""
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    name_size, extra_size = _LOCAL_HEADER.unpack(archive.fp.read(_LOCAL_HEADER.size))
    archive.fp.seek(name_size + extra_size, os.SEEK_CUR)
    left = info.compress_size
    while left:
        chunk = archive.fp.read(min(left, _CHUNK))
        if not chunk:
            raise zipfile.BadZipFile(f"{info.filename} ends too early")
        left -= len(chunk)
        yield chunk


def _held_by(path: Path) -> list[tuple[str, bool, bytes]]:
    """Name, executable bit and SHA-256 of all that a wheel holds. Raises Refused."""
    with _opened(path) as archive:
        members = [_member(archive, info) for info in archive.infolist() if not info.is_dir()]
    return sorted((member.name, member.executable, member.sha256) for member in members)


def _held(name: str, data: bytes) -> _Member:
    digest = hashlib.sha256(data).digest()
    return _Member(name, len(data), False, digest, partial(io.BytesIO, data))


def _digest(opener: Callable[[], IO[bytes]]) -> hashlib._Hash:
    digest = hashlib.sha256()
    with opener() as stream:
        for chunk in _chunks(stream):
            digest.update(chunk)
    return digest


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _UNREADABLE as error:
        raise Refused(f"{path}: the file is damaged or no wheel ({error}).") from error
    except OSError as error:
        raise Refused(f"{path}: it cannot be read. {error.strerror or error}") from error


def _dist_info(archive: zipfile.ZipFile, path: Path) -> str:
    tops = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
    folders = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(folders) != 1:
        found = ", ".join(folders) or "none"
        raise Refused(f"{path}: a wheel has one .dist-info folder with a METADATA; found: {found}.")
    return folders[0]


def _entry_points(archive: zipfile.ZipFile, folder: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for point in PathDistribution(zipfile.Path(archive, f"{folder}/")).entry_points:
        groups.setdefault(point.group, {})[point.name] = point.value
    return groups
