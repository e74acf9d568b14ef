"""The server is killed at random moments under load, also while it starts: nothing is lost.

`LAKEFLOW_SOAK=1` kills it 200 times, otherwise 8 times, after the same waits each time.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from lakeflow_local import daemon
from lakeflow_local.compute import processes
from lakeflow_local.daemon import Endpoint
from lakeflow_local.errors import WorkspaceError
from tests.lakeflow_local.helpers import (
    ask,
    connect,
    is_gone,
    make_job,
    present,
    probe_task,
    probe_wheel,
    start_cluster,
    until,
    upload,
)
from tests.lakeflow_local.state_model import SeenRun, facts_of

IS_SOAK = bool(os.environ.get("LAKEFLOW_SOAK"))
KILLS = 200 if IS_SOAK else 8
SEED = random.randrange(2**32) if IS_SOAK else 0
WRITERS = 3
LONGEST_LOAD = 0.6
LONGEST_START = 1.0
VOLUME = "/Volumes/main/default/lakeflow"
LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE")
PERMISSIONS = ("READ", "WRITE", "MANAGE")


@dataclass
class Kept:
    """One thing that the workspace was given to keep, and how it is written and read.

    `known` is what was acknowledged last. While nobody knows whether a write took effect, what it
    wrote is in `maybe`.
    """

    write: Callable[[Endpoint, Any], requests.Response]
    read: Callable[[Endpoint], Any]
    new: Callable[[random.Random], Any]
    known: Any = None
    maybe: list[Any] = field(default_factory=list)

    def change(self, endpoint: Endpoint, dice: random.Random) -> None:
        value = self.new(dice)
        self.maybe.append(value)
        succeeded(self.write(endpoint, value))
        self.known = value
        self.maybe.clear()

    def check(self, endpoint: Endpoint) -> None:
        found = self.read(endpoint)
        assert found == self.known or found in self.maybe
        self.known = found
        self.maybe.clear()


class Writer:
    """A client that changes its own objects, one after the other, until the server is gone."""

    def __init__(self, number: int, job_id: int) -> None:
        self.dice = random.Random(SEED + number)
        self.job_id = job_id
        self.kept = things_of(f"writer-{number}", job_id)
        self.runs: dict[str, SeenRun | None] = {}
        self.error: BaseException | None = None

    def work(self, endpoint: Endpoint) -> None:
        try:
            while True:
                self.step(endpoint)
        except requests.RequestException:
            pass  # the server was killed
        except BaseException as error:
            self.error = error

    def step(self, endpoint: Endpoint) -> None:
        choice = self.dice.randrange(len(self.kept) + 3)
        if choice < len(self.kept):
            self.kept[choice].change(endpoint, self.dice)
        elif choice == len(self.kept):
            self.cancel_one(endpoint)
        else:
            token = f"{self.job_id}-{len(self.runs)}"
            self.runs[token] = None
            self.trigger(endpoint, token)

    def trigger(self, endpoint: Endpoint, token: str) -> None:
        body = {"job_id": self.job_id, "idempotency_token": token}
        run_id = post(endpoint, "/api/2.2/jobs/run-now", body)["run_id"]
        self.runs[token] = SeenRun(run_id, self.job_id, None)

    def cancel_one(self, endpoint: Endpoint) -> None:
        active = [run for run in self.runs.values() if run is not None and not run.is_over]
        if active:
            run = self.dice.choice(active)
            post(endpoint, "/api/2.2/jobs/runs/cancel", {"run_id": run.run_id})
            run.is_ending = True

    def check(self, endpoint: Endpoint) -> None:
        """Everything acknowledged is there, and what was asked again is not there twice."""
        for kept in self.kept:
            kept.check(endpoint)
        for token, run in self.runs.items():
            if run is None:
                self.trigger(endpoint, token)
        for run in self.runs.values():
            assert run is not None
            if not run.is_over:
                run.see(get_run(endpoint, run.run_id))
        over = [run for run in self.runs.values() if run is not None and run.is_over]
        for run in self.dice.sample(over, min(10, len(over))):
            assert facts_of(get_run(endpoint, run.run_id)) == facts_of(present(run.last))

    def check_list(self, endpoint: Endpoint, since: int) -> None:
        """The runs that began since then (ms since 1970) are those known, and no more."""
        views = [run.last for run in self.runs.values() if run is not None and run.last is not None]
        known = {view["run_id"] for view in views if view["start_time"] >= since}
        assert set(run_ids(endpoint, self.job_id, since)) == known

    def is_quiet(self, endpoint: Endpoint) -> bool:
        """Whether all runs are over, as far as they can be without help."""
        for run in self.runs.values():
            assert run is not None
            if not run.is_over:
                run.see(get_run(endpoint, run.run_id))
        return all(run is not None and run.is_over for run in self.runs.values())


def things_of(name: str, job_id: int) -> list[Kept]:
    """Files in all three trees, a secret, grants on a job and on a secret scope, a job's name."""
    volume_file = f"/api/2.0/fs/files{VOLUME}/{name}"
    workspace_file = f"/Workspace/Shared/{name}"

    def sealed(dice: random.Random) -> bytes:
        body = dice.randbytes(dice.randrange(300_000))
        return hashlib.sha256(body).digest() + body

    def read_volume(endpoint: Endpoint) -> bytes | None:
        response = ask(endpoint, "GET", volume_file)
        return response.content if response.status_code == 200 else None

    def write_workspace(endpoint: Endpoint, value: bytes) -> requests.Response:
        content = base64.b64encode(value).decode()
        body = {"path": workspace_file, "format": "AUTO", "content": content, "overwrite": True}
        return ask(endpoint, "POST", "/api/2.0/workspace/import", json=body)

    def read_workspace(endpoint: Endpoint) -> bytes | None:
        query = {"path": workspace_file, "format": "AUTO"}
        response = ask(endpoint, "GET", "/api/2.0/workspace/export", params=query)
        content = response.json().get("content")
        return None if content is None else base64.b64decode(content)

    def write_dbfs(endpoint: Endpoint, value: bytes) -> requests.Response:
        contents = base64.b64encode(value).decode()
        body = {"path": f"/{name}", "contents": contents, "overwrite": True}
        return ask(endpoint, "POST", "/api/2.0/dbfs/put", json=body)

    def read_dbfs(endpoint: Endpoint) -> bytes | None:
        query = {"path": f"/{name}", "length": "1000000"}
        data = ask(endpoint, "GET", "/api/2.0/dbfs/read", params=query).json().get("data")
        return None if data is None else base64.b64decode(data)

    def write_secret(endpoint: Endpoint, value: str) -> requests.Response:
        body = {"scope": name, "key": "k", "string_value": value}
        return ask(endpoint, "POST", "/api/2.0/secrets/put", json=body)

    def read_secret(endpoint: Endpoint) -> str | None:
        query = {"scope": name, "key": "k"}
        value = ask(endpoint, "GET", "/api/2.0/secrets/get", params=query).json().get("value")
        return None if value is None else base64.b64decode(value).decode()

    def write_acl(endpoint: Endpoint, value: str) -> requests.Response:
        body = {"scope": name, "principal": "users", "permission": value}
        return ask(endpoint, "POST", "/api/2.0/secrets/acls/put", json=body)

    def read_acl(endpoint: Endpoint) -> str | None:
        query = {"scope": name, "principal": "users"}
        answer = ask(endpoint, "GET", "/api/2.0/secrets/acls/get", params=query).json()
        permission: str | None = answer.get("permission")
        return permission

    def write_grant(endpoint: Endpoint, value: str) -> requests.Response:
        grant = [{"group_name": "users", "permission_level": value}]
        body = {"access_control_list": grant}
        return ask(endpoint, "PUT", f"/api/2.0/permissions/jobs/{job_id}", json=body)

    def read_grant(endpoint: Endpoint) -> str | None:
        answer = ask(endpoint, "GET", f"/api/2.0/permissions/jobs/{job_id}").json()
        levels = [
            permission["permission_level"]
            for entry in answer["access_control_list"]
            if entry.get("group_name") == "users"
            for permission in entry["all_permissions"]
        ]
        return levels[0] if levels else None

    def write_name(endpoint: Endpoint, value: str) -> requests.Response:
        body = {"job_id": job_id, "new_settings": {"name": value}}
        return ask(endpoint, "POST", "/api/2.2/jobs/update", json=body)

    def read_name(endpoint: Endpoint) -> str:
        answer = ask(endpoint, "GET", "/api/2.2/jobs/get", params={"job_id": str(job_id)}).json()
        found: str = answer["settings"]["name"]
        return found

    def text(dice: random.Random) -> str:
        return f"{dice.getrandbits(64):x}"

    query = "?overwrite=true"
    return [
        Kept(lambda e, value: ask(e, "PUT", volume_file + query, data=value), read_volume, sealed),
        Kept(write_workspace, read_workspace, sealed),
        Kept(write_dbfs, read_dbfs, sealed),
        Kept(write_secret, read_secret, text),
        Kept(write_acl, read_acl, lambda dice: dice.choice(PERMISSIONS)),
        Kept(write_grant, read_grant, lambda dice: dice.choice(LEVELS)),
        Kept(write_name, read_name, text, known="probe"),
    ]


