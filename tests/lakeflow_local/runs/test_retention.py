"""What is removed by itself: old runs, environments that nobody used, what kills left behind."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from databricks.sdk.errors import ResourceDoesNotExist

from lakeflow_local import daemon
from lakeflow_local.compute.clusters import KEPT_ENVIRONMENTS
from lakeflow_local.compute.environments import FACTS
from tests.lakeflow_local.helpers import (
    connect,
    probe_task,
    probe_wheel,
    run_once,
    start_cluster,
    until,
    upload,
)

DAY = 86_400


def test_old_runs_and_unused_environments(state: Path, tmp_path: Path) -> None:
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    old, _ = run_once(client, probe_task(cluster, wheel, "echo"))
    kept, _ = run_once(client, probe_task(cluster, wheel, "echo"))
    assert daemon.down()

    folder = state / "local"
    with sqlite3.connect(folder / "workspace.sqlite") as database:
        database.execute(
            "UPDATE runs SET ended = ended - ? WHERE run_id = ?", (61 * DAY * 1000, old.run_id)
        )
        (used,) = database.execute("SELECT environment FROM clusters").fetchone()
    database.close()
    environments = [path for path in (folder / "environments").iterdir() if path.name[0] != "."]
    assert len(environments) == 2  # a Python, and a Python with the wheel
    for path in environments:
        os.utime(path / FACTS, (time.time() - 31 * DAY,) * 2)

    client = connect(daemon.ensure_up())
    until(lambda: (not (folder / "runs" / str(old.run_id)).exists()) or None)
    assert old.run_id
    assert kept.run_id
    with pytest.raises(ResourceDoesNotExist):
        until(lambda: client.jobs.get_run(old.run_id or 0).end_time and None)
    assert client.jobs.get_run(kept.run_id).as_dict() == kept.as_dict()
    assert (folder / "runs" / str(kept.run_id)).exists()
    left = {path.name for path in (folder / "environments").iterdir() if path.name[0] != "."}
    assert left == {used}


def test_what_nothing_needs_is_removed_at_the_next_start(state: Path, tmp_path: Path) -> None:
    """Folders that a killed server left, its code, and environments that are too many."""
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    run, _ = run_once(client, probe_task(cluster, wheel, "echo"))
    assert daemon.down()
    folder = state / "local"
    kept = [folder / "runs" / str(run.run_id), folder / "clusters" / cluster]
    strays = [folder / "runs" / "999999", folder / "clusters" / "gone", folder / "server" / "old"]
    for stray in strays:
        (stray / "deep").mkdir(parents=True)
    environments = folder / "environments"
    used = {path.name for path in environments.iterdir() if path.name[0] != "."}
    for age in range(KEPT_ENVIRONMENTS + 1):
        facts = environments / f"unused-{age}" / FACTS
        facts.parent.mkdir()
        facts.write_text("{}")
        os.utime(facts, (time.time() - 3600 - age,) * 2)

    daemon.ensure_up()
    until(lambda: not any(stray.exists() for stray in strays) or None)
    assert all(path.exists() for path in kept)
    newest = {f"unused-{age}" for age in range(KEPT_ENVIRONMENTS - 1)}  # a Python is one more
    until(lambda: {path.name for path in environments.glob("[!.]*")} == used | newest or None)


def test_a_long_log_is_put_aside(state: Path) -> None:
    daemon.ensure_up()
    assert daemon.down()
    log = state / "local" / "server.log"
    log.write_bytes(b"x" * (daemon.MAX_LOG_BYTES + 1))
    daemon.ensure_up()
    assert log.stat().st_size < daemon.MAX_LOG_BYTES
    assert log.with_name("server.log.old").stat().st_size > daemon.MAX_LOG_BYTES
