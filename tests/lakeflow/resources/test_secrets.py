"""Secrets of runs: from the environment to the task, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import UsageError
from lakeflow.resources.secrets import VALUE_LIMIT, read
from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.proxy import ForwardingProxy
from tests.support.sources import make_source

CANARY = "canary-8b1f0c5e-in-a-coal-mine"


def scopes() -> list[str]:
    found = connect().get("/api/2.0/secrets/scopes/list").get("scopes", [])
    return [str(scope["name"]) for scope in found]


def test_row_0_8_a_secret_reaches_the_task_and_nothing_else(
    endpoint: Endpoint, workspace_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ONE", CANARY)
    file = tmp_path / "secrets.env"
    file.write_text(f"# a comment\n\nSECRET_TWO='{CANARY}{CANARY}'\n")
    command, folder = [sys.executable, "-m", "lakeflow"], str(make_source(tmp_path / "project"))
    secret = ["--secret-env-var", "SECRET_ONE", "--secrets-file", str(file)]
    with ForwardingProxy(endpoint.host) as proxy:
        environ = {**os.environ, "DATABRICKS_HOST": proxy.host}
        created = subprocess.run(
            [*command, "create-job-from-source", "row-0-8", "my-package", "--target", folder],
            env=environ,
            text=True,
            capture_output=True,
            check=True,
        )
        job_id = created.stdout.strip()
        ran = subprocess.run(
            [*command, "trigger-run", job_id, "a", "--wait", *secret],
            env=environ,
            text=True,
            capture_output=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["argv"][:2] == ["a", "--lakeflow-secret-scope"]
    scope = said["argv"][2]
    assert scope in scopes()
    assert (said["SECRET_ONE"], said["SECRET_TWO"]) == (len(CANARY), 2 * len(CANARY))
    for request in proxy.requests:
        if request.path != "/api/2.0/secrets/put":
            assert CANARY.encode() not in request.body, request.path
    assert CANARY not in created.stdout + created.stderr + ran.stdout + ran.stderr
    holders = [
        path
        for path in workspace_folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert {path.name.partition("-")[0] for path in holders} == {"workspace.sqlite"}
    job = connect().get("/api/2.2/jobs/get", job_id=job_id)
    runs = connect().get("/api/2.2/jobs/runs/list", job_id=job_id, expand_tasks="true")
    assert CANARY not in json.dumps([job, runs])


def test_a_deploy_hands_secrets_to_its_runs(
    captured: CapturedLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ONE", CANARY)
    (wheel,) = captured.launcher.wheels.build(make_source(tmp_path / "project"))
    report = tmp_path / "report.json"
    created = captured.launcher.deploy(
        wheels=[wheel],
        name="secretive",
        calls=[["1"], ["2"]],
        secret_env_vars=["SECRET_ONE"],
        report=report,
    )
    assert created.status == "succeeded", captured.progress.getvalue()
    lines = [line[line.index('{"argv"') :] for line in captured.out.getvalue().splitlines()]
    said = [json.loads(line) for line in lines]
    assert [one["SECRET_ONE"] for one in said] == [len(CANARY)] * 2
    assert len({one["argv"][-1] for one in said}) == 1
    assert CANARY not in report.read_text() + captured.progress.getvalue() + repr(created)


@pytest.mark.parametrize("words", [["trigger-run", "1"], ["deploy", "x-1-py3-none-any.whl"]])
def test_row_0_9_an_unset_variable_is_an_error_before_anything_is_sent(
    endpoint: Endpoint, words: list[str]
) -> None:
    with ForwardingProxy(endpoint.host) as proxy:
        done = subprocess.run(
            [sys.executable, "-m", "lakeflow", *words, "--secret-env-var", "NOT_SET"],
            env={**os.environ, "DATABRICKS_HOST": proxy.host},
            text=True,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 2
    assert "NOT_SET is not set in this environment" in done.stderr
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"K": ""}, "has 0 bytes"),
        ({"K": "x" * (VALUE_LIMIT + 1)}, "131,073 bytes"),
        ({"K": "x", "k": "y"}, "the same to Databricks"),
        ({"A-B": "x"}, "cannot store a secret named"),
        ({"K" * 129: "x"}, "cannot store a secret named"),
    ],
)
def test_what_databricks_cannot_keep_is_refused(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refused:
        read(list(environ), None, environ)
    assert "xx" not in str(refused.value)


def test_a_secrets_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    with pytest.raises(UsageError, match="cannot read"):
        read([], file, {})
    file.write_text(f"A=1\n{CANARY}\n")
    with pytest.raises(UsageError, match="line 2") as refused:
        read([], file, {})
    assert CANARY not in str(refused.value)
    file.write_text('export A=1\nB="two words"\nC=a=b\n')
    assert read([], file, {}) == {"A": "1", "B": "two words", "C": "a=b"}


def test_prune_keeps_what_an_active_run_uses(
    captured: CapturedLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ONE", CANARY)
    gate = tmp_path / "gate"
    folder = make_source(tmp_path / "project")
    (folder / "src/my_package/main.py").write_text(
        "import os, sys, time\n\ndef main():\n"
        "    while not os.path.exists(sys.argv[1]):\n        time.sleep(0.1)\n"
    )
    job_id = captured.launcher.create_job_from_source("pruned", "my-package", folder).job_id or 0
    before = set(scopes())
    run = captured.launcher.trigger_run(job_id, [str(gate)], secret_env_vars=["SECRET_ONE"])
    (scope,) = set(scopes()) - before
    assert scope not in captured.launcher.secrets.prune()
    assert scope not in captured.launcher.secrets.prune(older_than_days=0)
    gate.touch()
    captured.launcher.wait([run.run_id])
    assert scope in captured.launcher.secrets.prune(older_than_days=0, dry_run=True)
    assert scope in scopes()
    assert scope in captured.launcher.secrets.prune(older_than_days=0)
    assert scope not in scopes()


def test_expired_scopes_are_found_without_the_runs_of_other_jobs(
    captured: CapturedLauncher,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_ONE", CANARY)
    folder = make_source(tmp_path / "project")
    job_id = captured.launcher.create_job_from_source("named", "my-package", folder).job_id or 0
    captured.launcher.trigger_run(job_id, ["a"], secret_env_vars=["SECRET_ONE"], wait=True)
    (scope,) = [name for name in scopes() if name.startswith(f"lakeflow-{job_id}-")]
    former = f"lakeflow-1600000000-{'0' * 24}"
    gone = f"lakeflow-999999999-1600000000-{'0' * 24}"
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        targets: list[str] = []

        def record(target: str) -> str:
            targets.append(target)
            return target

        proxy.rewrite = record
        removed = CapturedLauncher().launcher.secrets.prune(older_than_days=0)
        assert scope in removed
        listed = [target for target in targets if "/runs/list" in target]
        assert listed
        assert all("limit=24" in it and "job_id=" in it for it in listed), listed
        for name in (former, gone):
            connect().post("/api/2.0/secrets/scopes/create", {"scope": name})
        assert {former, gone} <= set(CapturedLauncher().launcher.secrets.prune())


@pytest.mark.parametrize("behavior", ["spark-connect", "no-dbutils-gateway"])
def test_secrets_reach_tasks_without_the_namespace_of_a_notebook(
    behavior: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SECRET_ONE", CANARY)
    faults = tmp_path / "faults.toml"
    faults.write_text(f'behaviors = ["{behavior}"]\n')
    endpoint = daemon.ensure_up(faults=faults)
    try:
        monkeypatch.setenv("DATABRICKS_HOST", endpoint.host)
        monkeypatch.setenv("DATABRICKS_TOKEN", endpoint.token)
        folder = make_source(tmp_path / "project")
        captured = CapturedLauncher()
        # Tasks find the SDK of this process, as a runtime has one.
        minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
        runtime = {"3.10": "14.3.x-scala2.12", "3.11": "15.4.x-scala2.12"}.get(
            minor, "16.4.x-scala2.12"
        )
        sdk = find_spec("databricks.sdk")
        assert sdk is not None
        site = str(Path(sdk.origin or "").parents[2])
        cluster = {
            "cluster_name": "with the SDK",
            "spark_version": runtime,
            "node_type_id": "local.small",
            "num_workers": 0,
            "spark_env_vars": {"PYTHONPATH": site},
        }
        cluster_id = connect().post("/api/2.1/clusters/create", cluster)["cluster_id"]
        job_id = captured.launcher.create_job_from_source(
            "secret", "my-package", folder, cluster_id=cluster_id
        ).job_id
        run = captured.launcher.trigger_run(
            job_id or 0, ["a"], secret_env_vars=["SECRET_ONE"], wait=True
        )
        (task,) = connect().get("/api/2.2/jobs/runs/get", run_id=run.run_id)["tasks"]
        output = connect().get("/api/2.2/jobs/runs/get-output", run_id=task["run_id"])
        assert task["state"]["result_state"] == "SUCCESS", output
    finally:
        daemon.down()
