"""Build the wheels of a package's folder with uv, each once for its content.

The wheels of local packages that it needs are built too, since no index has them:
`[tool.uv.sources]` with `path` or `workspace`, git submodules among them, Poetry's path
dependencies, and what the built wheel requires by a `file:` URL.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name
from platformdirs import user_cache_path

from lakeflow.errors import Refused, UsageError
from lakeflow.state.paths import make_private
from lakeflow.wheels.project import Project, local_path, read_project
from lakeflow.wheels.wheel import read_wheel

_NOT_SOURCE = frozenset(
    {".git", ".hg", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"}
    | {"node_modules", ".DS_Store"}
)
_BUILD_OUTPUT = ("lib", "lib.", "bdist.", "temp.")
"""What setuptools leaves in the folder `build`."""

_CREDENTIALS = ("DATABRICKS_", "LAKEFLOW_")
# The location of the launcher's own modules; the build may run on another Python.
_OWN_PYTHON = ("PEX_", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
_HIDDEN_FROM_BUILDS = (*_CREDENTIALS, *_OWN_PYTHON)
"""Prefixes of variables that no build gets."""

_EPOCH = "315532800"
"""Seconds: 1980-01-01, the first date that a zip file can hold."""


def build(
    target: Path,
    package: str | None = None,
    *,
    python: str | None = None,
    without: Collection[str] = (),
    check_source: Callable[[Path], None] = lambda source: None,
) -> tuple[Path, ...]:
    """Build the wheel of the package in a folder, followed by those of the local ones it needs.

    `python` is a version or path for `uv build --python`, which matters for native code. `without`
    names environment variables that hold secrets; like `DATABRICKS_*` and `LAKEFLOW_*` they are
    kept from the build. `check_source` is called with each folder, archive and wheel before any
    code of it runs, and may raise. A wheel is built once for each content of its folder and kept in
    the user's cache folder.

    Raises UsageError if the folder holds no such package, and Refused with the output of the
    compiler or build backend if the build fails.
    """
    project = read_project(target)
    if project.name is not None:
        _check_name(target, project.name, package)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_HIDDEN_FROM_BUILDS) and name not in without
    }
    wheels: dict[Path, Path] = {}
    needed = [project.folder]
    while needed:
        for source, one in _with_needs(needed, wheels, check_source).items():
            prebuilt = source.suffix == ".whl"
            wheels[source] = source if prebuilt else _build_once(source, one, python, environ)
        if project.name is None:
            _check_name(target, read_wheel(wheels[project.folder]).distribution, package)
        needed = _needs_of_wheels(wheels)
    return tuple(wheels.values())


def _check_name(target: Path, name: str, package: str | None) -> None:
    if canonicalize_name(name) == "unknown":
        raise UsageError(f"{target} names no package: its wheel is called {name}")
    if package is not None and canonicalize_name(package) != canonicalize_name(name):
        raise UsageError(f"{target} holds the package {name!r}, not {package!r}")


def _with_needs(
    sources: Sequence[Path], done: Collection[Path], check_source: Callable[[Path], None]
) -> dict[Path, Project | None]:
    """Return the sources and what their folders say that they need, all of them checked."""
    found: dict[Path, Project | None] = {}
    waiting = list(sources)
    while waiting:
        source = waiting.pop(0)
        if source in found or source in done:
            continue
        check_source(source)
        project = found[source] = read_project(source) if source.is_dir() else None
        waiting += project.needs if project else ()
    return found


def _needs_of_wheels(wheels: Mapping[Path, Path]) -> list[Path]:
    """Return the local packages that only the metadata of built wheels names."""
    built = {read_wheel(wheel).name for wheel in wheels.values()}
    needed = []
    for source, wheel in wheels.items():
        for requirement in read_wheel(wheel).requires:
            path = local_path(requirement)
            if path is None or canonicalize_name(requirement.name) in built:
                continue
            if not path.exists():
                raise Refused(
                    f"{source} takes {requirement.name} from {path}, which does not exist"
                )
            needed.append(path.resolve())
    return [path for path in needed if path not in wheels]


def _build_once(
    source: Path, project: Project | None, python: str | None, environ: Mapping[str, str]
) -> Path:
    """Return the wheel of a folder or archive, from the cache if the same was built before."""
    cached = user_cache_path("lakeflow") / "wheels" / _digest(source, project, python)
    found = sorted(cached.glob("*.whl"))
    if found:
        return found[0]
    try:
        make_private(cached.parent.parent)
        make_private(cached.parent)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cached.parent) as folder:
            wheel = _run_uv(source, Path(folder), python, environ)
            try:
                wheel.parent.rename(cached)
            except OSError:  # another build of the same was faster
                if not (cached / wheel.name).is_file():
                    raise
            return cached / wheel.name
    except OSError as error:
        raise Refused(
            f"cannot store the wheel in {cached}: {error.strerror or error}\n"
            "hint: free some space, or set XDG_CACHE_HOME to a writable folder"
        ) from error


def _run_uv(source: Path, folder: Path, python: str | None, environ: Mapping[str, str]) -> Path:
    """Build a wheel into a new folder below `folder`. Raises Refused."""
    from uv import find_uv_bin

    into = folder / "built"
    options = ["--python", python] if python else []
    command = [find_uv_bin(), "build", "--wheel", *options, "--out-dir", str(into)]
    done = subprocess.run(
        [*command, str(source)],
        env={**environ, **_reproducible(source, folder, environ)},
        text=True,
        capture_output=True,
        check=False,
    )
    wheels = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode != 0 or len(wheels) != 1:
        raise Refused(f"{source} does not build:\n\n{done.stderr.strip()}")
    for other in into.iterdir():
        if other != wheels[0]:
            other.unlink()
    return wheels[0]


def _reproducible(source: Path, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which the same sources give the same wheel, wherever they are.

    setuptools gets an empty folder to build in: in `build` it would find modules that have been
    deleted from the sources, and libraries whose headers have changed. The C compiler leaves out
    the path of the sources; CPPFLAGS because setuptools would replace Python's flags by CFLAGS.
    """
    config = folder / "setuptools.cfg"
    config.write_text(f"[build]\nbuild_base = {folder / 'setuptools'}\n", encoding="utf-8")
    variables = {
        "DIST_EXTRA_CONFIG": str(config),
        "SOURCE_DATE_EPOCH": environ.get("SOURCE_DATE_EPOCH", _EPOCH),
    }
    if not any(character.isspace() for character in str(source)):
        flag = f"-ffile-prefix-map={source}=."
        variables["CPPFLAGS"] = f"{environ.get('CPPFLAGS', '')} {flag}".strip()
    return variables


