"""What `lakeflow doctor` finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from lakeflow.client.connect import connect
from lakeflow.operations.doctor import Finding
from lakeflow.resources import files
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.proxy import ForwardingProxy


def findings(captured: CapturedLauncher) -> dict[str, Finding]:
    """What is found, by what was looked at."""
    return {finding.what: finding for finding in captured.launcher.diagnose()}


def test_a_workspace_where_all_is_well(captured: CapturedLauncher) -> None:
    found = findings(captured)
    assert [it for it in found.values() if it.state == "problem"] == []
    assert found["login"].found == connect().me
    assert connect().host in found["workspace"].found
    assert "DATABRICKS_HOST" in found["configuration"].found
    assert "Python 3.11: 15.4" in found["runtimes"].found
    token = os.environ["DATABRICKS_TOKEN"]
    assert not any(token in f"{it.found}{it.remedy}" for it in found.values())
    root = f"/Workspace/Users/{connect().me}/.lakeflow"
    assert not any(entry.name.startswith(".doctor") for entry in files.list_folder(connect(), root))


@pytest.mark.parametrize(
    ("variable", "value", "what", "complaint"),
    [
        ("DATABRICKS_TOKEN", "wrong", "workspace|login", "Invalid access token"),
        ("DATABRICKS_HOST", "http://127.0.0.1:9", "workspace", "127.0.0.1:9"),
        ("LAKEFLOW_ROOT", "/Volumes/no/such/volume", "store", "does not exist"),
        ("LAKEFLOW_ROOT", "relative", "store", "'relative'"),
        ("REQUESTS_CA_BUNDLE", "/nowhere.pem", "certificates", "no such file"),
        ("REQUESTS_CA_BUNDLE", __file__, "certificates", "cannot be read"),
    ],
)
def test_every_problem_has_its_remedy(
    captured: CapturedLauncher,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    what: str,
    complaint: str,
) -> None:
    monkeypatch.setenv(variable, value)
    problems = [it for it in findings(CapturedLauncher()).values() if it.state == "problem"]
    (problem,) = (it for it in problems if it.what in what.split("|"))
    assert complaint in problem.found
    assert problem.remedy


def test_passwords_of_proxies_are_not_shown(
    captured: CapturedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128")
    network = findings(captured)["network"]
    assert "proxy.example:3128" in network.found
    assert "s3cret" not in network.found


def test_the_way_to_the_workspace(
    captured: CapturedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(captured)["route"].found.endswith("directly")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ForwardingProxy(connect().host) as proxy:
        monkeypatch.setenv("http_proxy", proxy.host.replace("//", "//me:s3cret@"))
        route = findings(CapturedLauncher())["route"]
    assert route.found.endswith(f"through the proxy {proxy.host}")


def test_a_variable_that_the_sdk_does_not_read_is_noted(
    captured: CapturedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", DEFAULT_CA_BUNDLE_PATH)
    found = findings(captured)["certificates"]
    assert (found.state, "REQUESTS_CA_BUNDLE" in str(found.remedy)) == ("note", True)


def test_verbose_names_requests_and_quiet_only_problems(endpoint: Endpoint) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lakeflow", "doctor", *words]
        return subprocess.run(command, text=True, capture_output=True, check=False)

    verbose = run("--verbose")
    assert verbose.returncode == 0, verbose.stderr
    assert "GET /api/2.2/jobs/list" in verbose.stderr
    assert "login" in verbose.stdout
    quiet = run("--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert run("--quiet", "--verbose").returncode == 2


def test_a_state_folder_that_cannot_be_created(
    captured: CapturedLauncher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "file" / "state"))
    found = findings(captured)["state folder"]
    assert found.state == "problem"
    assert "LAKEFLOW_STATE_DIR" in str(found.remedy)
