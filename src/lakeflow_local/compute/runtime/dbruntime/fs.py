"""`dbutils.fs`: files on DBFS, volumes, in the workspace, and on the driver (`file:/`).

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


class Location(NamedTuple):
    """A file: its path in `dbutils`, and its real path."""

    shown: str
    real: str


def _locate(path: str) -> Location:
    """Resolve a path: `dbfs:/x` and `/x` are DBFS, a volume or the workspace, `file:/x` local."""
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
    return Location(f"{scheme}:{clean}", real)


def _existing(path: str) -> Location:
    location = _locate(path)
    if not os.path.exists(location.real):
        raise _missing(location)
    return location


def _missing(location: Location) -> ExecutionError:
    return ExecutionError(
        f"java.io.FileNotFoundException: No such file or directory {location.shown}"
    )


def _info(location: Location) -> FileInfo:
    stat = os.stat(location.real)
    name = os.path.basename(location.shown)
    modified = stat.st_mtime_ns // 1_000_000
    if os.path.isdir(location.real):
        return FileInfo(f"{location.shown}/", f"{name}/", 0, modified)
    return FileInfo(location.shown, name, stat.st_size, modified)


class FileSystem:
    """`dbutils.fs`; methods and parameters have Databricks' names."""

    def ls(self, dir: str) -> Sequence[FileInfo]:
        location = _existing(dir)
        if not os.path.isdir(location.real):
            return [_info(location)]
        base = location.shown.rstrip("/")
        names = sorted(os.listdir(location.real))
        return [
            _info(Location(f"{base}/{name}", os.path.join(location.real, name))) for name in names
        ]

    def mkdirs(self, dir: str) -> bool:
        location = _locate(dir)
        try:
            os.makedirs(location.real, exist_ok=True)
        except FileExistsError:
            raise ExecutionError(
                f"org.apache.hadoop.fs.FileAlreadyExistsException: {location.shown} is a file"
            ) from None
        return True

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        location = _locate(file)
        content = contents.encode()
        if os.path.isdir(location.real) or (os.path.exists(location.real) and not overwrite):
            raise ExecutionError(
                f"org.apache.hadoop.fs.FileAlreadyExistsException: {location.shown} already exists"
            )
        os.makedirs(os.path.dirname(location.real), exist_ok=True)
        with open(location.real, "wb") as target:
            target.write(content)
        print(f"Wrote {len(content)} bytes.")
        return True

    def head(self, file: str, maxBytes: int = 65536) -> str:
        location = _existing(file)
        if os.path.isdir(location.real):
            raise ExecutionError(f"java.io.FileNotFoundException: {location.shown} is a directory")
        with open(location.real, "rb") as source:
            return source.read(maxBytes).decode("utf-8", errors="replace")

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file or folder; return False if it does not exist."""
        location = _locate(dir)
        if not os.path.lexists(location.real):
            return False
        if not os.path.isdir(location.real) or os.path.islink(location.real):
            os.unlink(location.real)
        elif recurse:
            shutil.rmtree(location.real)
        else:
            try:
                os.rmdir(location.real)
            except OSError:
                raise ExecutionError(
                    f"java.io.IOException: Directory {location.shown} is not empty. Use"
                    " recurse=True to remove it with all that it holds."
                ) from None
        return True

    # `from` is a keyword of Python: callers name these by position.
    def cp(self, source: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or with `recurse` the content of a folder, replacing existing files."""
        before, after = _existing(source), _locate(to)
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
        """Copy, then remove, as Databricks does; it works across file systems."""
        self.cp(source, to, recurse)
        return self.rm(source, recurse)

    def _copy_file(self, before: Location, after: Location) -> None:
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
