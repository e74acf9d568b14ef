"""The disk fills up while the local workspace is at work, and is freed again."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InternalError, NotFound

from lakeflow_local import daemon
from tests.lakeflow_local.helpers import (
    connect,
    finish,
    make_job,
    probe_task,
    probe_wheel,
    result_of,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.lakeflow_local.small_disk import run_on_small_disk

VOLUME = "/Volumes/main/default/lakeflow"
STORY = (
    "import sys; from tests.lakeflow_local.storage.test_full_disk import fill_and_free;"
    " fill_and_free()"
)


def test_full_and_free_again(tmp_path: Path) -> None:
    done = run_on_small_disk(tmp_path / "small", "24m", STORY, str(tmp_path))
    assert done.returncode == 0, done.stderr


def fill_and_free() -> None:
    """Old data stays readable, nothing is stored half, and work continues when there is space."""
    folder = Path(sys.argv[1])
    client = connect(daemon.ensure_up())
    try:
        state = daemon.state_dir() / "local"
        wheel = upload(client, probe_wheel(folder, "1.0"))
        cluster = start_cluster(client)
        job = make_job(client, [probe_task(cluster, wheel, "hold", str(folder / "pids"))])
        short = make_job(client, [probe_task(cluster, wheel, "need", str(folder / "gate"))])
        held = trigger(client, job)
        until(lambda: (folder / "pids").exists() or None)
        client.files.upload(f"{VOLUME}/kept", io.BytesIO(b"kept"))

        fillers: list[str] = []
        for size in (4 << 20, 256 << 10, 4 << 10, 512):
            while not (refusal := upload_bytes(client, name_of(fillers), size)):
                fillers.append(name_of(fillers))
            assert "No space left" in refusal
            with pytest.raises(NotFound):
                client.files.get_metadata(name_of(fillers))
        assert fillers
        assert list((state / "drafts").iterdir()) == []
        kept = client.files.download(f"{VOLUME}/kept").contents
        assert kept
        assert kept.read() == b"kept"
        assert [item.job_id for item in client.jobs.list()] == [short, job]
        assert client.jobs.get_run(held).end_time == 0

        os.kill(json.loads((folder / "pids").read_text())[0], signal.SIGKILL)
        (folder / "gate").touch()
        for filler in fillers:
            client.files.delete(filler)
        assert result_of(finish(client, trigger(client, short))) == "SUCCESS"
        assert result_of(finish(client, held)) == "FAILED"
    finally:
        daemon.down()


def name_of(fillers: Sequence[str]) -> str:
    return f"{VOLUME}/filler-{len(fillers)}"


def upload_bytes(client: WorkspaceClient, path: str, size: int) -> str:
    """Why a file of so many bytes could not be uploaded, or nothing."""
    try:
        client.files.upload(path, io.BytesIO(bytes(size)))
    except InternalError as error:
        return str(error)
    return ""
