"""Tests that are killed leave no server behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lakeflow_local.helpers import is_gone, until

HANGING = """
import time
from pathlib import Path
from lakeflow_local import daemon
from tests.support.ending import ending_servers_below

with ending_servers_below(Path.cwd()):
    daemon.ensure_up()
    time.sleep(600)
"""


def test_no_server_outlives_tests_that_are_killed(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LAKEFLOW_STATE_DIR": str(tmp_path / "state"),
    }
    process = subprocess.Popen([sys.executable, "-c", HANGING], cwd=tmp_path, env=environ)
    facts = tmp_path / "state" / "local" / "server.json"
    try:
        server = until(lambda: json.loads(facts.read_text())["pid"] if facts.exists() else None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    until(lambda: is_gone(server) or None)
