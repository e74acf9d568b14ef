from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.built_wheels import uv


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new virtual environment without pip."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"
