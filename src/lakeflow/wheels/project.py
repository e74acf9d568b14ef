"""Read what the folder of a Python package says before it is built.

Any folder that `uv build` accepts is a package: one with a `[project]` table (PEP 621), with
`[tool.poetry]`, with another `[build-system]`, or with a setup.cfg or setup.py alone. Where the
name is only known to the build, it is read from the built wheel.
"""

from __future__ import annotations

import configparser
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lakeflow.errors import Refused, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SETUPTOOLS_FILES = ("setup.cfg", "setup.py")


@dataclass(frozen=True)
class Project:
    """A folder with a package.

    `name` is None if only the build knows it. `needs` are the local packages that it depends on:
    folders, or archives and wheels that were built before. `dynamic` says that the version may
    depend on more than the files, such as tags of the repository.
    """

    folder: Path
    name: str | None
    needs: tuple[Path, ...]
    dynamic: bool


def read_project(folder: Path) -> Project:
    """Read the facts of a package's folder.

    Raises UsageError if there is no package, and Refused if it depends on what can neither be built
    here nor be found by the cluster.
    """
    folder = folder.expanduser().resolve()
    raw = _read_toml(folder)
    table = raw.get("project")
    if isinstance(table, dict) and table.get("name"):
        needs = [*_uv_needs(folder, raw, table), *_poetry_needs(folder, raw)]
        dynamic = "version" in table.get("dynamic", ())
        return Project(folder, str(table["name"]), tuple(dict.fromkeys(needs)), dynamic)
    poetry = raw.get("tool", {}).get("poetry", {})
    name = poetry.get("name") or _setup_cfg_name(folder)
    builds = "build-system" in raw or any((folder / file).is_file() for file in _SETUPTOOLS_FILES)
    if name is None and not builds:
        raise UsageError(
            f"{folder / 'pyproject.toml'} names no package\n"
            "hint: add a [project] table with a name, or the [build-system] that builds it"
        )
    needs = list(_poetry_needs(folder, raw))
    return Project(folder, name, tuple(dict.fromkeys(needs)), dynamic=True)


def _read_toml(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if any((folder / file).is_file() for file in _SETUPTOOLS_FILES):
            return {}
        hint = ""
        if folder.is_dir() and not any(folder.iterdir()):
            hint = "\nhint: it is empty; if it is a git submodule: git submodule update --init"
        raise UsageError(
            f"{folder}: no package to build: there is no pyproject.toml, setup.cfg or setup.py"
            f"{hint}"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text, which TOML has to be") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def _setup_cfg_name(folder: Path) -> str | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(folder / "setup.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None  # the build says what is wrong with it
    return parser.get("metadata", "name", fallback=None)


def _uv_needs(folder: Path, raw: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the local packages that a project depends on (uv reference, tool.uv.sources)."""
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
                    f"{source.get('git') or source.get('url')}, but a cluster would look for it in "
                    "its package index\nhint: add it as a git submodule and name its folder in "
                    f'[tool.uv.sources]: {name} = {{ path = "FOLDER" }}'
                )
    for requirement in required.values():
        path = local_path(requirement)
        if path is not None:
            yield _existing(folder, requirement.name, folder / path)


def _poetry_needs(folder: Path, raw: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the local packages among Poetry's main dependencies (path dependencies)."""
    dependencies = raw.get("tool", {}).get("poetry", {}).get("dependencies", {})
    for name, constraint in dependencies.items():
        for one in constraint if isinstance(constraint, list) else [constraint]:
            if isinstance(one, dict) and "path" in one:
                yield _existing(folder, name, folder / one["path"])


def local_path(requirement: Requirement) -> Path | None:
    """Return the path of a requirement such as `helper @ file:///src/helper`."""
    if not requirement.url or not requirement.url.startswith("file:"):
        return None
    return Path(unquote(urlsplit(requirement.url).path))


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
        raise Refused(f"{folder / 'pyproject.toml'} takes {name} from {path}, which does not exist")
    return path.resolve()


def _workspace_root(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the nearest folder above that declares a uv workspace, with its pyproject.toml."""
    for above in (folder, *folder.parents):
        if (above / "pyproject.toml").is_file():
            raw = _read_toml(above)
            if "workspace" in raw.get("tool", {}).get("uv", {}):
                return above, raw
    return None


def _workspace_sources(folder: Path) -> dict[str, Any]:
    """Return the sources that a workspace gives its members, as seen from a member."""
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
    """Return the folder of a workspace's member. Raises Refused if it does not exist."""
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
