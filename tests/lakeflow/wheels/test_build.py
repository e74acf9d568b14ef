from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.archive import have_same_content
from lakeflow.wheels.build import build, copy_to
from lakeflow.wheels.wheel import read_wheel
from tests.support.sources import make_library, make_source

HELPER = '[tool.uv.sources]\nhelper-lib = { path = "libs/helper" }\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uv = subprocess.run(["sh", "-c", "echo ${UV_CACHE_DIR:-$HOME/.cache/uv}"], capture_output=True)
    monkeypatch.setenv("UV_CACHE_DIR", uv.stdout.decode().strip())
    return tmp_path / "cache"


@pytest.mark.parametrize("flat", [False, True], ids=["src", "flat"])
def test_both_layouts(tmp_path: Path, flat: bool) -> None:
    (wheel,) = build(make_source(tmp_path / "project", flat=flat), "my_package")
    read = read_wheel(wheel)
    assert (read.distribution, str(read.version)) == ("my-package", "0.1.0")
    assert read.entry_points["console_scripts"] == {"lakeflow-task": "my_package.main:main"}


def test_built_once_for_what_is_in_it(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project")
    (one,) = build(folder)
    built_at = one.stat().st_mtime_ns
    (again,) = build(folder)
    assert again == one
    assert again.stat().st_mtime_ns == built_at
    (folder / "src/my_package/more.py").write_text("X = 1\n")
    (other,) = build(folder)
    assert other != one
    (folder / "src/my_package/more.py").unlink()
    assert build(folder) == (one,)


def test_a_dynamic_version(tmp_path: Path) -> None:
    (wheel,) = build(make_source(tmp_path / "project", version=None))
    assert str(read_wheel(wheel).version) == "2.3.4"


def test_local_packages_travel_too(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project", dependencies=("helper-lib",), sources=HELPER)
    make_library(folder / "libs" / "helper")
    wheels = build(folder, "my-package")
    assert [read_wheel(wheel).distribution for wheel in wheels] == ["my-package", "helper-lib"]
    copies = copy_to(wheels, tmp_path / "out")
    assert [copy.name for copy in copies] == [wheel.name for wheel in wheels]


def test_members_of_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    source = "[tool.uv.sources]\nhelper-lib = { workspace = true }\n"
    folder = make_source(tmp_path / "packages/a", dependencies=("helper-lib",), sources=source)
    make_library(tmp_path / "packages/b")
    assert len(build(folder)) == 2


def test_nothing_of_databricks_reaches_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "canary")
    monkeypatch.setenv("MY_SECRET", "canary")
    folder = make_source(tmp_path / "project")
    (folder / "hatch_build.py").write_text(
        "import os\nfrom hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n    def initialize(self, version, data):\n"
        "        assert 'canary' not in os.environ.values()\n"
    )
    with (folder / "pyproject.toml").open("a") as project:
        project.write("[tool.hatch.build.hooks.custom]\n")
    assert build(folder, without={"MY_SECRET"})


def test_the_launchers_own_modules_do_not_reach_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "re.py").write_text("raise AssertionError('of another Python')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    assert build(make_source(tmp_path / "project"))


def test_a_submodule_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project", dependencies=("helper-lib",), sources=HELPER)
    (folder / "libs/helper").mkdir(parents=True)
    with pytest.raises(UsageError, match="git submodule update --init"):
        build(folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "names no package"),
        ("[project", "not valid TOML"),
        ('[project]\nname = "other"\nversion = "1"\n', "'other'.*not 'my-package'"),
        (
            (
                '[project]\nname = "my-package"\nversion = "1"\ndependencies = ["x"]\n'
                '[tool.uv.sources]\nx = { git = "https://example.com/x" }\n'
            ),
            "git submodule",
        ),
        (
            (
                '[project]\nname = "my-package"\nversion = "1"\ndependencies = ["x"]\n'
                '[tool.uv.sources]\nx = { path = "nowhere" }\n'
            ),
            "nowhere",
        ),
        ('[project]\nname = "my-package"\nversion = "1"\ndependencies = ["=="]\n', "dependencies"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises((UsageError, Refused), match=complaint):
        build(tmp_path, "my-package")


def test_no_folder_and_no_pyproject(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=r"no pyproject\.toml"):
            build(folder)


def test_the_build_s_own_words_come_through(tmp_path: Path, cache: Path) -> None:
    folder = make_source(tmp_path / "project")
    (folder / "hatch_build.py").write_text("raise RuntimeError('no compiler here')\n")
    with (folder / "pyproject.toml").open("a") as project:
        project.write("[tool.hatch.build.hooks.custom]\n")
    with pytest.raises(Refused, match="no compiler here"):
        build(folder)
    assert not list((cache / "lakeflow" / "wheels").iterdir())


POETRY = (
    '[tool.poetry]\nname = "my-package"\nversion = "3.1"\ndescription = ""\n'
    'authors = ["A <a@example.com>"]\npackages = [{ include = "my_package" }]\n{needs}'
    '[build-system]\nrequires = ["poetry-core==2.1.3"]\n'
    'build-backend = "poetry.core.masonry.api"\n'
)
SETUP_CFG = "[metadata]\nname = my-package\nversion = 3.1\n[options]\npackages = my_package\n"
SETUP_PY = (
    "from setuptools import setup\n"
    "setup(name='my-package', version='3.1', packages=['my_package'])\n"
)
NAMELESS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": POETRY.replace("{needs}", "")},
        {"setup.cfg": SETUP_CFG, "setup.py": "import setuptools; setuptools.setup()\n"},
        {"setup.py": SETUP_PY},
        {"pyproject.toml": NAMELESS, "setup.py": SETUP_PY},
        {"pyproject.toml": NAMELESS, "setup.cfg": SETUP_CFG},
        {"pyproject.toml": "[tool.black]\n", "setup.py": SETUP_PY},
    ],
    ids=["poetry", "setup.cfg", "setup.py", "build-system", "no setup.py", "other tools"],
)
def test_projects_without_a_project_table(tmp_path: Path, files: dict[str, str]) -> None:
    for path, text in {**files, "my_package/__init__.py": ""}.items():
        (tmp_path / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / path).write_text(text)
    (wheel,) = build(tmp_path / "project", "my-package")
    read = read_wheel(wheel)
    assert (read.distribution, str(read.version)) == ("my-package", "3.1")
    with pytest.raises(UsageError, match="holds the package 'my-package', not 'other'"):
        build(tmp_path / "project", "other")


