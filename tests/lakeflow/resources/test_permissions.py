"""Who may do what with a job and its cluster, and who its runs act as."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError
from lakeflow.specs.job import job_options
from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy

OTHER = "11111111-2222-3333-4444-555555555555"
"""The application id of a service principal."""

BOB = "bob@example.com"


@pytest.fixture
def proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardingProxy]:
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        yield proxy


@pytest.fixture
def shared_root(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> str:
    root = f"/Workspace/Shared/{secrets.token_hex(4)}"
    monkeypatch.setenv("LAKEFLOW_ROOT", root)
    return root


def granted(kind: str, object_id: object) -> set[tuple[str, str]]:
    """Pairs of a principal and a level."""
    answer = connect().get(f"/api/2.0/permissions/{kind}/{object_id}")
    return {
        (
            str(next(value for key, value in entry.items() if key.endswith("_name"))),
            level["permission_level"],
        )
        for entry in answer["access_control_list"]
        for level in entry["all_permissions"]
        if not level.get("inherited")
    }


def test_permissions_are_granted_on_job_and_cluster_once(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    job = job_options(
        permissions=[
            "CAN_VIEW:carol@example.com",
            "CAN_MANAGE_RUN:group:admins",
            f"CAN_MANAGE:service_principal:{OTHER}",
        ]
    )
    captured = CapturedLauncher()
    created = captured.launcher.deploy(manifest, name="granted", job=job).targets[0]
    assert granted("jobs", created.job_id) >= {
        ("carol@example.com", "CAN_VIEW"),
        ("admins", "CAN_MANAGE_RUN"),
        (OTHER, "CAN_MANAGE"),
    }
    assert granted("clusters", created.cluster_id) >= {
        ("carol@example.com", "CAN_ATTACH_TO"),
        ("admins", "CAN_RESTART"),
        (OTHER, "CAN_MANAGE"),
    }
    assert any(
        "granted on cluster" in line and "CAN_RESTART to group:admins" in line
        for line in captured.lines
    )
    proxy.clear()
    again = CapturedLauncher()
    again.launcher.deploy(manifest, name="granted", job=job)
    assert {request.method for request in proxy.requests} == {"GET"}
    assert not any("granted" in line and "granted on" in line for line in again.lines)


def test_nothing_is_granted_on_a_cluster_of_somebody_s_own(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    cluster_id = captured.launcher.clusters.create("mine").id
    job = job_options(permissions=["CAN_VIEW:carol@example.com"])
    captured.launcher.deploy(manifest, name="guest", job=job, cluster_id=cluster_id)
    assert ("carol@example.com", "CAN_ATTACH_TO") not in granted("clusters", cluster_id)


def test_who_a_job_runs_as_has_to_read_the_wheels(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"--run-as {OTHER} needs LAKEFLOW_ROOT"):
        captured.launcher.deploy(make_project(tmp_path), name="as", job=job_options(run_as=OTHER))


def test_a_job_runs_as_somebody_else_on_a_cluster_that_is_theirs(
    endpoint: Endpoint, shared_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.token(endpoint, BOB)
    monkeypatch.setenv("TRY_SECRET", "hush")
    captured, manifest = CapturedLauncher(), make_project(tmp_path)
    created = captured.launcher.deploy(
        manifest,
        name="run-as",
        job=job_options(run_as=BOB),
        calls=[["a"]],
        secret_env_vars=["TRY_SECRET"],
    )
    assert created.status == "succeeded", captured.progress.getvalue()
    target = created.targets[0]
    cluster = connect().get("/api/2.1/clusters/get", cluster_id=target.cluster_id)
    assert cluster["single_user_name"] == BOB
    assert cluster["data_security_mode"] == "SINGLE_USER"
    assert (BOB, "CAN_MANAGE") in granted("clusters", target.cluster_id)
    settings = connect().get("/api/2.2/jobs/get", job_id=target.job_id)["settings"]
    assert settings["run_as"] == {"user_name": BOB}
    assert all(wheel.path.startswith(shared_root) for wheel in target.wheels)

    me = connect().me
    with pytest.raises(Refused, match=f'single_user_name: "{BOB}" -> "{me}"'):
        captured.launcher.deploy(manifest, name="run-as", job=job_options(run_as=me))
    mine = captured.launcher.clusters.create("mine").id
    with pytest.raises(Refused, match=f"dedicated to {me}.*run as {BOB}"):
        captured.launcher.deploy(
            manifest, name="run-as", job=job_options(run_as=BOB), cluster_id=mine
        )


def test_a_deploy_that_does_not_say_so_keeps_who_a_job_runs_as(
    endpoint: Endpoint, shared_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.token(endpoint, BOB)
    monkeypatch.setenv("TRY_SECRET", "hush")
    captured, manifest = CapturedLauncher(), make_project(tmp_path)
    one = captured.launcher.deploy(manifest, name="kept", job=job_options(run_as=BOB)).targets[0]
    created = captured.launcher.deploy(
        manifest, name="kept", calls=[["a"]], secret_env_vars=["TRY_SECRET"]
    )
    assert created.status == "succeeded", captured.progress.getvalue()
    assert created.targets[0].cluster_id == one.cluster_id
    settings = connect().get("/api/2.2/jobs/get", job_id=one.job_id)["settings"]
    assert settings["run_as"] == {"user_name": BOB}
