"""Runtimes whose Python this machine does not have."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest

from lakeflow_local import daemon
from lakeflow_local.compute.interpreters import RUNTIMES, SERVERLESS
from tests.lakeflow_local.helpers import connect, logs, python_task, result_of, run_once

PROGRAM = "import sys; print('%d.%d' % sys.version_info[:2])"


@pytest.fixture
def few_pythons(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no Python is found but the one that runs this, and those below /opt."""
    nowhere = state / "nowhere"
    nowhere.mkdir()
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "PATH"):
        monkeypatch.setenv(name, str(nowhere))


def missing_runtime(client: WorkspaceClient) -> str:
    offered = {version.key for version in client.clusters.spark_versions().versions or []}
    missing = [runtime.key for runtime in RUNTIMES if runtime.key not in offered]
    if not missing:
        pytest.skip("every Python of a runtime is below /opt")
    return missing[0]


def create(client: WorkspaceClient, runtime: str) -> str:
    cluster = client.clusters.create_and_wait(
        cluster_name="test", spark_version=runtime, node_type_id="local.small", num_workers=0
    )
    assert cluster.cluster_id
    return cluster.cluster_id


@pytest.mark.usefixtures("few_pythons")
def test_any_python_replaces_a_missing_one_with_the_nearest() -> None:
    client = connect(daemon.ensure_up())
    runtime = missing_runtime(client)
    with pytest.raises(BadRequest, match=r"which this machine does not have .*--any-python"):
        create(client, runtime)
    daemon.down()

    client = connect(daemon.ensure_up(any_python=True))
    offered = [version.key for version in client.clusters.spark_versions().versions or []]
    assert offered == [known.key for known in RUNTIMES]
    run, result = run_once(client, python_task(client, create(client, runtime), PROGRAM))
    assert result_of(run) == "SUCCESS"
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not any(os.scandir("/opt")):
        assert logs(result) == f"{here}\n"
    assert logs(result).strip() not in {known.python for known in RUNTIMES if known.key == runtime}
    with pytest.raises(BadRequest, match=r"Spark version 99\.9 is not supported"):
        create(client, "99.9")


def test_the_python_of_every_serverless_environment_may_have_a_stand_in() -> None:
    assert set(SERVERLESS.values()) <= {runtime.python for runtime in RUNTIMES}
