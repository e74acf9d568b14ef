"""Many people on one workspace at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lakeflow_local.daemon import Endpoint
from tests.support.wheels import make_wheel

USERS, RUNS = 20, 10
MAIN = "import sys\ndef main():\n    print(*sys.argv[1:])\n"


def test_row_0_19_200_runs_from_20_clients_finish(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"console_scripts": {"lakeflow-task": "small:main"}}
    wheel = make_wheel(tmp_path, "small", "1.0", {"small.py": MAIN}, entry_points=points)
    command = [sys.executable, "-m", "lakeflow", "deploy", str(wheel), "--output", "json"]
    subprocess.run(command, check=True, capture_output=True)
    clients, readers = [], []
    for person in range(USERS):
        monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / f"person-{person}"))
        runs = [word for n in range(RUNS) for word in ("--run", f"{person} {n}")]
        client = subprocess.Popen(
            [*command, *runs], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert client.stderr is not None
        said = []
        for line in client.stderr:  # one comes after another, and none waits for another's end
            said.append(line)
            if "started: " in line:
                break
        clients.append(client)
        readers.append(Reader(client, said))
    ids = set()
    for person, (client, reader) in enumerate(zip(clients, readers, strict=True)):
        reader.join()
        assert client.wait() == 0, reader.said
        (target,) = json.loads(reader.report)["targets"]
        assert [run["status"] for run in target["runs"]] == ["succeeded"] * RUNS
        ids |= {run["run_id"] for run in target["runs"]}
        assert {f"{person} {n}" for n in range(RUNS)} <= {
            line.rstrip().rpartition("] ")[2] for line in reader.said
        }
    assert len(ids) == USERS * RUNS


class Reader(threading.Thread):
    """Reads what a client still says."""

    def __init__(self, client: subprocess.Popen[str], said: list[str]) -> None:
        super().__init__()
        self._client = client
        self.said = said
        self.report = ""
        self.start()

    def run(self) -> None:
        """Read to the end."""
        self.report, rest = self._client.communicate()
        self.said += rest.splitlines()
