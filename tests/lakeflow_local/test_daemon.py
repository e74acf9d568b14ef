"""Starting, finding and stopping the server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

import lakeflow_local
from lakeflow_local import daemon
from lakeflow_local.errors import WorkspaceError
from tests.lakeflow_local.helpers import (
    ask,
    connect,
    finish,
    is_gone,
    make_job,
    present,
    probe_task,
    probe_wheel,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.lakeflow_local.small_disk import run_on_small_disk

SOURCES = Path(lakeflow_local.__file__).parent

ENSURE_UP = "from lakeflow_local import daemon; print(*vars(daemon.ensure_up()).values(), sep='|')"


def ensure_up_elsewhere(sources: Path, state: Path) -> list[str]:
    """`ensure_up` in another process, with other sources: host, token, started, notice."""
    done = subprocess.run(
        [sys.executable, "-c", ENSURE_UP],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(sources), *sys.path]),
            "LAKEFLOW_STATE_DIR": str(state),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().split("|")[:4]


def copy_sources(folder: Path) -> Path:
    """Copy the package to a source root, as a sandbox has one."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCES, folder / "lakeflow_local", ignore=ignore)
    return folder


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """The file system has 600 KiB; the system has to allow user namespaces to mount one."""
    done = run_on_small_disk(tmp_path / "small", "600k", ENSURE_UP)
    assert done.returncode != 0
    problem, hint = done.stderr.splitlines()[-2:]
    assert "full" in problem or "No space left" in problem, done.stderr
    assert "hint:" in hint
    assert "LAKEFLOW_STATE_DIR" in hint


def test_up_and_down(state: Path) -> None:
    assert daemon.find() is None
    assert not daemon.down()
    first = daemon.ensure_up()
    assert first.started
    assert daemon.ensure_up() == daemon.Endpoint(first.host, first.token, False)
    assert daemon.find() == daemon.Endpoint(first.host, first.token, False)
    assert present(daemon.status()).active_runs == 0
    token_file = state / "local" / "token"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(token_file.parent.stat().st_mode) == 0o700
    assert daemon.down()
    assert daemon.find() is None
    again = daemon.ensure_up()
    assert again.host == first.host
    assert again.token != first.token


def test_concurrent_callers_get_the_same_server(state: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ensure_up_elsewhere(SOURCES.parent, state), range(4)))
    assert len({(host, token) for host, token, _, _ in found}) == 1
    assert [started for _, _, started, _ in found].count("True") == 1


def test_the_folder_is_private_whatever_the_umask(state: Path) -> None:
    before = os.umask(0)
    try:
        (state / "local").mkdir()  # as an earlier version left it
        daemon.ensure_up()
    finally:
        os.umask(before)
    assert stat.S_IMODE((state / "local").stat().st_mode) == 0o700


def test_reset_deletes_everything(state: Path) -> None:
    client = connect(daemon.ensure_up())
    client.secrets.create_scope("gone")
    daemon.reset()
    assert not (state / "local").exists()
    assert list(connect(daemon.ensure_up()).secrets.list_scopes()) == []


def test_the_server_outlives_its_sources(state: Path, tmp_path: Path) -> None:
    sources = copy_sources(tmp_path / "sandbox")
    ensure_up_elsewhere(sources, state)
    shutil.rmtree(sources)
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    run_id = trigger(client, make_job(client, [probe_task(cluster, wheel, "version")]))
    run = finish(client, run_id)
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "SUCCESS"


def test_other_code_replaces_an_idle_server_and_spares_a_busy_one(
    state: Path, tmp_path: Path
) -> None:
    first = daemon.ensure_up()
    changed = copy_sources(tmp_path / "changed")
    with (changed / "lakeflow_local" / "errors.py").open("a") as file:
        file.write("# changed\n")
    _, _, started, _ = ensure_up_elsewhere(changed, state)
    assert started == "True"

    client = connect(daemon.Endpoint(first.host, first.token, False))
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    pids = tmp_path / "pids"
    run_id = trigger(client, make_job(client, [probe_task(cluster, wheel, "hold", str(pids))]))
    until(lambda: pids.exists() or None)
    kept = daemon.ensure_up()
    assert not kept.started
    assert kept.notice
    assert "1 run(s) are active" in kept.notice
    client.jobs.cancel_run(run_id)
    finish(client, run_id)
    assert daemon.ensure_up().started


