"""Databases of earlier versions can be opened, those of later versions are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lakeflow_local import daemon
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.storage import outcomes
from lakeflow_local.storage.permission_repository import Grant
from lakeflow_local.storage.repositories import Storage
from lakeflow_local.storage.run_repository import RunFilter
from lakeflow_local.storage.schema import SCHEMAS
from tests.lakeflow_local.helpers import present

CLUSTER = "1126-043741-nh9tu9v8"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A database that version 0.1.0 wrote: its server was killed while a run was active."""
    script = Path(__file__).with_name("version_7.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "workspace.sqlite")) as database:
        database.executescript(f"PRAGMA synchronous = OFF;\n{script}")
        database.execute("PRAGMA user_version = 7")
    storage = Storage(tmp_path / "workspace.sqlite")
    yield storage
    storage.close()


def test_jobs_and_their_schedules(storage: Storage) -> None:
    active, scheduled = storage.jobs.list(None, before=2**53, name=None, limit=10, offset=0)
    assert (active.job_id, active.settings["name"]) == (2, "active")
    assert (scheduled.job_id, scheduled.settings["name"]) == (1, "old job")
    assert scheduled.creator == "owner@localhost"
    assert [task["task_key"] for task in scheduled.settings["tasks"]] == ["first", "loop", "last"]
    assert scheduled.settings["parameters"] == [{"name": "p", "default": "d"}]
    [due] = storage.jobs.due(2**53)
    assert due.job_id == 1
    assert storage.permissions.list("jobs", "1") == [
        Grant("user_name", "owner@localhost", "IS_OWNER")
    ]


def test_runs_repairs_and_iterations(storage: Storage) -> None:
    finished, active = sorted(storage.runs.list(RunFilter(), 10, 0), key=lambda run: run.run_id)
    assert (finished.phase, active.phase) == ("INTERNAL_ERROR", "RUNNING")
    assert present(finished.outcome).result == "FAILED"
    assert finished.job_parameters == {"p": "d"}
    assert [repair.type for repair in storage.repairs.list(finished.run_id)] == [
        "ORIGINAL",
        "REPAIR",
    ]
    assert storage.runs.run_of_token("token") == (finished.run_id, True)
    tasks = storage.task_runs.latest(finished.run_id)
    assert {key: task.outcome and task.outcome.result for key, task in tasks.items()} == {
        "first": "SUCCESS",
        "loop": "SUCCESS",
        "last": "FAILED",
    }
    assert storage.task_runs.iteration_outcomes(tasks["loop"].run_id) == {
        0: outcomes.SUCCEEDED,
        1: outcomes.SUCCEEDED,
    }
    assert tasks["last"].attempt == 1
    assert "ValueError: of the test" in (tasks["last"].error or "")
    [interrupted] = storage.task_runs.active()
    assert (interrupted.job_run_id, interrupted.phase) == (active.run_id, "RUNNING")
    assert interrupted.pid


def test_clusters_secrets_and_principals(storage: Storage) -> None:
    [cluster] = storage.clusters.list(job_clusters=30)
    assert (cluster.cluster_id, cluster.state) == (CLUSTER, "RUNNING")
    assert cluster.pinned_by == cluster.creator == "owner@localhost"
    events = [event.type for event in storage.clusters.events(CLUSTER)]
    assert events == ["CREATING", "RUNNING", "PINNED"]
    [library] = storage.cluster_libraries.list(CLUSTER)
    assert library.status == "INSTALLED"
    assert present(storage.secrets.get("scope", "KEY")).value == b"value"
    assert not present(storage.principals.by_name("Alice@example.com")).is_admin
    assert present(storage.volumes.get("main.default.lakeflow")).owner == "owner@localhost"


@pytest.mark.parametrize("version", range(len(SCHEMAS)))
def test_each_version_is_migrated(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        database.execute("PRAGMA synchronous = OFF")
        for script in SCHEMAS[:version]:
            database.executescript(script)
        database.execute(f"PRAGMA user_version = {version}")
    Storage(tmp_path / "old.sqlite").close()
    Storage(tmp_path / "new.sqlite").close()
    assert _tables(tmp_path / "old.sqlite") == _tables(tmp_path / "new.sqlite")


def _tables(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        return set(database.execute("SELECT type, name FROM sqlite_master"))


def test_a_database_of_a_newer_version_is_left_alone(state: Path) -> None:
    daemon.ensure_up()
    daemon.down()
    path = state / "local" / "workspace.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1000")
    with pytest.raises(WorkspaceError, match="was written by a newer lakeflow: use that version"):
        daemon.ensure_up()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1000,)
