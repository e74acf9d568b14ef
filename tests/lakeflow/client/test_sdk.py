from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

import lakeflow

OLDEST = "0.120.0"
"""The oldest databricks-sdk that src/lakeflow/pyproject.toml allows."""

PARTS_ONLY = """
import sys
from lakeflow.client import sdk
sdk.load()
from databricks.sdk.core import Config
assert "databricks.sdk.service.jobs" not in sys.modules
"""

THEN_ALL = """
from lakeflow.client import sdk
sdk.load()
from databricks.sdk.core import Config
from databricks.sdk import errors
import databricks.sdk
from databricks.sdk import WorkspaceClient
assert databricks.sdk.core.Config is Config
assert databricks.sdk.errors is errors
assert issubclass(databricks.sdk.errors.NotFound, databricks.sdk.errors.DatabricksError)
assert databricks.sdk.service.jobs.JobSettings.__module__ == "databricks.sdk.service.jobs"
assert databricks.sdk.version.__version__
try:
    databricks.sdk.no_such_thing
except AttributeError as error:
    assert "no_such_thing" in str(error)
else:
    raise AssertionError
config = Config(host="http://127.0.0.1:9", token="t", retry_timeout_seconds=1)
assert WorkspaceClient(config=config).jobs
"""

AFTER_ALL = """
import databricks.sdk
from databricks.sdk.core import Config
from lakeflow.client import sdk
sdk.load()
from databricks.sdk.core import Config as again
assert again is Config
"""

GOOGLE_LATER = """
import sys
from lakeflow.client import sdk
sdk.load()
from databricks.sdk.core import Config
for name in ("cryptography", "google.protobuf", "databricks.sdk.service"):
    assert name not in sys.modules, name
import google.auth.credentials
from google.auth import impersonated_credentials
from google.oauth2 import service_account
from databricks.sdk import azure
assert issubclass(service_account.Credentials, google.auth.credentials.Credentials)
assert issubclass(impersonated_credentials.Credentials, google.auth.credentials.Credentials)
assert google.auth.default.__module__ == "google.auth._default"
assert azure.Workspace.__module__ == "databricks.sdk.service.provisioning"
assert azure.__name__ == "databricks.sdk.azure"
"""


@pytest.fixture(params=["installed", "oldest"])
def python(request: pytest.FixtureRequest) -> list[str]:
    """A command that runs Python beside the SDK that is installed, or the oldest we support."""
    if request.param == "installed":
        return [sys.executable]
    options = ["--quiet", "--no-project", "--isolated", "--python", sys.executable]
    return [find_uv_bin(), "run", *options, "--with", f"databricks-sdk=={OLDEST}", "python"]


@pytest.mark.parametrize("program", [PARTS_ONLY, THEN_ALL, AFTER_ALL, GOOGLE_LATER])
def test_no_more_of_the_sdk_than_is_used(python: list[str], program: str) -> None:
    source = str(Path(lakeflow.__file__).parents[1])
    path = source if python[0] != sys.executable else os.pathsep.join([source, *sys.path])
    done = subprocess.run(
        [*python, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_sdk_whose_parts_need_all_of_it_is_loaded_whole(tmp_path: Path) -> None:
    package = tmp_path / "databricks" / "sdk"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text("LIMIT = 7\nfrom . import core\n")
    (package / "errors.py").write_text("from . import LIMIT\n")
    (package / "core.py").write_text(
        "import sys\n"
        "if 'LIMIT' not in vars(sys.modules['databricks.sdk']):\n    raise ImportError\n"
    )
    program = (
        "from lakeflow.client import sdk\nsdk.load()\nimport databricks.sdk\n"
        "assert databricks.sdk.core and databricks.sdk.errors.LIMIT == databricks.sdk.LIMIT == 7\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
