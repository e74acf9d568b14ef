"""`dbutils.fs`: files of DBFS, of volumes and of the workspace, and with `file:/` of the driver.

Source: docs.databricks.com/dev-tools/databricks-utils#file-system-utility-dbutilsfs. Errors begin
with the name of the Java exception, which programs look for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from .errors import ExecutionError

MOUNT = os.environ.get("LAKEFLOW_MOUNT", "")
TREES = ("/Volumes", "/Workspace")


class FileInfo(NamedTuple):
    """`modificationTime` is in ms since 1970. Names and paths of folders end with `/`."""

    path: str
    name: str
    size: int
    modificationTime: int

    def isDir(self) -> bool:
        return self.name.endswith("/")

    def isFile(self) -> bool:
        return not self.isDir()


class Place(NamedTuple):
    """A file as `dbutils` names it, and where it is."""

    shown: str
    real: str


def _place(path: str) -> Place:
    """`dbfs:/x` and `/x` are DBFS, but for volumes and the workspace; `file:/x` is the driver's."""
    scheme, colon, rest = path.partition(":")
    if not colon:
        scheme, rest = "dbfs", path
    if scheme not in ("dbfs", "file"):
        raise ExecutionError(f"java.io.IOException: No FileSystem for scheme: {scheme}")
    if not rest.startswith("/"):
        raise ExecutionError(f"java.lang.IllegalArgumentException: Path must be absolute: {path}")
    clean = os.path.normpath("/" + rest.lstrip("/"))
    is_tree = clean.startswith(tuple(f"{tree}/" for tree in TREES)) or clean in TREES
    if is_tree:
        real = MOUNT + clean
    elif scheme == "file":
        real = clean
    else:
        real = f"{MOUNT}/dbfs{clean}"
    return Place(f"{scheme}:{clean}", real)


def _existing(path: str) -> Place:
    place = _place(path)
    if not os.path.exists(place.real):
        raise _missing(place)
    return place


def _missing(place: Place) -> ExecutionError:
    return ExecutionError(f"java.io.FileNotFoundException: No such file or directory {place.shown}")


def _info(place: Place) -> FileInfo:
    stat = os.stat(place.real)
    name = os.path.basename(place.shown)
    modified = stat.st_mtime_ns // 1_000_000
    if os.path.isdir(place.real):
        return FileInfo(f"{place.shown}/", f"{name}/", 0, modified)
    return FileInfo(place.shown, name, stat.st_size, modified)


class FileSystem:
    """Names of methods and parameters are Databricks' own."""

    def ls(self, dir: str) -> Sequence[FileInfo]:
        place = _existing(dir)
        if not os.path.isdir(place.real):
            return [_info(place)]
        base = place.shown.rstrip("/")
        names = sorted(os.listdir(place.real))
        return [_info(Place(f"{base}/{name}", os.path.join(place.real, name))) for name in names]

    def mkdirs(self, dir: str) -> bool:
        place = _place(dir)
        try:
            os.makedirs(place.real, exist_ok=True)
        except FileExistsError:
            raise ExecutionError(
                f"org.apache.hadoop.fs.FileAlreadyExistsException: {place.shown} is a file"
            ) from None
        return True

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        place = _place(file)
        content = contents.encode()
        if os.path.isdir(place.real) or (os.path.exists(place.real) and not overwrite):
            raise ExecutionError(
                f"org.apache.hadoop.fs.FileAlreadyExistsException: {place.shown} already exists"
            )
        os.makedirs(os.path.dirname(place.real), exist_ok=True)
        with open(place.real, "wb") as target:
            target.write(content)
        print(f"Wrote {len(content)} bytes.")
        return True

    def head(self, file: str, maxBytes: int = 65536) -> str:
        place = _existing(file)
        if os.path.isdir(place.real):
            raise ExecutionError(f"java.io.FileNotFoundException: {place.shown} is a directory")
        with open(place.real, "rb") as source:
            return source.read(maxBytes).decode("utf-8", errors="replace")

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Whether there was something to remove."""
        place = _place(dir)
        if not os.path.lexists(place.real):
            return False
        if not os.path.isdir(place.real) or os.path.islink(place.real):
            os.unlink(place.real)
        elif recurse:
            shutil.rmtree(place.real)
        else:
            try:
                os.rmdir(place.real)
            except OSError:
                raise ExecutionError(
                    f"java.io.IOException: Directory {place.shown} is not empty. Use recurse=True"
                    " to remove it with all that it holds."
                ) from None
        return True

    # `from` is a keyword of Python: callers name these by position.
    def cp(self, source: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or with `recurse` what is in a folder. What is there is replaced."""
        before, after = _existing(source), _place(to)
        if not os.path.isdir(before.real):
            self._copy_file(before, after)
            return True
        if not recurse:
            raise ExecutionError(
                "java.lang.IllegalArgumentException: Cannot copy a directory unless recurse is"
                f" set to true: {before.shown}"
            )
        if f"{after.real}/".startswith(f"{before.real}/"):
            raise ExecutionError(
                f"java.lang.IllegalArgumentException: {after.shown} is inside {before.shown}"
            )
        shutil.copytree(before.real, after.real, copy_function=shutil.copyfile, dirs_exist_ok=True)
        return True

    def mv(self, source: str, to: str, recurse: bool = False) -> bool:
        """Copy, then remove, as Databricks does: across file systems too."""
        self.cp(source, to, recurse)
        return self.rm(source, recurse)

    def _copy_file(self, before: Place, after: Place) -> None:
        target = after.real
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(before.real))
        if os.path.realpath(target) == os.path.realpath(before.real):
            raise ExecutionError(
                f"java.lang.IllegalArgumentException: {after.shown} is the file to be copied"
            )
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(before.real, target)

    def __getattr__(self, name: str) -> object:
        raise NotImplementedError(f"The local workspace does not serve dbutils.fs.{name}.")