def test_a_taken_port(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(WorkspaceError, match=f"port {port} of 127.0.0.1 can't be used"):
            daemon.ensure_up(port=port)
    assert daemon.ensure_up(port=port).host == f"http://127.0.0.1:{port}"
    with pytest.raises(WorkspaceError, match=f"already runs at .*:{port}, not on port {port + 1}"):
        daemon.ensure_up(port=port + 1)


def test_a_server_with_other_settings_is_refused(state: Path) -> None:
    daemon.ensure_up(max_processes=3)
    assert not daemon.ensure_up().started
    assert not daemon.ensure_up(max_processes=3).started
    with pytest.raises(WorkspaceError, match=r"runs at .*, with --max-processes 3\nhint: stop"):
        daemon.ensure_up(max_processes=4)
    with pytest.raises(WorkspaceError, match=r"runs at .*, without --task-memory\nhint: stop"):
        daemon.ensure_up(task_memory=256)
    with pytest.raises(WorkspaceError, match=r"runs at .*, without --any-python\nhint: stop"):
        daemon.ensure_up(any_python=True)


def test_a_server_stops_when_its_folder_is_deleted(state: Path) -> None:
    """Nobody could find it, and it would hold its port forever."""
    daemon.ensure_up()
    status = daemon.status()
    assert status
    shutil.rmtree(state / "local")
    until(lambda: is_gone(status.pid) or None)


def test_a_second_server_on_one_folder_is_refused(state: Path) -> None:
    daemon.ensure_up()
    second = subprocess.run(
        [sys.executable, "-m", "lakeflow_local", "--folder", str(state / "local")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES.parent), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert "another server has the workspace" in second.stderr


def test_a_server_that_hangs_is_killed(state: Path) -> None:
    daemon.ensure_up()
    status = present(daemon.status())
    os.kill(status.pid, signal.SIGSTOP)
    assert daemon.down()
    assert daemon.find() is None


class Impostor:
    """Listens on a port, keeps what it receives, and responds to everything with `body`."""

    def __init__(self, port: int, body: object) -> None:
        self.received = b""
        received = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                received.received += f"{self.path}\n{self.headers}".encode()
                content = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Impostor:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_listener_on_the_old_port_gets_no_token(state: Path) -> None:
    """Neither after `down` nor after kill -9, also if it knows the digest of the code."""
    first = daemon.ensure_up()
    running = present(daemon.status())
    record = (state / "local" / "server.json").read_bytes()
    port = int(first.host.rpartition(":")[2])
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: is_gone(running.pid) or None)
    health = {**json.loads(record), "active_runs": 0, "proof": "0" * 64}
    with Impostor(port, health) as impostor:
        assert daemon.find() is None
        with pytest.raises(WorkspaceError):
            daemon.page_link(first)
        again = daemon.ensure_up()
        assert again.host != first.host
        assert daemon.down()
        assert daemon.find() is None
        assert not (state / "local" / "server.json").exists()
        (state / "local" / "server.json").write_bytes(record)  # as an earlier version left it
        assert daemon.find() is None
        received = impostor.received.lower()
    assert b"authorization" not in received
    assert first.token.encode() not in received
    assert daemon.ensure_up().token != first.token


def test_a_server_that_does_not_prove_itself_gets_no_token(state: Path) -> None:
    """Although our lock is held: the record names the port of another process."""
    endpoint = daemon.ensure_up()
    path = state / "local" / "server.json"
    record = json.loads(path.read_text())
    nonce = "0" * 64
    proof = ask(endpoint, "GET", f"/lakeflow/challenge?nonce={nonce}").json()["proof"]
    with Impostor(0, {**record, "active_runs": 0, "proof": proof}) as impostor:
        path.write_text(json.dumps({**record, "port": impostor.port}))
        assert daemon.find() is None
        path.write_text(json.dumps(record))
        assert b"/lakeflow/challenge" in impostor.received
        assert b"authorization" not in impostor.received.lower()
    assert present(daemon.find()).host == endpoint.host


@pytest.mark.usefixtures("state")
def test_a_challenge_needs_no_token_and_tells_no_token() -> None:
    endpoint = daemon.ensure_up()
    for nonce, status in (("0" * 64, 200), ("", 400), ("x" * 64, 400), ("0" * 1000, 400)):
        url = f"{endpoint.host}/lakeflow/challenge?nonce={nonce}"
        assert requests.get(url, timeout=30).status_code == status
    url = f"{endpoint.host}/lakeflow/challenge?nonce={'0' * 64}"
    assert endpoint.token not in requests.get(url, timeout=30).text
    foreign = requests.get(url, headers={"Host": "evil.example"}, timeout=30)
    assert foreign.status_code == 403


def test_an_impossible_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(blocked))
    with pytest.raises(WorkspaceError, match=f"can't keep its state in {blocked}/local"):
        daemon.ensure_up()


def test_the_daemon_is_cheap_to_import() -> None:
    """It imports neither the server nor the SDK."""
    heavy = "starlette uvicorn sqlite3 databricks packaging asyncio"
    code = (
        "import sys; import lakeflow_local.daemon;"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
