"""Environments of tasks: what is installed on a cluster, in folders that never change.

A cluster's installation is a chain: a Python, then one library after the other, each installed
by one `uv pip install`, as Databricks does with pip. Each link of the chain is a folder named by
a digest of all links before it. A running task keeps its folder while the cluster gets new
libraries, clusters with the same chain share folders, and an existing folder needs no call of uv.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from lakeflow_local.compute.errors import InstallationError
from lakeflow_local.compute.interpreters import Interpreter
from lakeflow_local.compute.wheel_archive import check_archive

FACTS = "lakeflow-environment.json"


@dataclass(frozen=True)
class Wheel:
    """A wheel file to install. `name` is normalized."""

    path: Path
    name: str
    version: str


@dataclass(frozen=True)
class Requirement:
    """A requirement such as `six==1.16` to install from an index; None is the default index."""

    text: str
    index: str | None = None


@dataclass(frozen=True)
class Requirements:
    """Lines of a requirements file, installed at once. Paths in them are the workspace's.

    `find` returns the real file of such a path, or raises FileNotFoundError.
    """

    lines: tuple[str, ...]
    find: Callable[[str], Path]


Library = Wheel | Requirement | Requirements

WORKSPACE_PATH = re.compile(r"(?:dbfs:)?/(?:Workspace|Volumes|dbfs)/[^\s\[;]+|dbfs:/[^\s\[;]+")
"""In a line such as `/Volumes/c/s/v/a-1.0-py3-none-any.whl[extra]` or `-r /Workspace/x.txt`."""


@dataclass(frozen=True)
class EntryPoint:
    group: str
    name: str
    value: str


@dataclass(frozen=True)
class Environment:
    """An installed chain. `installed` maps normalized names to versions."""

    key: str
    folder: Path
    installed: Mapping[str, str]
    entry_points: Mapping[str, tuple[EntryPoint, ...]]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def has(self, wheel: Wheel) -> bool:
        """Return whether name and version are installed, so that an installer would do nothing."""
        version = self.installed.get(wheel.name)
        try:
            return version is not None and Version(version) == Version(wheel.version)
        except InvalidVersion:
            return version == wheel.version

    def entry_point(self, package: str, name: str) -> str | None:
        """Return `module:attribute` of an entry point in any group of a distribution.

        Without one of that name, Databricks calls `package.name()`. None if it is not installed.
        """
        distribution = canonicalize_name(package)
        if distribution not in self.installed:
            return None
        for entry_point in self.entry_points.get(distribution, ()):
            if entry_point.name == name:
                return entry_point.value.partition("[")[0].strip()
        return f"{package.replace('-', '_')}:{name}"


def read_wheel_name(path: Path) -> Wheel:
    """Read name and version from a wheel's file name.

    Raises:
        InstallationError: it is not the name of a wheel (PEP 427).
    """
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise InstallationError(f"{path.name} is not a wheel's file name: {error}") from None
    return Wheel(path, name, str(version))


class Environments:
    """Creates and finds environments, each in its own folder; the only caller of uv."""

    def __init__(self, folder: Path, uv: str) -> None:
        self._folder = folder
        self._drafts = folder / ".drafts"
        self._uv = uv
        self._loaded: dict[str, Environment] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        shutil.rmtree(self._drafts, ignore_errors=True)
        self._drafts.mkdir(parents=True)

    def find(self, key: str) -> Environment | None:
        """Return an environment; None if it does not exist."""
        if key not in self._loaded:
            folder = self._folder / key
            try:
                facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
            entry_points = {
                name: tuple(EntryPoint(**fields) for fields in found)
                for name, found in facts["entry_points"].items()
            }
            self._loaded[key] = Environment(key, folder, facts["installed"], entry_points)
        return self._loaded[key]

    def remove_unused(self, keep: Collection[str], before: float, most: int) -> None:
        """Remove environments that were not used since `before` (seconds since 1970), or too many.

        Those in `keep` stay, and of the others the `most` that were used last. Call it while no
        task runs. The files are removed in the background.
        """
        used = {
            facts.parent: facts.stat().st_mtime
            for facts in self._folder.glob(f"[!.]*/{FACTS}")
            if facts.parent.name not in keep
        }
        newest = sorted(used, key=lambda folder: used[folder], reverse=True)
        for position, folder in enumerate(newest):
            if position < most and used[folder] >= before:
                continue
            with self._building(folder.name):
                if (folder / FACTS).stat().st_mtime != used[folder]:
                    continue  # it has been used since
                os.replace(folder, self._drafts / folder.name)
                self._loaded.pop(folder.name, None)
            threading.Thread(
                target=shutil.rmtree,
                args=(self._drafts / folder.name, True),
                name=f"remove {folder.name}",
                daemon=True,
            ).start()

    def base(self, interpreter: Interpreter) -> Environment:
        """Return an environment without libraries.

        Raises:
            InstallationError: uv could not create it.
        """
        key = _digest("python", interpreter.path, interpreter.version)

        def fill(draft: Path) -> None:
            self._call("venv", "--relocatable", "--python", interpreter.path, str(draft))

        return self._build(key, fill)

    def extend(self, environment: Environment, library: Library) -> Environment:
        """Return an environment with one more library and its dependencies.

        Raises:
            InstallationError: uv's message.
        """
        with _copied(library, self._drafts) as (arguments, fingerprint):
            key = _digest(environment.key, *fingerprint)

            def fill(draft: Path) -> None:
                shutil.copytree(
                    environment.folder, draft, symlinks=True, copy_function=_link_or_copy
                )
                (draft / FACTS).unlink()
                python = str(draft / "bin" / "python")
                self._call("pip", "install", "--python", python, *arguments)
                _remove_stale_bytecode(draft, environment)

            return self._build(key, fill)

    def _building(self, key: str) -> threading.Lock:
        """Return the lock for creating or removing an environment."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _build(self, key: str, fill: Callable[[Path], None]) -> Environment:
        with self._building(key):
            found = self.find(key)
            if found is not None:
                os.utime(found.folder / FACTS)  # when it was last used
                return found
            # A new name each time: the uv of a killed server may still write to its own.
            folder = Path(tempfile.mkdtemp(dir=self._drafts))
            draft = folder / "environment"
            try:
                fill(draft)
                (draft / FACTS).write_text(json.dumps(_facts(draft)), encoding="utf-8")
                shutil.rmtree(self._folder / key, ignore_errors=True)
                os.replace(draft, self._folder / key)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            created = self.find(key)
            if created is None:
                raise InstallationError(f"the environment in {self._folder / key} cannot be read")
            return created

    def _call(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._uv, "--quiet", "--color", "never", *arguments],
            cwd=self._drafts,
            env=_tool_variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode != 0:
            raise InstallationError(done.stderr.decode(errors="replace").strip())


