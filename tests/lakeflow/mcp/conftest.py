from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters

from lakeflow.mcp.app import create_server
from lakeflow.mcp.policy import Policy
from lakeflow.mcp.server import LakeflowServer
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project

ERAS = ["auto", "legacy"]
"""Modes of the SDK's client: the newest revision of the protocol, and the handshake of before."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """Both eras of the protocol, one after the other."""
    return str(request.param)


def serving(**options: Any) -> LakeflowServer:
    """A server in this process; `options` are fields of its policy."""
    return create_server(Policy(**options))


def command(
    endpoint: Endpoint | None, state: Path, *options: str, **environ: str
) -> StdioServerParameters:
    """The command that starts a server for a workspace, or without one."""
    workspace = {}
    if endpoint is not None:
        workspace = {"DATABRICKS_HOST": endpoint.host, "DATABRICKS_TOKEN": endpoint.token}
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "lakeflow", "mcp", *options],
        env={
            **workspace,
            "LAKEFLOW_STATE_DIR": str(state),
            "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
            **environ,
        },
    )


@pytest.fixture
def captured(endpoint: Endpoint) -> CapturedLauncher:
    """A launcher of the shared local workspace."""
    return CapturedLauncher()


@pytest.fixture(scope="session")
def deployed() -> dict[str, int]:
    """The job that the first test that needs it has deployed, for all of them."""
    return {}


@pytest.fixture
def job_id(captured: CapturedLauncher, tmp_path: Path, deployed: dict[str, int]) -> int:
    """A job that lakeflow has deployed; its runs do what `make_project` says."""
    if not deployed:
        target = captured.launcher.deploy(make_project(tmp_path / "demo"), name="agents").targets[0]
        assert target.job_id is not None
        deployed["agents"] = target.job_id
    return deployed["agents"]
