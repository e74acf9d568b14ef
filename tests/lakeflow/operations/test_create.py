"""From a folder to a job: the rows of the checklist that begin with source code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lakeflow import DeployRequest, JobOptions, Launcher
from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.sources import make_library, make_source
from tests.support.wheels import make_wheel


def lakeflow(*words: str) -> str:
    """What a command prints on stdout, without the line's end."""
    done = subprocess.run(
        [sys.executable, "-m", "lakeflow", *words], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def settings_of(job_id: int) -> dict[str, Any]:
    found: dict[str, Any] = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    return found


def test_row_0_1_a_job_from_source(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = make_source(tmp_path / "my_project")
    words = ["create-job-from-source", "row-0-1", "my-package", "--target", str(folder)]
    job_id = int(lakeflow(*words, "--max-workers", "4"))
    settings = settings_of(job_id)
    assert settings["name"] == "row-0-1"
    (task,) = settings["tasks"]
    assert [Path(library["whl"]).name.partition("-")[0] for library in task["libraries"]] == [
        "lakeflow_task",
        "my_package",
    ]
    cluster = connect().get("/api/2.1/clusters/get", cluster_id=task["existing_cluster_id"])
    assert cluster["autoscale"]["max_workers"] == 4
    assert "runs" not in connect().get("/api/2.2/jobs/runs/list", job_id=job_id)
    assert int(lakeflow(*words)) == job_id


def test_row_0_2_a_stopped_cluster_is_started(captured: CapturedLauncher, tmp_path: Path) -> None:
    cluster = captured.launcher.clusters.create("row-0-2")
    workspace = connect()
    gone = {"cluster_id": cluster.id}
    workspace.post("/api/2.1/clusters/delete", gone, repeatable=True)
    folder = make_source(tmp_path / "project")
    created = captured.launcher.create_job_from_source(
        "row-0-2", "my-package", folder, cluster_id=cluster.id
    )
    assert settings_of(created.job_id or 0)["tasks"][0]["existing_cluster_id"] == cluster.id
    assert captured.launcher.clusters.ensure_running(cluster.id).state == "RUNNING"
    assert any("starting (was TERMIN" in line for line in captured.lines)


def test_row_0_3_two_jobs_on_one_cluster(endpoint: Endpoint, tmp_path: Path) -> None:
    cluster_id = lakeflow("create-cluster", "row-0-3", "--max-workers", "4")
    assert lakeflow("create-cluster", "row-0-3") == cluster_id
    folder = str(make_source(tmp_path / "project"))
    words = ["my-package", "--target", folder, "--cluster-id", cluster_id]
    jobs = [int(lakeflow("create-job-from-source", f"row-0-3-{n}", *words)) for n in range(2)]
    assert jobs[0] != jobs[1]
    for job_id in jobs:
        assert settings_of(job_id)["tasks"][0]["existing_cluster_id"] == cluster_id
    found = connect().get("/api/2.1/clusters/get", cluster_id=cluster_id)
    assert (found["cluster_name"], found["autoscale"]["max_workers"]) == ("row-0-3", 4)


def test_row_0_4_by_hand_is_the_same_job(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = str(make_source(tmp_path / "project"))
    cluster_id = lakeflow("create-cluster", "row-0-4")
    at_once = lakeflow(
        *("create-job-from-source", "row-0-4", "my-package", "--target", folder),
        *("--cluster-id", cluster_id),
    )
    before = settings_of(int(at_once))
    wheel = lakeflow("build-wheel", "--target", folder, "--out-dir", str(tmp_path / "out"))
    path = lakeflow("upload-wheel", wheel)
    assert path.startswith("/Workspace/")
    assert lakeflow("ensure-cluster-running", cluster_id) == cluster_id
    by_hand = lakeflow("create-job", "row-0-4", path, "--cluster-id", cluster_id)
    assert by_hand == at_once
    assert settings_of(int(by_hand)) == before
    assert lakeflow("create-job", "row-0-4", wheel, "--cluster-id", cluster_id) == at_once
    assert settings_of(int(by_hand)) == before


def test_row_0_14_host_and_token_suffice(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAKEFLOW_WORKSPACE", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_AUTH_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("CI", "true")
    launcher = Launcher()
    assert launcher.workspace.host == endpoint.host
    assert launcher.workspace.origin.startswith("DATABRICKS_HOST, DATABRICKS_TOKEN")
    assert launcher.jobs.list() is not None


def test_row_0_15_a_missing_entry_point_is_named(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    folder = make_source(tmp_path / "project", entry_point=False)
    with pytest.raises(Refused) as refused:
        captured.launcher.create_job_from_source("row-0-15", "my-package", folder)
    assert '[project.scripts]\n    lakeflow-task = "my_package.main:main"' in str(refused.value)


def test_row_0_16_third_party_and_submodule_packages(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    library = make_library(tmp_path / "library", greeting="from a submodule")
    git(library, "init", "--quiet")
    git(library, "add", ".")
    git(library, "commit", "--quiet", "-m", "A library")
    source = '[tool.uv.sources]\nhelper-lib = { path = "libs/helper" }\n'
    folder = make_source(
        tmp_path / "project", dependencies=("helper-lib>=1", "packaging"), sources=source
    )
    git(folder, "init", "--quiet")
    git(folder, "submodule", "--quiet", "add", str(library), "libs/helper")
    created = captured.launcher.create_job_from_source("row-0-16", "my-package", folder)
    assert created.job_id is not None
    result = captured.launcher.trigger_run(created.job_id, ["--import"], wait=True)
    assert result.status == "succeeded", captured.progress.getvalue()
    said = json.loads(captured.out.getvalue())
    assert (said["helper"], said["third_party"]) == ("from a submodule", "packaging")


def test_row_0_17_wheels_are_kilobytes_and_need_no_docker(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    created = captured.launcher.create_job_from_source(
        "row-0-17", "my-package", make_source(tmp_path / "project", version="0.17")
    )
    assert 0 < sum(wheel.uploaded_bytes for wheel in created.wheels) < 100_000
    cluster = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert "docker_image" not in cluster
    settings = settings_of(created.job_id or 0)
    assert "docker" not in json.dumps(settings)


def test_row_0_19_a_package_of_300_modules(captured: CapturedLauncher, tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project")
    many = folder / "src/my_package/many"
    many.mkdir()
    for number in range(300):
        (many / f"module_{number}.py").write_text(f"NUMBER = {number}\n")
    (folder / "src/my_package/main.py").write_text(
        "import importlib\n"
        "def main():\n"
        "    names = [f'my_package.many.module_{n}' for n in range(300)]\n"
        "    print(sum(importlib.import_module(name).NUMBER for name in names))\n"
    )
    created = captured.launcher.create_job_from_source("row-0-19-many", "my-package", folder)
    result = captured.launcher.trigger_run(created.job_id or 0, [], wait=True)
    assert result.status == "succeeded", captured.progress.getvalue()
    assert captured.out.getvalue() == "44850\n"


def test_row_0_19_a_failed_run_is_tried_again(captured: CapturedLauncher, tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project")
    (folder / "src/my_package/main.py").write_text(
        "import pathlib, sys\n"
        "def main():\n"
        "    checkpoint = pathlib.Path(sys.argv[1])\n"
        "    if not checkpoint.exists():\n"
        "        checkpoint.write_text('half way')\n"
        "        sys.exit('not yet')\n"
        "    print('from', checkpoint.read_text())\n"
    )
    created = captured.launcher.create_job_from_source(
        "row-0-19-retried", "my-package", folder, job=JobOptions(retries=1)
    )
    result = captured.launcher.trigger_run(
        created.job_id or 0, [str(tmp_path / "point")], wait=True
    )
    assert result.status == "succeeded", captured.progress.getvalue()
    assert captured.out.getvalue().endswith("from half way\n")
    assert [it.attempt for it in captured.launcher.runs.get(result.run_id).attempts] == [0, 1]


def test_row_0_19_two_commits_are_two_artifacts(captured: CapturedLauncher, tmp_path: Path) -> None:
    folder = make_source(tmp_path / "project")
    one = captured.launcher.create_job_from_source("row-0-19-one", "my-package", folder)
    (folder / "src/my_package/main.py").write_text("def main():\n    print('new')\n")
    two = captured.launcher.create_job_from_source("row-0-19-two", "my-package", folder)
    assert one.wheels[-1].path != two.wheels[-1].path
    old = captured.launcher.trigger_run(one.job_id or 0, ["still old"], wait=True)
    new = captured.launcher.trigger_run(two.job_id or 0, [], wait=True)
    assert (old.status, new.status) == ("succeeded", "succeeded"), captured.progress.getvalue()
    assert captured.out.getvalue() == '{"argv": ["still old"]}\nnew\n'


def test_wheels_without_a_manifest(captured: CapturedLauncher, tmp_path: Path) -> None:
    points = {"console_scripts": {"lakeflow-task": "one:main"}}
    one = make_wheel(tmp_path, "one", "1", {"one.py": "def main(): pass\n"}, entry_points=points)
    two = make_wheel(tmp_path, "two", "1", {"two.py": "def main(): pass\n"}, entry_points=points)
    with pytest.raises(UsageError, match="none of these needs the others"):
        captured.launcher.jobs.create("both", [one, two])
    plan = captured.launcher.plan(DeployRequest(wheels=(one, two)))
    assert [target.target.job_name for target in plan.targets] == ["one", "two"]
    with pytest.raises(UsageError, match=r"/Workspace/nowhere-1-py3-none-any\.whl not found"):
        captured.launcher.jobs.create("none", ["/Workspace/nowhere-1-py3-none-any.whl"])
    with pytest.raises(UsageError, match="nothing to deploy"):
        captured.launcher.deploy()


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    allowed = ["-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", str(folder), *identity, *allowed, *words], check=True)
