"""What `lakeflow doctor` finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakeflow import files
from lakeflow.doctor import Finding
from lakeflow.workspace import connect
from tests.lakeflow.conftest import Told


def findings(told: Told) -> dict[str, Finding]:
    """What is found, by what was looked at."""
    return {finding.what: finding for finding in told.launcher.examine()}


def test_a_workspace_where_all_is_well(told: Told) -> None:
    found = findings(told)
    assert [it for it in found.values() if it.state == "problem"] == []
    assert found["login"].found == connect().me
    assert connect().host in found["workspace"].found
    assert "DATABRICKS_HOST" in found["configuration"].found
    assert "Python 3.11: 15.4" in found["runtimes"].found
    token = os.environ["DATABRICKS_TOKEN"]
    assert not any(token in f"{it.found}{it.remedy}" for it in found.values())
    root = f"/Workspace/Users/{connect().me}/.lakeflow"
    assert not any(entry.name.startswith(".doctor") for entry in files.children(connect(), root))


@pytest.mark.parametrize(
    ("variable", "value", "what", "complaint"),
    [
        ("DATABRICKS_TOKEN", "wrong", "workspace|login", "Invalid access token"),
        ("DATABRICKS_HOST", "http://127.0.0.1:9", "workspace", "127.0.0.1:9"),
        ("LAKEFLOW_ROOT", "/Volumes/no/such/volume", "store", "does not exist"),
        ("LAKEFLOW_ROOT", "relative", "store", "'relative'"),
        ("REQUESTS_CA_BUNDLE", "/nowhere.pem", "certificates", "no such file"),
    ],
)
def test_every_problem_has_its_remedy(
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    what: str,
    complaint: str,
) -> None:
    monkeypatch.setenv(variable, value)
    problems = [it for it in findings(Told()).values() if it.state == "problem"]
    (problem,) = (it for it in problems if it.what in what.split("|"))
    assert complaint in problem.found
    assert problem.remedy


def test_passwords_of_proxies_are_not_shown(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128")
    network = findings(told)["network"]
    assert "proxy.example:3128" in network.found
    assert "s3cret" not in network.found


def test_a_state_folder_that_cannot_be_made(
    told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "file" / "state"))
    found = findings(told)["state folder"]
    assert found.state == "problem"
    assert "LAKEFLOW_STATE_DIR" in str(found.remedy)
