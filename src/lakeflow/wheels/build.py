"""A folder with a pyproject.toml to wheels, through uv, each built once for what is in it.

The wheels of local packages that it needs (`[tool.uv.sources]` with `path` or `workspace`, git
submodules among them) are built too: an index could not answer for them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from platformdirs import user_cache_path

from lakeflow.errors import Refused, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NOT_SOURCE = frozenset(
    {".git", ".hg", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"}
    | {"node_modules", ".DS_Store"}
)
_MADE_BY_BUILDS = ("lib", "lib.", "bdist.", "temp.")
"""What setuptools leaves in the folder `build`."""

_SECRET = ("DATABRICKS_", "LAKEFLOW_")
# They say where the launcher's own modules are, and the build may run on another Python.
_OURS = ("PEX_", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
"""The beginnings of variables that no build is handed."""


@dataclass(frozen=True)
class Project:
    """A folder with a pyproject.toml. `needs` are the local packages that it depends on: folders,
    or archives and wheels that were built before."""

    folder: Path
    name: str
    needs: tuple[Path, ...]
    dynamic: bool
    """Whether its version is worked out when it is built, from tags of the repository say."""


def build(
    target: Path,
    package: str | None = None,
    *,
    python: str | None = None,
    without: Collection[str] = (),
    approve: Callable[[Path], None] = lambda source: None,
) -> tuple[Path, ...]:
    """The wheel of the package in the folder `target`, and after it those of the local ones it
    needs.

    `python` is a version or path for `uv build --python`: it matters where there is native code.
    `without` are environment variables that hold secrets; like `DATABRICKS_*` and `LAKEFLOW_*` they
    are kept from the build. `approve` is told each folder, archive and wheel before any code of any
    of them is run, and may raise. A wheel is built once for each content of its folder and kept in
    the user's cache folder.

    Raises UsageError where the folder holds no such package, and Refused with the compiler's or
    the build backend's own words where it does not build.
    """
    project = read_project(target)
    if package is not None and canonicalize_name(package) != canonicalize_name(project.name):
        raise UsageError(
            f"{target} holds the package {project.name!r} (pyproject.toml, [project] name), "
            f"not {package!r}"
        )
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*_SECRET, *_OURS)) and name not in without
    }
    sources: dict[Path, Project | None] = {}
    waiting = [project.folder]
    while waiting:
        source = waiting.pop(0)
        if source in sources:
            continue
        approve(source)
        sources[source] = read_project(source) if source.is_dir() else None
        waiting += one.needs if (one := sources[source]) else ()
    return tuple(
        source if source.suffix == ".whl" else _built_once(source, one, python, environ)
        for source, one in sources.items()
    )


def read_project(folder: Path) -> Project:
    """The facts of a package's folder.

    Raises UsageError without a readable pyproject.toml that names a package, and Refused where it
    depends on what can neither be built here nor be found by the cluster.
    """
    folder = folder.expanduser().resolve()
    raw = _read_toml(folder)
    table = raw.get("project")
    if not isinstance(table, dict) or not table.get("name"):
        raise UsageError(
            f"{folder / 'pyproject.toml'} names no package. It needs a table [project] with a name."
        )
    return Project(
        folder=folder,
        name=str(table["name"]),
        needs=tuple(dict.fromkeys(_needs(folder, raw, table))),
        dynamic="version" in table.get("dynamic", ()),
    )


def _read_toml(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        empty = folder.is_dir() and not any(folder.iterdir())
        remedy = " It is empty: if it is a git submodule, run `git submodule update --init`."
        raise UsageError(
            f"{folder}: there is no pyproject.toml, so no package to build."
            f"{remedy if empty else ''}"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}") from None


def _needs(folder: Path, raw: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[Path]:
    """The local packages that a project depends on (uv reference, tool.uv.sources)."""
    tool = raw.get("tool", {}).get("uv", {})
    sources = {
        canonicalize_name(name): entry if isinstance(entry, list) else [entry]
        for name, entry in {**_workspace_sources(folder), **tool.get("sources", {})}.items()
    }
    required = _required(folder, table)
    for name in sources if "dependencies" in table.get("dynamic", ()) else required:
        for source in sources.get(canonicalize_name(name), ()):
            if "path" in source:
                yield _existing(folder, name, folder / source["path"])
            elif source.get("workspace"):
                yield _member(folder, name)
            elif "git" in source or "url" in source:
                raise Refused(
                    f"{folder / 'pyproject.toml'} takes {name} from "
                    f"{source.get('git') or source.get('url')}, which a cluster would look for in "
                    f"its package index instead. Add it as a git submodule, and name its folder in "
                    f'[tool.uv.sources]: {name} = {{ path = "FOLDER" }}'
                )
    for requirement in required.values():
        if requirement.url and requirement.url.startswith("file:"):
            path = Path(requirement.url.removeprefix("file:").removeprefix("//"))
            yield _existing(folder, requirement.name, folder / path)


def _required(folder: Path, table: Mapping[str, Any]) -> dict[str, Requirement]:
    lines = list(table.get("dependencies", ()))
    for extra in table.get("optional-dependencies", {}).values():
        lines += extra
    try:
        found = [Requirement(line) for line in lines]
    except InvalidRequirement as error:
        raise UsageError(f"{folder / 'pyproject.toml'}, dependencies: {error}") from None
    return {canonicalize_name(one.name): one for one in found}


def _existing(folder: Path, name: str, path: Path) -> Path:
    if not path.exists():
        raise Refused(f"{folder / 'pyproject.toml'} takes {name} from {path}, which is not there")
    return path.resolve()


def _workspace_root(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The nearest folder above that says that it is a workspace, with its pyproject.toml."""
    for above in (folder, *folder.parents):
        if (above / "pyproject.toml").is_file():
            raw = _read_toml(above)
            if "workspace" in raw.get("tool", {}).get("uv", {}):
                return above, raw
    return None


