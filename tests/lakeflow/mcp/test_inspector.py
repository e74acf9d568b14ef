"""The documents' configurations, word for word, run by a client that others wrote: the inspector.

In each only the path of the repository, the workspace and the port are put in, as a reader does.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from lakeflow import Launcher
from lakeflow_local import daemon
from tests.lakeflow.mcp.clients import Clients, NoClients
from tests.lakeflow.mcp.probe import deploy_probe
from tests.lakeflow.mcp.servers import http_server

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).parents[3]
INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
NETWORK = re.compile(r"(UV|PIP)_.*|SSL_CERT_FILE|(HTTPS?|NO)_PROXY", re.IGNORECASE)
"""What readers behind a proxy, or with a private index, add to `env` (docs/mcp.md)."""

REQUEST = ["fi", "fie", "fo", "fum"]


@pytest.fixture(scope="module")
def clients() -> Clients:
    try:
        return Clients()
    except NoClients as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def job_id(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The probe, in a local workspace of this module's own. `lakeflow` and `uv` are on PATH."""
    commands = tmp_path_factory.mktemp("bin")
    python_path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    shim = f'#!/bin/sh\nPYTHONPATH={python_path} exec {sys.executable} -m lakeflow "$@"\n'
    (commands / "lakeflow").write_text(shim)
    (commands / "lakeflow").chmod(0o755)
    (commands / "uv").symlink_to(find_uv_bin())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("LAKEFLOW_WORKSPACE", "local")
        yield deploy_probe(tmp_path_factory.mktemp("wheels"))
        daemon.down()


def blocks(page: str, language: str = "json") -> list[str]:
    """The blocks of a language in a document of this repository."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (REPO / page).read_text(), re.DOTALL | re.M)


def configurations(page: str) -> list[dict[str, Any]]:
    """What a document says of the server `lakeflow`, in the form of `mcpServers`."""
    read = [json.loads(block) for block in blocks(page)]
    return [it["mcpServers"]["lakeflow"] for it in read if "mcpServers" in it]


def inspect(
    clients: Clients, folder: Path, server: dict[str, Any], method: str, *more: str
) -> dict[str, Any]:
    """What the inspector prints when it calls a method of a server with this configuration."""
    config = folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"lakeflow": server}}))
    args = ["--cli", "--connect-timeout", "0", "--config", str(config), "--server", "lakeflow"]
    done = clients.run(INSPECTOR, *args, "--method", method, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def filled(server: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the repository's path, and this module's workspace in place of one."""
    text = json.dumps(server).replace("/path/to/lakeflow", str(REPO))
    result: dict[str, Any] = json.loads(text)
    if "DATABRICKS_TOKEN" in result.get("env", {}):
        endpoint = daemon.ensure_up()
        result["env"] |= {"DATABRICKS_HOST": endpoint.host, "DATABRICKS_TOKEN": endpoint.token}
    passed = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
    passed["LAKEFLOW_STATE_DIR"] = os.environ["LAKEFLOW_STATE_DIR"]
    result["env"] = {**passed, **result.get("env", {})}
    return result


def test_the_first_configuration_launches_four_copies(
    clients: Clients, job_id: int, tmp_path: Path
) -> None:
    """From a clone, with nothing but uv."""
    server = filled(configurations("docs/mcp.md")[0])
    listed = inspect(clients, tmp_path, server, "tools/list", "--strict")  # 6 if schemas are bad
    assert {"trigger_runs", "read_logs"} <= {tool["name"] for tool in listed["tools"]}

    given = {"job_id": job_id, "arguments": [[word] for word in REQUEST], "request_id": "giant"}
    pairs = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    args = ["--tool-name", "trigger_runs", "--tool-arg", *pairs]
    result = inspect(clients, tmp_path, server, "tools/call", *args)
    assert result["isError"] is False
    launcher = Launcher()
    ids = {run.id for run in launcher.runs.list(job_id)}
    assert {str(run) for run in ids} == {run["id"] for run in result["structuredContent"]["runs"]}
    finished = [launcher.runs.get(run.run_id) for run in launcher.wait(sorted(ids))]
    assert sorted(run.argv for run in finished if run.argv) == sorted((word,) for word in REQUEST)
    assert {run.state.outcome for run in finished} == {"succeeded"}


def test_an_installed_command(clients: Clients, job_id: int, tmp_path: Path) -> None:
    local = [it for it in configurations("docs/mcp.md") if it.get("command") == "lakeflow"]
    read_only = next(it for it in local if "--read-only" in it["args"])
    listed = inspect(clients, tmp_path, filled(read_only), "tools/list")
    assert all(tool["annotations"]["readOnlyHint"] for tool in listed["tools"])


def test_http(clients: Clients, job_id: int, tmp_path: Path) -> None:
    (server,) = (it for it in configurations("docs/mcp.md") if "url" in it)
    with http_server(tmp_path / "server") as running:
        text = json.dumps(server).replace("${env:LAKEFLOW_MCP_TOKEN}", running.token)
        text = text.replace(":8454/", f":{running.port}/")
        args = ["--tool-name", "list_jobs"]
        shown = inspect(clients, tmp_path, json.loads(text), "tools/call", *args)
        assert [job["id"] for job in shown["structuredContent"]["jobs"]] == [str(job_id)]


def test_every_configuration_can_be_read() -> None:
    """Those too whose clients do not run here."""
    for block in blocks("docs/mcp.md"):
        json.loads(block)
    tables = [tomllib.loads(block)["mcp_servers"] for block in blocks("docs/mcp.md", "toml")]
    assert [sorted(table["lakeflow"]) for table in tables] == [
        ["args", "command", "env_vars"],
        ["bearer_token_env_var", "url"],
    ]
