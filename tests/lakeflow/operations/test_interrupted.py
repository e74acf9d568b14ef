"""A command that is killed anywhere and typed again ends as if it had not been interrupted.

The process of the real command is killed at each of its HTTP requests in turn, before the request
is sent and after it took effect. `LAKEFLOW_SOAK=1` does so also at requests that only read, where
otherwise only `deploy` and `trigger-run` are killed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lakeflow.client.connect import connect
from lakeflow.client.http_errors import ApiError
from lakeflow.resources import files
from lakeflow_local.daemon import Endpoint
from tests.support.packages import MAIN
from tests.support.proxy import ForwardingProxy, Request
from tests.support.sources import make_source
from tests.support.wheels import make_wheel

SECRET = "LAKEFLOW_TEST_SECRET"
IS_SOAK = bool(os.environ.get("LAKEFLOW_SOAK"))


@dataclass(frozen=True)
class Place:
    """Where a command works: a name for its job, a root for its files, a separate state folder."""

    name: str
    root: str
    environ: dict[str, str]

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of the launcher to its end."""
        command = [sys.executable, "-m", "lakeflow", *words]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False
        )

    def done(self, words: list[str]) -> str:
        """What a command that succeeds prints."""
        result = self.run(words)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


Command = Callable[[Place], list[str]]
"""Prepares a place, and says what is to be typed there."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    modules = {"try_one.py": MAIN.replace("from try_lib import GREETING", "GREETING = 'hello'")}
    points = {"console_scripts": {"lakeflow-task": "try_one:main"}}
    return make_wheel(folder, "try-one", "1.0", modules, entry_points=points)


@pytest.fixture
def proxy(endpoint: Endpoint) -> Iterator[ForwardingProxy]:
    with ForwardingProxy(endpoint.host) as proxy:
        yield proxy


def walk(proxy: ForwardingProxy, folder: Path, command: Command, *, all_requests: bool) -> None:
    """Kill the command at each of its requests, repeat it and compare the results."""

    def is_stop(request: Request) -> bool:
        return all_requests or request.method != "GET"

    whole = place_for(proxy, folder)
    words = command(whole)
    before = scopes()
    proxy.clear()
    whole.done(words)
    count = sum(map(is_stop, proxy.requests))
    expected, created = state_of(whole), len(scopes() - before)
    assert count > 0
    for nth in range(1, count + 1):
        for after_effect in (False, True):
            here = place_for(proxy, folder)
            words = command(here)
            before = scopes()
            where = kill(proxy, here, words, is_stop, nth, after_effect)
            again = here.run(words)
            gone = after_effect and "delete" in where.path and words[0] == "delete-job"
            assert again.returncode == 0 or gone, (where, after_effect, again.stderr)
            assert state_of(here) == expected, (where, after_effect, again.stderr)
            assert len(scopes() - before) == created, (where, after_effect)


def kill(
    proxy: ForwardingProxy,
    here: Place,
    words: list[str],
    is_stop: Callable[[Request], bool],
    nth: int,
    after_effect: bool,
) -> Request:
    """Kill the command at its nth such request; returns that request."""
    proxy.clear()
    victim: list[subprocess.Popen[bytes]] = []
    proxy.stop_client(lambda: victim[0].kill(), at=is_stop, nth=nth, after_effect=after_effect)
    victim.append(
        subprocess.Popen(
            [sys.executable, "-m", "lakeflow", *words],
            env=here.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    assert victim[0].wait(60) == -9, f"only {len(proxy.requests)} requests"
    proxy.let_through()
    return [request for request in proxy.requests if is_stop(request)][nth - 1]


def place_for(proxy: ForwardingProxy, folder: Path) -> Place:
    name = f"x{secrets.token_hex(5)}"
    root = f"/Workspace/Users/{connect().me}/{name}"
    environ = {
        **os.environ,
        "DATABRICKS_HOST": proxy.host,
        "LAKEFLOW_STATE_DIR": str(folder / name),
        "LAKEFLOW_ROOT": root,
        SECRET: "hush",
    }
    return Place(name, root, environ)


def state_of(here: Place) -> dict[str, Any]:
    """What the workspace holds for a place, without what differs from one to the next."""
    workspace = connect()
    found = [
        (job["job_id"], job["settings"])
        for job in workspace.pages("/api/2.2/jobs/list", "jobs", expand_tasks="true")
        if job["settings"]["name"] == here.name
    ]
    runs = [
        run_of(run["run_id"])
        for job_id, _ in found
        for run in workspace.pages("/api/2.2/jobs/runs/list", "runs", job_id=job_id)
    ]
    clusters = [
        {key: cluster.get(key) for key in ("cluster_name", "autoscale", "spark_version")}
        for cluster in workspace.pages("/api/2.1/clusters/list", "clusters")
        if here.name in cluster["cluster_name"]
    ]
    text = json.dumps(
        {
            "jobs": [settings for _, settings in found],
            "runs": sorted(runs, key=json.dumps),
            "clusters": clusters,
            "files": sorted(
                (e.path, len(files.read(workspace, e.path) or b""))
                for e in all_files(f"{here.root}/artifacts")
                if e.kind == "file"
            ),
        }
    )
    text = re.sub(r"\d{4}-\d{6}-[a-z0-9]{8}", "CLUSTER", text.replace(here.name, "NAME"))
    text = re.sub(r'"[0-9a-f]{32}"', '"IDENTITY"', text)
    created: dict[str, Any] = json.loads(text)
    return created


def all_files(folder: str) -> list[files.Entry]:
    try:
        return [entry for entry in files.walk(connect(), folder) if entry.kind == "file"]
    except ApiError as error:
        if error.missing:
            return []
        raise


def run_of(run_id: int) -> list[Any]:
    """The arguments of a run, the names of its secrets and how often it was repaired."""
    query = {"run_id": run_id, "include_history": "true"}
    run = connect().get("/api/2.2/jobs/runs/get", **query)
    (parameter,) = run["job_parameters"]
    call = json.loads(parameter["value"])
    keys = []
    if call["scope"]:
        held = connect().get("/api/2.0/secrets/list", scope=call["scope"])
        keys = [secret["key"] for secret in held["secrets"]]
    return [call["argv"], keys, len(run.get("repair_history") or [])]


def scopes() -> set[str]:
    found = connect().get("/api/2.0/secrets/scopes/list").get("scopes", [])
    return {scope["name"] for scope in found}


def test_deploy(proxy: ForwardingProxy, wheel: Path, tmp_path: Path) -> None:
    def command(here: Place) -> list[str]:
        options = ["--run", "one", "--no-wait", "--max-workers", "2"]
        return ["deploy", str(wheel), "--name", here.name, *options]

    walk(proxy, tmp_path, command, all_requests=True)


def test_trigger_run_with_a_secret(proxy: ForwardingProxy, wheel: Path, tmp_path: Path) -> None:
    def command(here: Place) -> list[str]:
        job_id = here.done(["deploy", str(wheel), "--name", here.name])
        return ["trigger-run", job_id, "one", "--secret-env-var", SECRET]

    walk(proxy, tmp_path, command, all_requests=True)


def test_repair_run(proxy: ForwardingProxy, wheel: Path, tmp_path: Path) -> None:
    def command(here: Place) -> list[str]:
        created = here.run(
            ["deploy", str(wheel), "--name", here.name, "--run", "fail", "--output", "json"]
        )
        (run,) = json.loads(created.stdout)["targets"][0]["runs"]
        return ["repair-run", str(run["run_id"])]

    walk(proxy, tmp_path, command, all_requests=IS_SOAK)


def test_delete_job(proxy: ForwardingProxy, wheel: Path, tmp_path: Path) -> None:
    def command(here: Place) -> list[str]:
        return ["delete-job", here.done(["deploy", str(wheel), "--name", here.name]), "--yes"]

    walk(proxy, tmp_path, command, all_requests=IS_SOAK)


def test_gc(proxy: ForwardingProxy, wheel: Path, tmp_path: Path) -> None:
    def command(here: Place) -> list[str]:
        here.done(["upload-wheel", str(wheel)])
        time.sleep(0.01)  # what is as old as nothing was written in another millisecond
        return ["gc", "--older-than", "0d", "--yes"]

    walk(proxy, tmp_path, command, all_requests=IS_SOAK)


@pytest.mark.skipif(not IS_SOAK, reason="as deploy, after a build; LAKEFLOW_SOAK=1 walks it too")
def test_create_job_from_source(proxy: ForwardingProxy, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")

    def command(here: Place) -> list[str]:
        words = ["create-job-from-source", here.name, "my-package", "--target", str(source)]
        return [*words, "--permission", "CAN_VIEW:group:users"]

    walk(proxy, tmp_path, command, all_requests=True)
