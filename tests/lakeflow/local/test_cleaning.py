"""What is removed by itself: runs after 60 days, environments that nobody used for 30."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from databricks.sdk.errors import ResourceDoesNotExist

from lakeflow.local import daemon
from lakeflow.local.environments import FACTS
from tests.lakeflow.local.helpers import (
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
