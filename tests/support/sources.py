"""A package as source: a folder with a pyproject.toml, and a local one that it needs."""

from __future__ import annotations

from pathlib import Path

MAIN = """
import json, os, sys

def main():
    said = {"argv": sys.argv[1:]}
    if "--import" in sys.argv:
        import helper_lib, packaging
        said["helper"] = helper_lib.GREETING
        said["third_party"] = packaging.__name__
    for name in ("SECRET_ONE", "SECRET_TWO"):
        if name in os.environ:
            said[name] = len(os.environ[name])
    print(json.dumps(said))
"""


def make_source(
    folder: Path,
    *,
    flat: bool = False,
    dependencies: tuple[str, ...] = (),
    sources: str = "",
    entry_point: bool = True,
    version: str | None = "0.1.0",
) -> Path:
    """A package `my-package` in src or in flat layout; returns its folder.

    A run prints one JSON object: `argv`; with the argument `--import` what the local package
    `helper-lib` greets with (`helper`) and the name of a third-party module; and the lengths of the
    variables SECRET_ONE and SECRET_TWO where they are set.
    """
    module = folder / ("my_package" if flat else "src/my_package")
    module.mkdir(parents=True)
    (module / "__init__.py").write_text('__version__ = "2.3.4"\n')
    (module / "main.py").write_text(MAIN)
    requires = ", ".join(f'"{line}"' for line in dependencies)
    scripts = '[project.scripts]\nlakeflow-task = "my_package.main:main"\n' if entry_point else ""
    path = f"{'' if flat else 'src/'}my_package/__init__.py"
    version_line = 'dynamic = ["version"]' if version is None else f'version = "{version}"'
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "my-package"\n{version_line}\ndependencies = [{requires}]\n{scripts}'
        f'[tool.hatch.version]\npath = "{path}"\n{sources}'
    )
    return folder


def make_library(folder: Path, *, greeting: str = "hello") -> Path:
    """The local package `helper-lib`; returns its folder."""
    folder.mkdir(parents=True)
    (folder / "helper_lib.py").write_text(f"GREETING = {greeting!r}\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "helper-lib"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["helper_lib.py"]\n'
    )
    return folder
