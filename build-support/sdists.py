"""Build the source distributions of well-known packages with `lakeflow build-wheel`.

Prints a table as Markdown. Needs the package index, and for some of them a C, C++ or Rust compiler.
Usage: sdists.py [NAME...]   with lakeflow-launcher installed, or src on PYTHONPATH
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin

PACKAGES: Mapping[str, tuple[str, str]] = {
    "docopt": ("0.6.2", "setup.py"),
    "mccabe": ("0.7.0", "setup.py"),
    "six": ("1.17.0", "setup.py, setup.cfg"),
    "python-dateutil": ("2.9.0.post0", "setup.cfg"),
    "requests": ("2.32.5", "setuptools"),
    "attrs": ("25.4.0", "hatch"),
    "click": ("8.3.1", "flit"),
    "flask": ("3.1.2", "flit"),
    "rich": ("14.2.0", "Poetry"),
    "tomlkit": ("0.13.3", "Poetry"),
    "unearth": ("0.18.0", "pdm"),
    "poetry-core": ("2.2.1", "in-tree"),
    "markupsafe": ("3.0.3", "setuptools, C"),
    "ujson": ("5.11.0", "setuptools, C++"),
    "psutil": ("7.1.3", "setuptools, C"),
    "frozenlist": ("1.8.0", "in-tree, Cython"),
    "pyyaml": ("6.0.3", "setuptools, Cython"),
    "rpds-py": ("0.29.0", "maturin"),
    "bcrypt": ("5.0.0", "setuptools-rust"),
    "contourpy": ("1.3.3", "meson, C++"),
    "pybind11": ("3.0.1", "scikit-build-core"),
    "python-ldap": ("3.4.5", "setuptools, libldap"),
}


def main(names: list[str]) -> int:
    """Print a row for each package. Returns the exit code: 0."""
    print("| package | built with | result | seconds |\n|---|---|---|---|", flush=True)
    for name in names or PACKAGES:
        version, backend = PACKAGES[name]
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            result = build(f"{name}=={version}", Path(folder))
            seconds = time.monotonic() - start
        print(f"| {name} {version} | {backend} | {result} | {seconds:.0f} |", flush=True)
    return 0


def build(requirement: str, folder: Path) -> str:
    """Download a source distribution and build it; returns the wheel's name or the last error."""
    pip = [find_uv_bin(), "tool", "run", "--quiet", "--python", sys.executable, "pip", "download"]
    options = ["--quiet", "--no-deps", "--no-binary", requirement.partition("==")[0]]
    fetched = subprocess.run(
        [*pip, *options, requirement, "--dest", str(folder)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        return f"not downloaded: {last_line(fetched.stderr)}"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    launcher = [sys.executable, "-m", "lakeflow", "build-wheel", "--target", str(source)]
    done = subprocess.run(
        [*launcher, "--python", sys.executable, "--out-dir", str(folder / "dist")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"refused ({done.returncode}): {last_line(done.stderr)}"
    return Path(done.stdout.splitlines()[0]).name


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