@contextmanager
def _copied(library: Library, drafts: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the installer's arguments for a library, and what identifies the library.

    Files are copied first, so that what is installed is what was digested.
    """
    if isinstance(library, Requirement):
        index = ["--index", library.index] if library.index else []
        yield [*index, "--", library.text], ["pypi", library.text, library.index or ""]
        return
    folder = Path(tempfile.mkdtemp(dir=drafts))
    try:
        if isinstance(library, Wheel):
            copy, digest = _copy(library.path, folder)
            yield [str(copy)], ["wheel", copy.name, digest]
        else:
            lines, digests = _with_copies(library.lines, library.find, folder)
            file = folder / "requirements.txt"
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            yield ["--requirements", str(file)], ["requirements", *library.lines, *digests]
    finally:
        shutil.rmtree(folder)


def _copy(path: Path, folder: Path) -> tuple[Path, str]:
    """Copy a file to a new folder below `folder`; return the copy and its digest.

    Raises:
        InstallationError: It is a wheel that pip would refuse.
    """
    copy = Path(tempfile.mkdtemp(dir=folder)) / path.name
    shutil.copyfile(path, copy)
    if copy.suffix == ".whl":
        check_archive(copy)
    return copy, hashlib.sha256(copy.read_bytes()).hexdigest()


def _with_copies(
    lines: Sequence[str], find: Callable[[str], Path], folder: Path
) -> tuple[list[str], list[str]]:
    """Replace workspace paths in requirements by copies; return the lines and the digests.

    A requirements file that a line names (`-r /Workspace/x.txt`) is copied in the same way.
    """
    digests: list[str] = []

    def replace(match: re.Match[str]) -> str:
        copy, digest = _copy(find(match[0]), folder)
        digests.append(digest)
        if copy.suffix == ".txt":
            text = copy.read_text(encoding="utf-8").splitlines()
            inner, inner_digests = _with_copies(text, find, folder)
            digests.extend(inner_digests)
            copy.write_text("\n".join(inner) + "\n", encoding="utf-8")
        return str(copy)

    def copied(line: str) -> str:
        return line if line.lstrip().startswith("#") else WORKSPACE_PATH.sub(replace, line)

    return [copied(line) for line in lines], digests


def _tool_variables() -> dict[str, str]:
    """Return environment variables for uv, without those that select another Python."""
    ours = ("PYTHON", "PEX_", "VIRTUAL_ENV", "CONDA_", "UV_PROJECT", "UV_PYTHON", "UV_SYSTEM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _link_or_copy(source: str, target: str) -> str:
    """Share the bytes of a file where the file system can; installers replace, never rewrite."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _site_packages(folder: Path) -> Path:
    return next((folder / "lib").glob("python3*")) / "site-packages"


def _facts(folder: Path) -> dict[str, object]:
    installed: dict[str, str] = {}
    entry_points: dict[str, list[dict[str, str]]] = {}
    for found in distributions(path=[str(_site_packages(folder))]):
        name = canonicalize_name(found.metadata["Name"])
        installed[name] = found.version
        entry_points[name] = [
            asdict(EntryPoint(point.group, point.name, point.value)) for point in found.entry_points
        ]
    return {"installed": installed, "entry_points": entry_points}


def _remove_stale_bytecode(folder: Path, parent: Environment) -> None:
    """Remove the compiled files of distributions that were installed or replaced.

    Python takes a compiled file for current if size and second of its source are the same:
    a replaced module could run as the old one.
    """
    for found in distributions(path=[str(_site_packages(folder))]):
        if parent.installed.get(canonicalize_name(found.metadata["Name"])) != found.version:
            _remove_bytecode(found)


def _remove_bytecode(distribution: Distribution) -> None:
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        if source.suffix == ".py":
            for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"):
                compiled.unlink()
