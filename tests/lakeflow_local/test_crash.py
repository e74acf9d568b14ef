"""The server ends by force in the middle of things: nothing that was acknowledged is lost."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import ClusterSpec, Library, LibraryInstallStatus, State
from databricks.sdk.service.jobs import JobCluster, RunIf, TaskDependency

from lakeflow_local import daemon
from tests.lakeflow_local.helpers import (
    connect,
    finish,
    is_gone,
    logs,
    make_job,
    output,
    present,
    probe_task,
    probe_wheel,
    repair,
    results,
    run_once,
    start_cluster,
    trigger,
    until,
    upload,
)


def kill_server() -> None:
    pid = present(daemon.status()).pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid) or None)


def start_again() -> WorkspaceClient:
    endpoint = daemon.ensure_up()
    assert endpoint.started
    return connect(endpoint)


def test_kill_in_the_middle_of_a_run(state: Path, tmp_path: Path) -> None:
    before = daemon.ensure_up()
    client = connect(before)
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    finished, _ = run_once(client, probe_task(cluster, wheel, "version"))
    client.files.upload("/Volumes/main/default/lakeflow/kept", io.BytesIO(b"kept"))
    client.secrets.create_scope("kept")
    pids = tmp_path / "pids"
    job = make_job(client, [probe_task(cluster, wheel, "hold", str(pids))])
    held = trigger(client, job, idempotency_token="held")
    until(lambda: pids.exists() or None)

    kill_server()
    client = start_again()
    after = present(daemon.find())
    assert (after.host, after.token) == (before.host, before.token)

    interrupted = client.jobs.get_run(held)
    assert interrupted.state
    assert interrupted.state.as_dict() == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": "The local workspace was stopped while this run was in progress.",
        "user_cancelled_or_timedout": False,
    }
    assert interrupted.tasks
    assert interrupted.tasks[0].state
    assert interrupted.tasks[0].state.life_cycle_state
    assert interrupted.tasks[0].state.life_cycle_state.value == "INTERNAL_ERROR"
    until(lambda: all(is_gone(pid) for pid in json.loads(pids.read_text())) or None)

    assert finished.run_id
    assert client.jobs.get_run(finished.run_id).as_dict() == finished.as_dict()
    assert logs(output(client, finished)).startswith("the first text")
    kept = client.files.download("/Volumes/main/default/lakeflow/kept").contents
    assert kept
    assert kept.read() == b"kept"
    assert [scope.name for scope in client.secrets.list_scopes()] == ["kept"]
    assert trigger(client, job, idempotency_token="held") == held

    _, result = run_once(client, probe_task(cluster, wheel, "version"))
    assert logs(result).startswith("the first text")


def test_a_running_cluster_is_as_stale_after_a_crash(state: Path, tmp_path: Path) -> None:
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    old = upload(client, probe_wheel(tmp_path / "old", "1.0", "old"), "old")
    run_once(client, probe_task(cluster, old, "version"))
    kill_server()
    client = start_again()
    new = upload(client, probe_wheel(tmp_path / "new", "1.0", "new"), "new")
    _, result = run_once(client, probe_task(cluster, new, "version"))
    assert logs(result).startswith("old")


def test_waiting_and_queued_runs_after_a_crash(state: Path, tmp_path: Path) -> None:
    """With one slot: a run that held it, one that waited for it, and both end as interrupted."""
    client = connect(daemon.ensure_up(max_processes=1))
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    pids = tmp_path / "pids"
    task = probe_task(cluster, wheel, "hold", str(pids))
    job = make_job(client, [task], max_concurrent_runs=2)
    runs = [trigger(client, job), trigger(client, job)]
    until(lambda: pids.exists() or None)
    waiting = client.jobs.get_run(runs[1])
    assert waiting.state
    assert waiting.state.life_cycle_state
    assert waiting.state.life_cycle_state.value == "PENDING"
    kill_server()
    client = start_again()
    for run_id in runs:
        run = finish(client, run_id)
        assert run.state
        assert run.state.life_cycle_state
        assert run.state.life_cycle_state.value == "INTERNAL_ERROR"


def test_down_ends_runs_as_a_crash_does(state: Path, tmp_path: Path) -> None:
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    pids = tmp_path / "pids"
    run_id = trigger(client, make_job(client, [probe_task(cluster, wheel, "hold", str(pids))]))
    until(lambda: pids.exists() or None)
    assert daemon.down()
    until(lambda: all(is_gone(pid) for pid in json.loads(pids.read_text())) or None)
    run = start_again().jobs.get_run(run_id)
    assert run.state
    assert run.state.state_message
    assert "The local workspace was stopped" in run.state.state_message


def test_down_ends_what_a_killed_server_has_left(state: Path, tmp_path: Path) -> None:
    client = connect(daemon.ensure_up())
    cluster = start_cluster(client)
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    pids = tmp_path / "pids"
    trigger(client, make_job(client, [probe_task(cluster, wheel, "hold", str(pids))]))
    until(lambda: pids.exists() or None)
    kill_server()
    assert not daemon.down()
    until(lambda: all(is_gone(pid) for pid in json.loads(pids.read_text())) or None)


SLOW_BACKEND = """
import os, time
def build_wheel(folder, *_):
    with open("PIDS", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
"""


def test_an_installation_ends_with_its_server(state: Path, tmp_path: Path) -> None:
    """Killed while it built a package: its builder is gone, and the next server builds again."""
    client = connect(daemon.ensure_up())
    pids = tmp_path / "pids"
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as archive:
        for name, text in {
            "PKG-INFO": "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n",
            "slow_backend.py": SLOW_BACKEND.replace("PIDS", str(pids)),
            "pyproject.toml": "[build-system]\nrequires = []\n"
            'build-backend = "slow_backend"\nbackend-path = ["."]\n',
        }.items():
            member = tarfile.TarInfo(f"slow-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    package.seek(0)
    path = "/Volumes/main/default/lakeflow/slow-1.0.tar.gz"
    client.files.upload(path, package)
    requirements = "/Volumes/main/default/lakeflow/requirements.txt"
    client.files.upload(requirements, io.BytesIO(path.encode()))
    libraries = [Library(requirements=requirements)]
    cluster = start_cluster(client)
    client.libraries.install(cluster, libraries)
    builder = until(lambda: int(pids.read_text() or 0) or None if pids.exists() else None)
    pids.unlink()
    kill_server()
    client = start_again()
    until(lambda: is_gone(builder) or None)
    until(lambda: pids.exists() or None)
    (library,) = client.libraries.cluster_status(cluster)
    assert library.status == LibraryInstallStatus.INSTALLING


def test_kill_in_the_middle_of_several_tasks(state: Path, tmp_path: Path) -> None:
    """No waiting task is started, the job cluster is gone, and the run can be repaired."""
    client = connect(daemon.ensure_up())
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    pids = tmp_path / "pids"
    spec = ClusterSpec(
        spark_version=client.clusters.select_spark_version(long_term_support=True),
        node_type_id="local.small",
        num_workers=0,
    )
    first = probe_task(None, wheel, "hold", str(pids), task_key="first", job_cluster_key="shared")
    second = probe_task(
        None,
        wheel,
        "version",
        task_key="second",
        job_cluster_key="shared",
        depends_on=[TaskDependency("first")],
        run_if=RunIf.ALL_DONE,
    )
    clusters = [JobCluster(job_cluster_key="shared", new_cluster=spec)]
    run_id = trigger(client, make_job(client, [first, second], job_clusters=clusters))
    until(lambda: pids.exists() or None)
    kill_server()
    client = start_again()
    run = finish(client, run_id)
    assert results(run) == {"first": "FAILED", "second": "FAILED"}
    assert run.state
    assert run.state.state_message
    assert "The local workspace was stopped" in run.state.state_message
    assert [cluster.state for cluster in client.clusters.list()] == [State.TERMINATED]
    repair(client, run_id, rerun_tasks=["second"])
    assert results(finish(client, run_id)) == {"first": "FAILED", "second": "SUCCESS"}
