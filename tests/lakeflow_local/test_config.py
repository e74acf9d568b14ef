"""The settings of a server, on their way through a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_local.config import ServerConfig
from lakeflow_local.server.process import parse_arguments


@pytest.mark.parametrize(
    "config",
    [
        ServerConfig(Path("/state")),
        ServerConfig(
            Path("/state in a folder"),
            port=0,
            listen="0.0.0.0",
            tls=True,
            max_processes=3,
            task_memory=256,
            namespaces=False,
            any_python=True,
            faults=Path("/faults.toml"),
            until_stdin_closes=True,
        ),
    ],
)
def test_arguments_carry_every_setting(config: ServerConfig) -> None:
    assert parse_arguments(config.arguments()) == config
