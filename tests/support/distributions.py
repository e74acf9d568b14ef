"""The project's own distributions, built, and clean environments to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from uv import find_uv_bin


def build_distribution(package: ModuleType, name: str, folder: Path) -> Path:
    """Return a package's wheel: Pants puts it into the test's folder, without Pants uv builds it.

    `name` is that of the distribution, with underscores.
    """
    built = list(Path.cwd().glob(f"{name}-*.whl"))
    if not built:
        command = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder)]
        subprocess.run([*command, str(Path(str(package.__file__)).parent)], check=True)
        built = list(folder.glob(f"{name}-*.whl"))
    (path,) = built
    return path


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which commands run as a user's would, with their own home."""

    folder: Path

    def run(
        self, *command: str | Path, code: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment and check its exit code."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DATABRICKS_", "LAKEFLOW_", "PYTEST_", "PYTHON"))
        }
        scripts = self.folder / "venv" / "bin"
        done = subprocess.run(
            [scripts / command[0], *command[1:]],
            cwd=self.folder,
            env={
                **kept,
                "PATH": os.pathsep.join([str(scripts), kept.get("PATH", os.defpath)]),
                "LAKEFLOW_STATE_DIR": str(self.folder / "state"),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def installed(self) -> set[str]:
        """Return the names of the installed distributions."""
        code = (
            "from importlib.metadata import distributions\n"
            "for it in distributions(): print(it.metadata['Name'])"
        )
        return set(self.run("python", "-c", code).stdout.split())


def create_environment(folder: Path, *requirements: str | Path) -> Environment:
    """Create a virtual environment with these requirements, and what they need, from the index."""
    uv = [find_uv_bin(), "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", python, *requirements], check=True)
    return Environment(folder)
