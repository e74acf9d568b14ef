"""The import contracts of pyproject.toml, checked on copies of the packages."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = (
    "pants-plugins/lakeflow_pants",
    "src/lakeflow",
    "src/lakeflow_local",
    "src/lakeflow_task",
)
UPWARD_IMPORTS = {
    "src/lakeflow/state/__init__.py": (
        "from lakeflow.cli import main",
        "The launcher imports downward",
    ),
    "src/lakeflow/specs/__init__.py": ("import subprocess", "Specs do no I/O"),
    "src/lakeflow_local/storage/__init__.py": (
        "from lakeflow_local.runs import lifecycle",
        "The local workspace imports downward",
    ),
    "src/lakeflow_local/identity/__init__.py": (
        "import lakeflow.errors",
        "The local workspace knows nothing of the launcher",
    ),
    "src/lakeflow/launcher/__init__.py": (
        "import lakeflow_local.daemon",
        "The launcher reaches the local workspace in two modules only",
    ),
    "src/lakeflow_task/__init__.py": (
        "import lakeflow.errors",
        "The task runner knows nothing of the others",
    ),
    "pants-plugins/lakeflow_pants/register.py": (
        "import lakeflow.errors",
        "The Pants plugin knows nothing of the others",
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages, their contracts and the script that checks them."""
    for package in PACKAGES:
        shutil.copytree(REPO / package, tmp_path / package)
    (tmp_path / "build-support").mkdir()
    shutil.copy(REPO / "build-support" / "contracts.py", tmp_path / "build-support")
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    return tmp_path


def check(tree: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "build-support/contracts.py"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_upward_import_breaks_its_contract(tree: Path) -> None:
    for name, (line, _) in UPWARD_IMPORTS.items():
        path = tree / name
        path.write_text(path.read_text() + f"\n{line}\n")
    code, output = check(tree)
    assert code == 1
    output = " ".join(output.split())
    for name, (_, contract) in UPWARD_IMPORTS.items():
        module = ".".join(Path(name).with_suffix("").parts[1:]).removesuffix(".__init__")
        assert f"{contract} BROKEN" in output
        assert f"- {module} ->" in output


def test_a_new_package_needs_a_layer(tree: Path) -> None:
    (tree / "src/lakeflow/helpers.py").touch()
    code, output = check(tree)
    assert code == 1
    assert "helpers" in output


def test_the_task_runner_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"lakeflow_task"}
    for path in (REPO / "src" / "lakeflow_task").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {name.partition(".")[0] for name in names} <= allowed, path