def succeeded(response: requests.Response) -> requests.Response:
    assert response.status_code in (200, 201, 204), response.text
    return response


def post(endpoint: Endpoint, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = succeeded(ask(endpoint, "POST", path, json=body)).json()
    return answer


def get_run(endpoint: Endpoint, run_id: int) -> dict[str, Any]:
    response = ask(endpoint, "GET", "/api/2.2/jobs/runs/get", params={"run_id": str(run_id)})
    view: dict[str, Any] = succeeded(response).json()
    return view


def run_ids(endpoint: Endpoint, job_id: int, since: int) -> list[int]:
    """The runs of a job that began since then, in milliseconds since 1970."""
    client = connect(endpoint)
    found = client.jobs.list_runs(job_id=job_id, start_time_from=since, limit=24)
    return [run.run_id or 0 for run in found]


def kill_server(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid) or None)


def kill_while_it_starts(state: Path, after: float) -> None:
    """Start a server, and kill it so many seconds after it has taken the folder."""

    def start() -> None:
        with suppress(WorkspaceError):
            daemon.ensure_up()

    lock = state / "local" / "server.lock"
    before = lock.read_text()
    starting = threading.Thread(target=start)
    starting.start()

    def holder() -> int | None:
        text = lock.read_text()
        return int(text) if text and text != before else None

    pid = until(holder)
    time.sleep(after)
    kill_server(pid)
    starting.join()