def _workspace_sources(folder: Path) -> dict[str, Any]:
    """The sources that a workspace gives its members; only those that mean the same there."""
    root = _workspace_root(folder)
    if root is None or root[0] == folder:
        return {}
    sources = root[1]["tool"]["uv"].get("sources", {})
    return {
        name: {**entry, "path": str(root[0] / entry["path"])} if "path" in entry else entry
        for name, entry in sources.items()
        if isinstance(entry, dict)
    }


def _member(folder: Path, name: str) -> Path:
    """The folder of a workspace's member."""
    root = _workspace_root(folder)
    if root is not None:
        where, raw = root
        members = raw["tool"]["uv"]["workspace"].get("members", ())
        for found in (where, *(path for glob in members for path in sorted(where.glob(glob)))):
            if (found / "pyproject.toml").is_file():
                named = _read_toml(found).get("project", {}).get("name", "")
                if canonicalize_name(named) == canonicalize_name(name):
                    return found.resolve()
    raise Refused(
        f"{folder / 'pyproject.toml'} takes {name} from its uv workspace, which has no such member"
    )


def _built_once(
    source: Path, project: Project | None, python: str | None, environ: Mapping[str, str]
) -> Path:
    """The wheel of a folder or archive, from the cache where the same was built before."""
    key = _digest(source, project, python)
    kept = user_cache_path("lakeflow") / "wheels" / key
    there = sorted(kept.glob("*.whl"))
    if there:
        return there[0]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=kept.parent) as folder:
            made = Path(folder) / "made"
            wheel = _run_uv(source, made, python, environ)
            try:
                made.rename(kept)
            except OSError:  # another build of the same was faster
                if not (kept / wheel.name).is_file():
                    raise
            return kept / wheel.name
    except OSError as error:
        raise Refused(
            f"cannot keep the wheel in {kept}: {error.strerror or error}. Make room, or set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from error


def _run_uv(source: Path, into: Path, python: str | None, environ: Mapping[str, str]) -> Path:
    from uv import find_uv_bin

    options = ["--python", python] if python else []
    command = [find_uv_bin(), "build", "--wheel", *options, "--out-dir", str(into)]
    done = subprocess.run(
        [*command, str(source)], env=dict(environ), text=True, capture_output=True, check=False
    )
    wheels = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode != 0 or len(wheels) != 1:
        raise Refused(f"{source} does not build:\n\n{done.stderr.strip()}")
    for other in into.iterdir():
        if other != wheels[0]:
            other.unlink()
    return wheels[0]


def _digest(source: Path, project: Project | None, python: str | None) -> str:
    """What a build depends on, as far as it can be seen: the source, Python and uv."""
    digest = hashlib.sha256(f"1 {importlib.metadata.version('uv')} {python or ''}\n".encode())
    if project is not None and project.dynamic:
        digest.update(_described(source))
    for path in _files(source) if source.is_dir() else [source]:
        kind = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"{kind} {path.relative_to(source)}\n".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:32]


def _described(folder: Path) -> bytes:
    """What git makes of a folder's version: the nearest tag, the distance to it, the commit."""
    git = shutil.which("git")
    if git is None:
        return b""
    words = [git, "-C", str(folder), "describe", "--tags", "--always", "--long", "--dirty"]
    return subprocess.run(words, capture_output=True, check=False).stdout


def _files(folder: Path) -> list[Path]:
    """The files of a package's folder that its wheel may be made of, in order."""
    found = []
    seen: set[Path] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        here, top = Path(where), Path(where) == folder
        if here.resolve() in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(here.resolve())
        folders[:] = [
            name
            for name in folders
            if name not in _NOT_SOURCE
            and not name.endswith(".egg-info")
            and not (top and name == "dist")
            and not (here == folder / "build" and name.startswith(_MADE_BY_BUILDS))
        ]
        found += [here / name for name in files if name not in _NOT_SOURCE]
    return sorted(path for path in found if path.is_file())


def copy_to(wheels: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Copies of wheels in a folder. Raises Refused where that can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(Path(shutil.copy2(wheel, folder / wheel.name)) for wheel in wheels)
    except OSError as error:
        raise Refused(f"cannot write to {folder}: {error.strerror or error}") from error
