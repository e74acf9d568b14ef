"""Check the archive of a wheel as pip does before it installs anything."""

from __future__ import annotations

import posixpath
import stat
import zipfile
from pathlib import Path

from lakeflow_local.compute.errors import InstallationError


def check_archive(wheel: Path) -> None:
    """Refuse a wheel whose members leave its folder, are links or occur twice, or without WHEEL.

    A file that is no archive at all is left to the installer.

    Raises:
        InstallationError: It names the member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile):
        return
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename
        path = posixpath.normpath(name)
        if name.startswith("/") or path == ".." or path.startswith("../") or "\0" in name:
            raise InstallationError(
                f"The wheel {wheel.name!r} has a file {name!r} trying to install outside the target"
                " directory"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InstallationError(f"The wheel {wheel.name!r} has a symbolic link {name!r}")
        if path in seen:
            raise InstallationError(f"The wheel {wheel.name!r} has two files {name!r}")
        seen.add(path)
    if not any(_is_wheel_file(path) for path in seen):
        raise InstallationError(
            f"The wheel {wheel.name!r} is invalid: no file WHEEL in its .dist-info folder"
        )


def _is_wheel_file(path: str) -> bool:
    folder, _, name = path.partition("/")
    return folder.endswith(".dist-info") and name == "WHEEL"