def check_files(folder: Path) -> None:
    """No draft stays, and every file that anybody can see is whole."""
    assert list((folder / "drafts").iterdir()) == []
    for tree in ("Volumes/main/default/lakeflow", "Workspace/Shared", "dbfs"):
        for path in (folder / "mount" / tree).glob("*writer-*"):
            content = path.read_bytes()
            assert content[:32] == hashlib.sha256(content[32:]).digest(), path


def test_kills_at_random(state: Path, tmp_path: Path) -> None:
    """Acknowledged changes are kept, runs continue if they can, and no process is left over."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    endpoint = daemon.ensure_up()
    client = connect(endpoint)
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    writers = []
    for number, seconds in enumerate(["0", "0.2", "600"][:WRITERS]):
        client.secrets.create_scope(f"writer-{number}")
        task = probe_task(cluster, wheel, "nap", seconds)
        writers.append(Writer(number, make_job(client, [task], max_concurrent_runs=1000)))
    marker = f"{client.get_workspace_id()}/"

    for _ in range(KILLS):
        since = time.time_ns() // 1_000_000
        status = present(daemon.status())
        load = [threading.Thread(target=writer.work, args=(endpoint,)) for writer in writers]
        for thread in load:
            thread.start()
        time.sleep(dice.uniform(0, LONGEST_LOAD))
        kill_server(status.pid)
        for thread in load:
            thread.join()
        assert [writer.error for writer in writers] == [None] * len(writers)
        if dice.random() < 0.25:
            kill_while_it_starts(state, dice.uniform(0, LONGEST_START))
        with ThreadPoolExecutor(3) as pool:  # one of them starts it, the others find it
            found = list(pool.map(lambda _: daemon.ensure_up(), range(3)))
        assert {(one.host, one.token) for one in found} == {(endpoint.host, endpoint.token)}
        assert sum(one.started for one in found) == 1
        check_files(state / "local")
        for writer in writers:
            writer.check(endpoint)
        for writer in writers:
            post(endpoint, "/api/2.2/jobs/runs/cancel-all", {"job_id": writer.job_id})
        until(lambda: all(writer.is_quiet(endpoint) for writer in writers) or None)
        until(lambda: not list(processes.marked(marker)) or None)
        for writer in writers:
            writer.check_list(endpoint, since)

    triggered = sum(len(writer.runs) for writer in writers)
    assert triggered > KILLS
    for writer in writers:
        for run in writer.runs.values():
            assert run is not None
            assert facts_of(get_run(endpoint, run.run_id)) == facts_of(present(run.last))
    assert daemon.down()
    assert list(processes.marked(marker)) == []
