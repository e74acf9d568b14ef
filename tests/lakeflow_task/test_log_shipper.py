"""Output at full speed: nothing is lost while files are written, and no program is failed by it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow_task import log_shipper
from lakeflow_task.log_shipper import LogWriter
from lakeflow_task.storage import write_atomically
from tests.lakeflow_task.test_main import Cluster

MIB = 1 << 20


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Each release lets one file be written."""
    turns = threading.Semaphore(0)

    def write_in_turn(folder: str, name: str, data: bytes) -> None:
        turns.acquire()
        write_atomically(folder, name, data)

    monkeypatch.setattr(log_shipper, "write_atomically", write_in_turn)
    yield turns
    turns.release(1000)


def shipped(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.glob("log.*")))


def test_nothing_is_lost_while_files_are_written(tmp_path: Path, slow: threading.Semaphore) -> None:
    """The program waits for a slow folder instead."""
    writer = LogWriter(str(tmp_path))
    pieces = [bytes([97 + number % 26]) * MIB for number in range(40)]

    def work() -> None:
        for piece in pieces:
            writer.add(piece)

    adding = threading.Thread(target=work)
    adding.start()
    while adding.is_alive():
        slow.release()
        adding.join(0.01)
    slow.release(100)
    writer.close()
    assert shipped(tmp_path) == b"".join(pieces)
    assert writer.dropped == 0


def test_without_progress_output_is_dropped_counted_and_mentioned(
    tmp_path: Path, slow: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipper, "_STALL_SECONDS", 0.05)
    writer = LogWriter(str(tmp_path))
    for _ in range(20):
        writer.add(b"x" * MIB)
    assert writer.dropped == 4 * MIB
    slow.release(100)
    writer.close()
    marker = f"\n[lakeflow: {4 * MIB} bytes are missing here]\n".encode()
    assert shipped(tmp_path) == b"x" * (16 * MIB) + marker


def test_output_at_full_speed_is_stored_whole(cluster: Cluster) -> None:
    cluster.install(
        "import os\n"
        "def main():\n"
        "    for n in range(100):\n"
        "        data = memoryview(b'%09d\\n' % n * 104858)\n"
        "        while data:\n"
        "            data = data[os.write(1, data):]\n"
    )
    done = cluster.run(cluster.parameters())
    assert done.returncode == 0
    assert cluster.log() == done.stdout
    assert "dropped_output_bytes" not in cluster.exit()


def test_a_folder_that_refuses_the_shipper_does_not_fail_the_program(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Not even 18 MiB, more than is buffered."""
    cluster.root.mkdir()
    (cluster.root / "runs").write_text("a file where the folder should be")
    cluster.install(
        "import os\n"
        "def main():\n"
        "    data = memoryview(b'x' * (18 << 20))\n"
        "    while data:\n"
        "        data = data[os.write(1, data):]\n"
    )
    with open(tmp_path / "stdout", "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "lakeflow_task", *cluster.parameters()],
            check=False,
            cwd=cluster.packages,
            env={"PATH": os.defpath, "PYTHONPATH": str(cluster.packages)},
            stderr=subprocess.PIPE,
            stdout=stdout,
            encoding="utf-8",
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stdout").stat().st_size == 18 << 20
    assert "the output of this run cannot be kept in" in done.stderr
