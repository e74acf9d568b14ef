"""Injected faults, as the SDK and plain HTTP clients see them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import State
from databricks.sdk.service.jobs import Task, TerminationCodeCode

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from lakeflow_local.errors import UsageError, WorkspaceError
from lakeflow_local.server.fault_rules import RateLimit, Rule, read_faults
from tests.lakeflow_local.helpers import (
    ask,
    connect,
    finish,
    make_job,
    probe_task,
    probe_wheel,
    start_cluster,
    trigger,
    upload,
)

Up = Callable[[str], Endpoint]
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def up(state: Path, tmp_path: Path) -> Up:
    """Start a server with these rules."""

    def start(text: str) -> Endpoint:
        file = tmp_path / "faults.toml"
        file.write_text(text)
        return daemon.ensure_up(faults=file)

    return start


def statuses(endpoint: Endpoint, count: int, path: str = ME) -> list[int]:
    return [ask(endpoint, "GET", path).status_code for _ in range(count)]


def test_nth_requests_and_their_responses(up: Up) -> None:
    endpoint = up("""
        [[rule]]
        path = "/api/2.0/preview/*/Me"
        method = "get"
        kind = 429
        nth = [2, 4]
        retry_after = 7

        [[rule]]
        path = "/api/2.0/secrets/*"
        kind = "503"

        [[rule]]
        path = "/api/2.0/token/*"
        kind = 429
        """)
    assert statuses(endpoint, 5) == [200, 429, 200, 429, 200]
    response = ask(endpoint, "POST", "/api/2.0/secrets/scopes/create", json={"scope": "s"})
    assert response.status_code == 503
    assert response.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "Retry-After" not in response.headers
    limited = ask(endpoint, "GET", "/api/2.0/token/list")
    assert limited.status_code == 429
    assert limited.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert "Retry-After" not in limited.headers


def test_the_sdk_waits_for_retry_after_and_succeeds(up: Up) -> None:
    endpoint = up('[[rule]]\npath = "*/Me"\nkind = "429"\nnth = 1\nretry_after = 1\n')
    assert connect(endpoint).current_user.me().user_name


def test_a_rate_limit_holds_in_any_second() -> None:
    limit = RateLimit(3)
    moments = [0.0, 0.5, 0.75, 0.875, 1.0, 1.25, 1.5, 1.625, 1.75, 9.0, 9.0, 9.0, 9.0]
    passed = [moment for moment in moments if limit.passes(moment)]
    assert passed == [0.0, 0.5, 0.75, 1.0, 1.5, 1.75, 9.0, 9.0, 9.0]


def test_requests_over_the_limit_are_refused_and_the_sdk_retries(up: Up) -> None:
    endpoint = up("""
        [[rule]]
        path = "*/Me"
        kind = 429
        per_second = 1
        retry_after = 1
        """)
    client = connect(endpoint)
    started = time.monotonic()
    assert all(client.current_user.me().user_name for _ in range(3))
    assert time.monotonic() - started >= 2
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: ask(endpoint, "GET", ME), range(20)))
    refused = [response for response in responses if response.status_code == 429]
    assert refused
    assert {response.headers["Retry-After"] for response in refused} == {"1"}
    assert {response.status_code for response in responses} <= {200, 429}
    assert statuses(endpoint, 5, "/api/2.2/jobs/list") == [200] * 5


def test_the_sdk_succeeds_at_a_limit_without_retry_after(up: Up) -> None:
    endpoint = up('[[rule]]\npath = "*/Me"\nkind = "429"\nper_second = 1\n')
    client = connect(endpoint)
    assert all(client.current_user.me().user_name for _ in range(2))


def test_an_internal_error_occurs_once(up: Up) -> None:
    endpoint = up('[[rule]]\npath = "*/Me"\nkind = "500"\nnth = 1\n')
    assert statuses(endpoint, 2) == [500, 200]


def test_a_rate_hits_the_same_requests_each_time(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('seed = 3\n[[rule]]\nkind = "503"\nrate = 0.3\n')

    def hit() -> list[bool]:
        faults = read_faults(file)
        return [faults.for_request("GET", ME) is not None for _ in range(1000)]

    first = hit()
    assert hit() == first
    assert 230 < sum(first) < 370
    file.write_text(file.read_text().replace("seed = 3", "seed = 4"))
    assert hit() != first


def test_a_slow_request_succeeds(up: Up) -> None:
    endpoint = up('[[rule]]\npath = "*/Me"\nkind = "slow"\nmilliseconds = 300\n')
    response = ask(endpoint, "GET", ME)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() >= 0.3


@pytest.mark.parametrize(
    ("kind", "is_created"), [("dropped-before", False), ("dropped-after", True)]
)
def test_a_connection_that_is_dropped(up: Up, kind: str, is_created: bool) -> None:
    endpoint = up(f'[[rule]]\npath = "*/scopes/create"\nkind = "{kind}"\nnth = 1\n')
    with pytest.raises(requests.ConnectionError):
        ask(endpoint, "POST", "/api/2.0/secrets/scopes/create", json={"scope": "s"})
    client = connect(endpoint)
    assert [scope.name for scope in client.secrets.list_scopes()] == (["s"] if is_created else [])


def test_a_retried_trigger_starts_one_run(up: Up, tmp_path: Path) -> None:
    endpoint = up('[[rule]]\npath = "*/jobs/run-now"\nkind = "dropped-after"\nnth = 1\n')
    client = connect(endpoint)
    job = make_job(client, [a_task(client, tmp_path, "leave")])
    run_id = trigger(client, job, idempotency_token="once")
    finish(client, run_id)
    assert [run.run_id for run in client.jobs.list_runs(job_id=job)] == [run_id]


def test_a_preempted_task_is_retried(up: Up, tmp_path: Path) -> None:
    endpoint = up('[[rule]]\nkind = "task-preempted"\njob = "prob?"\nnth = 1\n')
    client = connect(endpoint)
    task = a_task(client, tmp_path, "hold", str(tmp_path / "pids"), max_retries=1)
    run_id = trigger(client, make_job(client, [task], timeout_seconds=3))
    run = finish(client, run_id)
    assert run.tasks
    first = run.tasks[0]
    assert first.status
    assert first.status.termination_details
    assert first.status.termination_details.code == TerminationCodeCode.CLOUD_FAILURE
    assert len(run.tasks) == 2


def test_a_lost_cluster_loses_its_tasks(up: Up, tmp_path: Path) -> None:
    endpoint = up('[[rule]]\nkind = "cluster-lost"\nmilliseconds = 100\nnth = 1\n')
    client = connect(endpoint)
    task = a_task(client, tmp_path, "hold", str(tmp_path / "pids"))
    run = finish(client, trigger(client, make_job(client, [task])))
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code == TerminationCodeCode.CLUSTER_ERROR
    assert task.existing_cluster_id
    cluster = client.clusters.get(task.existing_cluster_id)
    assert cluster.state == State.TERMINATED
    assert cluster.termination_reason
    assert cluster.termination_reason.code
    assert cluster.termination_reason.code.value == "CLOUD_PROVIDER_SHUTDOWN"


def test_a_server_without_these_faults_is_refused(up: Up, state: Path, tmp_path: Path) -> None:
    first = daemon.ensure_up()
    with pytest.raises(WorkspaceError, match="without these faults"):
        up('[[rule]]\nkind = "503"\n')
    daemon.down()
    up('[[rule]]\nkind = "503"\n')
    assert daemon.ensure_up().host == first.host
    assert statuses(first, 2) == [503, 503]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("seed = 1\n", None, "no [[rule]]"),
        ("[[rule]\n", 1, "is not valid TOML"),
        ("seeds = 1\n", 1, "unknown key 'seeds'"),
        ('seed = "x"\n[[rule]]\nkind="500"', 1, "'seed' must be a whole number"),
        ("rule = 3\n", 1, "rules are written as [[rule]]"),
        ('[[rule]]\npath = "/x"\n', 1, "rule 1: 'kind' is missing"),
        ('[[rule]]\nkind = "500"\n\n[[rule]]\nkind = "404"\n', 5, "rule 2: unknown kind '404'"),
        ('[[rule]]\nkind = "500"\nretry_after = 1\n', 3, "rule 1: 'retry_after' is not a key of"),
        ('[[rule]]\nkind = "slow"\n', 2, "rule 1: the kind slow needs 'milliseconds'"),
        ('[[rule]]\nkind = "503"\nrate = 2\n', 3, "rule 1: 'rate' must be a number from 0 to 1"),
        ('[[rule]]\nkind = "503"\nnth = [0]\n', 3, "rule 1: 'nth' must be a number from 1"),
        ('[[rule]]\nkind = "503"\nnth = 1\nrate = 1\n', 3, "rule 1: has both 'rate' and 'nth'"),
        ("[[rule]]\nkind = 429\nrate = 1\nper_second = 1\n", 4, "both 'rate' and 'per_second'"),
        ("[[rule]]\nkind = 429\nper_second = 0\n", 3, "'per_second' must be a whole number from 1"),
        ('[[rule]]\nkind = "503"\nper_second = 1\n', 3, "rule 1: 'per_second' is not a key of"),
        ('[[rule]]\nkind = "503"\npath = "api"\n', 3, "rule 1: 'path' must begin with a slash"),
        ('[[rule]]\nkind = "task-preempted"\npath = "/x"\n', 3, "rule 1: 'path' is not a key of"),
    ],
)
def test_an_invalid_file_is_one_clear_error(
    tmp_path: Path, text: str, line: int | None, said: str
) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_faults(file)
    message = str(raised.value)
    assert said in message
    assert str(file) in message
    assert line is None or f"line {line}" in message


def test_the_command_refuses_an_invalid_file_before_it_starts_a_server(
    state: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lakeflow", "local", "up", "--faults"]
    done = subprocess.run(
        [*command, str(tmp_path / "none.toml")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lakeflow: the faults in ")
    assert daemon.find() is None


def test_rules_do_not_apply_to_the_servers_own_routes(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[rule]]\nkind = "503"\n')
    faults = read_faults(file)
    assert faults.for_request("GET", "/lakeflow/health") is None
    assert faults.for_request("GET", "/api/2.2/jobs/list") == Rule("503")


def a_task(
    client: WorkspaceClient, folder: Path, function: str, *given: str, **options: Any
) -> Task:
    """Return a task of the probe's wheel on its own cluster."""
    wheel = upload(client, probe_wheel(folder, "1.0"))
    return probe_task(start_cluster(client), wheel, function, *given, **options)
