"""The distributions `lakeflow-launcher` and `lakeflow-local`, as they are built."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import lakeflow
import lakeflow_local
import lakeflow_task
from lakeflow.wheels.wheel import Wheel, read_wheel
from lakeflow_local.daemon import Endpoint
from tests.support.distributions import Environment, build_distribution, create_environment
from tests.support.packages import make_project


@pytest.fixture(scope="module", params=[lakeflow, lakeflow_local], ids=lambda it: it.__name__)
def package(request: pytest.FixtureRequest) -> ModuleType:
    package: ModuleType = request.param
    return package


@pytest.fixture(scope="module")
def wheel(package: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The package's wheel."""
    folder = tmp_path_factory.mktemp("built")
    return read_wheel(build_distribution(package, DISTRIBUTIONS[package.__name__], folder))


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
def test_the_local_workspace_has_a_command_and_a_pytest_plugin(wheel: Wheel) -> None:
    assert wheel.entry_points["console_scripts"] == {"lakeflow-local": "lakeflow_local.cli:main"}
    assert wheel.entry_points["pytest11"] == {"lakeflow_local": "lakeflow_local.pytest"}
    assert lakeflow_local.__version__ == lakeflow.__version__


@pytest.fixture(scope="module")
def launcher_alone(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the launcher and its runner, but without the local workspace."""
    folder = tmp_path_factory.mktemp("launcher")
    packages = {"lakeflow_launcher": lakeflow, "lakeflow_task": lakeflow_task}
    wheels = [build_distribution(package, name, folder) for name, package in packages.items()]
    return create_environment(folder, *wheels)


def test_the_launcher_alone_deploys_to_a_given_workspace(
    launcher_alone: Environment, endpoint: Endpoint, tmp_path: Path
) -> None:
    assert "lakeflow-local" not in launcher_alone.installed()
    command = ["lakeflow", "deploy", "--manifest", str(make_project(tmp_path)), "--run", "alone"]
    done = launcher_alone.run(
        *command,
        DATABRICKS_HOST=endpoint.host,
        DATABRICKS_TOKEN=endpoint.token,
        LAKEFLOW_WORKSPACE="databricks",
    )
    assert '"argv": ["alone"]' in done.stdout + done.stderr


@pytest.mark.parametrize("words", [["list-jobs", "--local"], ["local", "up"], ["local"]])
def test_the_launcher_alone_says_how_to_install_the_local_workspace(
    launcher_alone: Environment, words: list[str]
) -> None:
    refused = launcher_alone.run("lakeflow", *words, code=4)
    assert refused.stdout == ""
    assert "lakeflow: the local workspace is not installed" in refused.stderr
    assert "hint: install it with `pip install 'lakeflow-launcher[local]'`" in refused.stderr


def test_the_launcher_alone_has_help(launcher_alone: Environment) -> None:
    assert "local workspace" in launcher_alone.run("lakeflow", "--help").stdout
