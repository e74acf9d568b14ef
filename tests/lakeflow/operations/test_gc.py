"""Collection of what nothing needs any more."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.resources import files
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project


@pytest.fixture(params=["own folder", "volume"])
def root(
    request: pytest.FixtureRequest, captured: CapturedLauncher, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A fresh root for artifacts, in the user's own folder or on a volume that others share."""
    name = secrets.token_hex(4)
    root = f"/Workspace/Users/{connect().me}/{name}"
    if request.param == "volume":
        volume = {"catalog_name": "main", "schema_name": "default", "name": name}
        connect().post(
            "/api/2.1/unity-catalog/volumes",
            {**volume, "volume_type": "MANAGED"},
            repeatable=False,
        )
        root = f"/Volumes/main/default/{name}/lakeflow"
    monkeypatch.setenv("LAKEFLOW_ROOT", root)
    return root


def test_only_what_no_job_needs_is_collected(
    captured: CapturedLauncher, root: str, tmp_path: Path
) -> None:
    name = root.split("/")[4]
    one = captured.launcher.deploy(make_project(tmp_path / "1", greeting="one"), name=name)
    two = captured.launcher.deploy(make_project(tmp_path / "2", greeting="two"), name=name)
    kept = {wheel.path for wheel in two.targets[0].wheels}
    old = {wheel.path for wheel in one.targets[0].wheels} - kept
    assert len(old) == 2

    assert captured.launcher.wheels.plan_collection().wheels == ()  # all of it is new
    plan = captured.launcher.wheels.plan_collection(older_than=0)
    assert {path.rpartition("/")[0] for path in old} == {it.path for it in plan.wheels}
    assert {it.distribution for it in plan.wheels} == {"try-demo", "try-lib"}
    assert {change.kind for change in plan.changes} == {"delete"}
    assert files.size_of(connect(), min(old)) != files.NoFile()

    assert captured.launcher.apply(plan) == plan.wheels
    assert [files.size_of(connect(), path) for path in old] == [files.NoFile()] * 2
    assert all(files.size_of(connect(), path) != files.NoFile() for path in kept)
    assert captured.launcher.wheels.plan_collection(older_than=0).wheels == ()


def test_what_others_uploaded_or_runs_left_is_kept(
    captured: CapturedLauncher, root: str, tmp_path: Path
) -> None:
    if not root.startswith("/Volumes/"):
        pytest.skip("a folder of one's own holds nothing of others")
    other = tmp_path / "other"
    other.write_text("somebody@else")
    folder = f"{root}/artifacts/theirs/1.0"
    for name in ("uploaded-by", "theirs-1.0-py3-none-any.whl"):
        files.upload(connect(), f"{folder}/{name}", other, replace=False)
    files.upload(connect(), f"{root}/artifacts/unsigned/1.0/x.whl", other, replace=False)
    files.upload(connect(), f"{root}/runs/1/2/outputs/model", other, replace=False)
    assert captured.launcher.wheels.plan_collection(older_than=0).wheels == ()


def test_a_deploy_between_plan_and_apply_is_seen(
    captured: CapturedLauncher, root: str, tmp_path: Path
) -> None:
    name = root.split("/")[4]
    manifest = make_project(tmp_path, greeting="again")
    job_id = captured.launcher.deploy(manifest, name=name).targets[0].job_id
    assert job_id is not None
    captured.launcher.jobs.delete(job_id)

    plan = captured.launcher.wheels.plan_collection(older_than=0)
    assert plan.wheels
    CapturedLauncher().launcher.deploy(manifest, name=name)
    assert captured.launcher.apply(plan) == ()
    assert any("it is in use again" in line for line in captured.lines)


def test_what_a_cluster_has_attached_is_kept(
    captured: CapturedLauncher, root: str, tmp_path: Path
) -> None:
    name = root.split("/")[4]
    created = captured.launcher.deploy(
        make_project(tmp_path, greeting=name), name=name, calls=[["x"]]
    )
    (target,) = created.targets
    assert target.job_id is not None
    captured.launcher.jobs.delete(target.job_id)
    connect().post("/api/2.1/clusters/delete", {"cluster_id": target.cluster_id}, repeatable=True)
    assert captured.launcher.wheels.plan_collection(older_than=0).wheels == ()
    body = {"cluster_id": target.cluster_id}
    connect().post("/api/2.1/clusters/permanent-delete", body, repeatable=True)
    found = captured.launcher.wheels.plan_collection(older_than=0).wheels
    assert {it.distribution for it in found} == {"lakeflow-task", "try-demo", "try-lib"}
