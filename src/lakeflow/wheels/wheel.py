"""Read the metadata of a wheel.

The file format is the "binary distribution format" of the Python packaging specifications
(PEP 427).
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.archive import open_archive, sha256_of


@dataclass(frozen=True)
class Wheel:
    """A wheel file with the facts of its file name and METADATA.

    `distribution` is the name as its author wrote it, `name` the normalized one (PEP 503).
    `entry_points` maps group to name to `module:object`. `sha256` and `size` (bytes) are those of
    the file.
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


def read_wheel(path: Path) -> Wheel:
    """Read a wheel file. Raises UsageError if it does not exist, Refused if it is not a wheel."""
    if not path.is_file():
        raise UsageError(f"{path}: no such wheel file")
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise Refused(f"{path}: not a valid wheel file name. {error}") from error
    with open_archive(path) as archive:
        folder = dist_info_folder(archive, path)
        try:
            raw, _ = parse_email(archive.read(f"{folder}/METADATA"))
        except KeyError:
            raise Refused(
                f"{path}: {folder}/METADATA is missing\nhint: build the wheel again"
            ) from None
        _check_installable(archive, path, folder)
        entry_points = _entry_points(archive, folder)
        sha256 = sha256_of(lambda: path.open("rb")).hexdigest()
    try:
        declared = (canonicalize_name(raw.get("name", "")), Version(raw.get("version", "")))
        requires = tuple(Requirement(line) for line in raw.get("requires_dist", []))
        requires_python = SpecifierSet(raw.get("requires_python", ""))
    except (InvalidVersion, InvalidRequirement, InvalidSpecifier) as error:
        raise Refused(f"{path}: its METADATA is not valid. {error}") from error
    if declared != (name, version):
        raise Refused(
            f"{path}: the file is named {name} {version}, but its METADATA says "
            f"{declared[0]} {declared[1]}\nhint: build the wheel again instead of renaming it"
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
        sha256=sha256,
        size=path.stat().st_size,
    )


def _check_installable(archive: zipfile.ZipFile, path: Path, folder: str) -> None:
    """Raise Refused for files that pip refuses to install, or installs outside of its folder."""
    seen = set()
    for info in archive.infolist():
        name = info.filename
        parts = name.rstrip("/").split("/")
        problem = None
        if name.startswith("/") or "\\" in name or {"", ".", ".."} & set(parts):
            problem = "its path leads out of the wheel"
        elif stat.S_ISLNK(info.external_attr >> 16):
            problem = "it is a symbolic link"
        elif name in seen:
            problem = "the archive holds it twice"
        if problem is not None:
            raise Refused(
                f"{path}: pip would not install {name!r}: {problem}\nhint: build the wheel again"
            )
        seen.add(name)
    if f"{folder}/WHEEL" not in seen:
        raise Refused(f"{path}: {folder}/WHEEL is missing\nhint: build the wheel again")


def dist_info_folder(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the name of a wheel's `.dist-info` folder. Raises Refused unless there is one."""
    tops = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
    folders = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(folders) != 1:
        found = ", ".join(folders) or "none"
        raise Refused(
            f"{path}: a wheel has exactly one .dist-info folder with a METADATA; found: {found}"
        )
    return folders[0]


def _entry_points(archive: zipfile.ZipFile, folder: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for point in PathDistribution(zipfile.Path(archive, f"{folder}/")).entry_points:
        groups.setdefault(point.group, {})[point.name] = point.value
    return groups
