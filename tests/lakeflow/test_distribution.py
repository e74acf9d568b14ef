"""The distributions `lakeflow-launcher` and `lakeflow-local`, as they are built."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from uv import find_uv_bin

import lakeflow
import lakeflow_local
from lakeflow.wheels.wheel import Wheel, read_wheel


@pytest.fixture(scope="module", params=[lakeflow, lakeflow_local], ids=lambda it: it.__name__)
def package(request: pytest.FixtureRequest) -> ModuleType:
    package: ModuleType = request.param
    return package


@pytest.fixture(scope="module")
def wheel(package: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The package's wheel: Pants lays it into the test's folder; without Pants uv builds it."""
    pattern = f"{DISTRIBUTIONS[package.__name__]}-*.whl"
    built = list(Path.cwd().glob(pattern))
    if not built:
        folder = tmp_path_factory.mktemp("built")
        command = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder)]
        subprocess.run([*command, str(Path(str(package.__file__)).parent)], check=True)
        built = list(folder.glob("*.whl"))
    (path,) = built
    return read_wheel(path)


DISTRIBUTIONS = {"lakeflow": "lakeflow_launcher", "lakeflow_local": "lakeflow_local"}


def test_it_holds_every_module_template_and_asset(package: ModuleType, wheel: Wheel) -> None:
    folder = Path(str(package.__file__)).parent
    found = {
        f"{package.__name__}/{path.relative_to(folder)}"
        for suffix in ("py", "pyi", "typed", "html", "css", "js", "svg")
        for path in folder.rglob(f"*.{suffix}")
    }
    with zipfile.ZipFile(wheel.path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == found


def test_its_version_is_the_packages(wheel: Wheel) -> None:
    assert str(wheel.version) == lakeflow.__version__


@pytest.mark.parametrize("package", [lakeflow], indirect=True, ids=["lakeflow"])
def test_the_launcher_has_a_command_and_pins_its_runner(wheel: Wheel) -> None:
    assert wheel.entry_points["console_scripts"] == {"lakeflow": "lakeflow.cli:main"}
    assert f"lakeflow-task=={lakeflow.__version__}" in {str(need) for need in wheel.requires}


@pytest.mark.parametrize("package", [lakeflow_local], indirect=True, ids=["lakeflow_local"])
def test_the_local_workspace_has_a_pytest_plugin(wheel: Wheel) -> None:
    assert wheel.entry_points["pytest11"] == {"lakeflow_local": "lakeflow_local.pytest"}
