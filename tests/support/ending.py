"""Ends the local workspaces of tests that were killed: a server outlives who has started it.

A separate process, which a fixture holds by its standard input: `python ending.py FOLDER`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 10.0


@contextmanager
def ending_servers_below(folder: Path) -> Iterator[None]:
    """Whatever becomes of this process, no server that has its state below `folder` is left."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def main() -> None:
    while os.read(0, 4096):
        pass
    for lock in Path(sys.argv[1]).rglob("server.lock"):
        for number in (signal.SIGTERM, signal.SIGKILL):
            end(lock, number)


def end(lock: Path, number: signal.Signals) -> None:
    """Signal the server that holds a lock, and wait until it no longer does."""
    deadline = time.monotonic() + STOP_SECONDS
    pid = holder(lock)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    while holder(lock) is not None and time.monotonic() < deadline:
        time.sleep(0.05)


def holder(lock: Path) -> int | None:
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = lock.read_text()
        return int(text) if text else None
    except OSError:
        pass
    return None


if __name__ == "__main__":
    main()
