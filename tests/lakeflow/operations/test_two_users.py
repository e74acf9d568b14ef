"""Two people and one job: what the launcher has to grant, and what it says where it did not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.support.sources import make_source

ALICE, BOB, ROBOT = "alice@example.com", "bob@example.com", "etl-robot"
VOLUME = "/Volumes/main/default/lakeflow"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(endpoint: Endpoint, tmp_path: Path) -> Command:
    """The CLI, as somebody, with a separate state folder."""

    def command(who: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ,
            "DATABRICKS_TOKEN": daemon.token(endpoint, who),
            "LAKEFLOW_STATE_DIR": str(tmp_path / who),
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-m", "lakeflow", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_a_forgotten_grant_fails_and_a_given_one_helps(run: Command, tmp_path: Path) -> None:
    folder = str(make_source(tmp_path / "project"))
    make = ["create-job-from-source", "hers", "my-package", "--target", folder]
    created = run(ALICE, *make)
    assert created.returncode == 0, created.stderr
    job = created.stdout.strip()
    refused = run(BOB, "trigger-run", job, "a", "--wait")
    assert refused.returncode == 4
    assert f"{BOB} does not have" in refused.stderr
    assert f"on job {job}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run(BOB, "list-jobs").stdout.strip() == ""
    granted = run(ALICE, *make, "--permission", f"CAN_MANAGE_RUN:{BOB}")
    assert granted.returncode == 0, granted.stderr
    assert granted.stdout.strip() == job
    ran = run(BOB, "trigger-run", job, "a", "--wait")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"argv": ["a"]}
    assert run(BOB, "delete-job", job, "--yes").returncode == 4


def test_secrets_reach_whom_the_job_runs_as(run: Command, tmp_path: Path) -> None:
    folder = str(make_source(tmp_path / "project"))
    make = ["create-job-from-source", "for-bob", "my-package", "--target", folder]
    created = run(ALICE, *make, "--permission", f"CAN_MANAGE_RUN:{BOB}", LAKEFLOW_ROOT=VOLUME)
    assert created.returncode == 0, created.stderr
    secret = ["--secret-env-var", "SECRET_ONE"]
    ran = run(BOB, "trigger-run", created.stdout.strip(), "--wait", *secret, SECRET_ONE="12345")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["SECRET_ONE"] == 5
    scope = said["argv"][-1]
    # The scope is Bob's; Alice, as whom the job runs, may read it and nothing else.
    pruned = run(ALICE, "secrets", "prune", "--yes")
    assert scope not in pruned.stdout


def test_a_job_that_runs_as_a_service_principal(
    endpoint: Endpoint, run: Command, tmp_path: Path
) -> None:
    daemon.token(endpoint, ROBOT)
    folder = str(make_source(tmp_path / "project"))
    make = ["create-job-from-source", "robots", "my-package", "--target", folder]
    created = run(ALICE, *make, "--run-as", ROBOT, LAKEFLOW_ROOT=VOLUME)
    assert created.returncode == 0, created.stderr
    secret = ["--secret-env-var", "SECRET_ONE"]
    job = created.stdout.strip()
    ran = run(ALICE, "trigger-run", job, "--wait", *secret, SECRET_ONE="12345")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["SECRET_ONE"] == 5
