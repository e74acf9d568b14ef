"""The distribution `lakeflow-launcher`, as it is built."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

import lakeflow
from lakeflow.wheel import Wheel, read_wheel

PACKAGE = Path(lakeflow.__file__).parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel: Pants lays it into the test's folder; without Pants uv builds it."""
    built = list(Path.cwd().glob("lakeflow_launcher-*.whl"))
    if not built:
        folder = tmp_path_factory.mktemp("built")
        command = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder)]
        subprocess.run([*command, str(PACKAGE)], check=True)
        built = list(folder.glob("*.whl"))
    (path,) = built
    return read_wheel(path)


def test_it_holds_every_module_and_page(wheel: Wheel) -> None:
    parts = [*PACKAGE.rglob("*.py"), *(PACKAGE / "local" / "ui").rglob("*.*")]
    files = {f"lakeflow/{path.relative_to(PACKAGE)}" for path in parts if path.suffix != ".pyc"}
    with zipfile.ZipFile(wheel.path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files | {"lakeflow/py.typed"}


def test_it_says_what_it_is(wheel: Wheel) -> None:
    assert str(wheel.version) == lakeflow.__version__
    assert wheel.entry_points["console_scripts"] == {"lakeflow": "lakeflow.cli:main"}
    assert wheel.entry_points["pytest11"] == {"lakeflow": "lakeflow.local.pytest"}
    assert f"lakeflow-task=={lakeflow.__version__}" in {str(need) for need in wheel.requires}
