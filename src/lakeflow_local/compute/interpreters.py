"""The Python interpreters of this machine, and the Databricks runtimes they can provide."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakeflow_local.compute.errors import InstallationError
from lakeflow_local.storage.files import write_atomically


@dataclass(frozen=True)
class Runtime:
    """A Databricks runtime. `python` is its minor version, `"3.12"`.

    Source: the release notes of each runtime, docs.databricks.com/release-notes/runtime/.
    """

    key: str
    name: str
    python: str


RUNTIMES = (
    Runtime("17.3.x-scala2.13", "17.3 LTS (includes Apache Spark 4.0.0, Scala 2.13)", "3.12"),
    Runtime("16.4.x-scala2.13", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.13)", "3.12"),
    Runtime("16.4.x-scala2.12", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)", "3.12"),
    Runtime("15.4.x-scala2.12", "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)", "3.11"),
    Runtime("14.3.x-scala2.12", "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)", "3.10"),
    Runtime("13.3.x-scala2.12", "13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)", "3.10"),
    Runtime("12.2.x-scala2.12", "12.2 LTS (includes Apache Spark 3.3.2, Scala 2.12)", "3.9"),
)
SERVERLESS = {"1": "3.10", "2": "3.11", "3": "3.12", "4": "3.12", "5": "3.12"}
"""The Python of each environment version: docs.databricks.com/release-notes/serverless."""

NEEDED = {runtime.python for runtime in RUNTIMES}

PROBE = """
import json, sys, venv
print(json.dumps([sys.implementation.name, "%d.%d" % sys.version_info[:2],
                  "%d.%d.%d" % sys.version_info[:3], sys.prefix == sys.base_prefix]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A working CPython of this machine. `version` is the full one, `"3.12.1"`."""

    path: str
    version: str


def runtime_python(key: str) -> str:
    """Return the minor version of a runtime's Python; for an unknown runtime a text."""
    return next((runtime.python for runtime in RUNTIMES if runtime.key == key), f"of {key}")


def serverless_python(version: str) -> str:
    return SERVERLESS.get(version, f"of the serverless environment {version}")


def candidates() -> Iterator[Path]:
    """Yield paths of interpreters: our own, uv's, pyenv's, those under `/opt` and on PATH."""
    yield Path(sys.executable).resolve()
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    roots = [
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"),
        Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions",
        Path("/opt"),
    ]
    folders = [home / "bin" for root in roots for home in sorted(root.glob("*"), reverse=True)]
    folders += [Path(folder) for folder in os.get_exec_path() if os.path.isabs(folder)]
    for folder in folders:
        if folder.name == "shims":  # pyenv's wrappers: slow, and in some folders they fail
            continue
        for minor in sorted(NEEDED):
            path = folder / f"python{minor}"
            if path.is_file():
                yield path.resolve()


def probe(path: Path) -> Sequence[str] | None:
    """Return the minor and the full version of a CPython that can create environments.

    None for virtual environments: they may be deleted at any time.
    """
    try:
        probed = subprocess.run(
            [str(path), "-I", "-c", PROBE], capture_output=True, timeout=20, check=True
        )
        name, minor, version, is_base = json.loads(probed.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return [minor, version] if name == "cpython" and is_base else None


class Interpreters:
    """Finds interpreters with the first request. The file `cache` keeps what each one is.

    With `any_python` the nearest newer, else the nearest older one replaces one that is missing.
    """

    def __init__(self, cache: Path, *, any_python: bool = False) -> None:
        self._cache = cache
        self._any_python = any_python
        self._lock = threading.Lock()
        self._found: dict[str, Interpreter] | None = None

    def by_minor(self) -> dict[str, Interpreter]:
        """Return an interpreter for each minor version: `{"3.12": Interpreter(...)}`."""
        with self._lock:
            if self._found is None:
                self._found = self._search()
            return self._found

    def runtimes(self) -> list[Runtime]:
        """Return the runtimes that this machine has a Python for, newest first."""
        return [runtime for runtime in RUNTIMES if self.find(runtime.python) is not None]

    def find(self, python: str) -> Interpreter | None:
        """Return the interpreter for a minor version, `"3.12"`; None if this machine has none."""
        found = self.by_minor()
        if python in found or not self._any_python or python not in NEEDED:
            return found.get(python)
        newer = [minor for minor in found if _minor(minor) > _minor(python)]
        nearest = min(newer, key=_minor) if newer else max(found, key=_minor, default=python)
        return found.get(nearest)

    def existing(self, python: str) -> Interpreter:
        """Return the interpreter for a minor version.

        Raises:
            InstallationError: this machine has none; the text says how to get one.
        """
        interpreter = self.find(python)
        if interpreter is None:
            raise InstallationError(
                f"this machine has no Python {python} (`uv python install {python}` installs it,"
                " `lakeflow local up --any-python` takes another)"
            )
        return interpreter

    def _search(self) -> dict[str, Interpreter]:
        try:
            cached = json.loads(self._cache.read_text())
        except (OSError, ValueError):
            cached = {}
        found: dict[str, Interpreter] = {}
        probed: dict[str, Sequence[str] | None] = {}
        for path in dict.fromkeys(candidates()):
            named = re.fullmatch(r"python(3\.\d+)", path.name)
            if named and named[1] in found:
                continue
            stat = path.stat()
            mark = f"{path}|{stat.st_mtime_ns}|{stat.st_size}"
            versions = cached[mark] if mark in cached else probe(path)
            probed[mark] = versions
            if versions and (versions[0] in NEEDED or self._any_python):
                found.setdefault(versions[0], Interpreter(str(path), versions[1]))
        write_atomically(self._cache, json.dumps(probed).encode())
        return found


def _minor(python: str) -> int:
    return int(python.partition(".")[2])