def _digest(source: Path, project: Project | None, python: str | None) -> str:
    """Return a digest of what a build depends on: the source, Python and uv."""
    digest = hashlib.sha256(f"2 {importlib.metadata.version('uv')} {python or ''}\n".encode())
    if project is not None and project.dynamic:
        digest.update(_git_description(source))
    for path in _files(source) if source.is_dir() else [source]:
        kind = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"{kind} {path.relative_to(source)}\n".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:32]


def _git_description(folder: Path) -> bytes:
    """Return what versions are derived from: the nearest tag, the distance to it, the commit."""
    git = shutil.which("git")
    if git is None:
        return b""
    words = [git, "-C", str(folder), "describe", "--tags", "--always", "--long", "--dirty"]
    return subprocess.run(words, capture_output=True, check=False).stdout


def _files(folder: Path) -> list[Path]:
    """Return the files of a package's folder that can end up in its wheel, sorted."""
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
            and not (here == folder / "build" and name.startswith(_BUILD_OUTPUT))
        ]
        found += [here / name for name in files if name not in _NOT_SOURCE]
    return sorted(path for path in found if path.is_file())


def copy_to(wheels: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Copy wheels to a folder. Raises Refused if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(Path(shutil.copy2(wheel, folder / wheel.name)) for wheel in wheels)
    except OSError as error:
        raise Refused(f"cannot write to {folder}: {error.strerror or error}") from error