def test_path_dependencies_of_poetry(tmp_path: Path) -> None:
    needs = '[tool.poetry.dependencies]\nhelper-lib = { path = "libs/helper" }\n'
    make_library(tmp_path / "libs" / "helper")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(POETRY.replace("{needs}", needs))
    checked: list[Path] = []
    wheels = build(tmp_path, check_source=checked.append)
    assert [read_wheel(wheel).distribution for wheel in wheels] == ["my-package", "helper-lib"]
    assert checked == [tmp_path, tmp_path / "libs" / "helper"]


def test_local_packages_that_only_the_built_wheel_names(tmp_path: Path) -> None:
    library = make_library(tmp_path / "libs" / "helper")
    (tmp_path / "project" / "my_package").mkdir(parents=True)
    (tmp_path / "project" / "my_package" / "__init__.py").touch()
    (tmp_path / "project" / "setup.py").write_text(
        SETUP_PY.replace(
            "packages=", f"install_requires=['helper-lib @ {library.as_uri()}'], packages="
        )
    )
    checked: list[Path] = []
    wheels = build(tmp_path / "project", check_source=checked.append)
    assert [read_wheel(wheel).distribution for wheel in wheels] == ["my-package", "helper-lib"]
    assert checked == [tmp_path / "project", library]


def test_a_deleted_module_is_in_no_later_wheel(tmp_path: Path) -> None:
    """setuptools would find it in the folder `build` of the build before."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "old.py").touch()
    (tmp_path / "setup.py").write_text(SETUP_PY)
    (before,) = build(tmp_path)
    (tmp_path / "my_package" / "old.py").unlink()
    (after,) = build(tmp_path)
    assert "my_package/old.py" in zipfile.ZipFile(before).namelist()
    assert "my_package/old.py" not in zipfile.ZipFile(after).namelist()


def test_c_gives_the_same_wheel_in_another_folder(tmp_path: Path) -> None:
    wheels: list[Path] = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "_c.c").write_text(
            '#include <Python.h>\nstatic struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "_c"};\n'
            "PyMODINIT_FUNC PyInit__c(void) { return PyModule_Create(&m); }\n"
        )
        (folder / "setup.py").write_text(
            "from setuptools import Extension, setup\nsetup(name='native', version='1', "
            "ext_modules=[Extension('_c', ['_c.c'], extra_compile_args=['-g'])])\n"
        )
        environ = {"XDG_CACHE_HOME": str(tmp_path / f"cache of {name}")}
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv(*environ.popitem())
            wheels += build(folder, python=sys.executable)
    first, second = wheels
    assert first != second
    assert have_same_content(first, second)
