"""What a running cluster has installed: stale exactly as Databricks' own (see docs)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Library

from tests.lakeflow_local.helpers import (
    finish,
    logs,
    make_job,
    output,
    probe_task,
    probe_wheel,
    restart,
    run_once,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.support.wheels import make_wheel

Send = Callable[[str, str, str], str]


@pytest.fixture
def cluster(client: WorkspaceClient) -> str:
    return start_cluster(client)


@pytest.fixture
def send(client: WorkspaceClient, tmp_path: Path) -> Send:
    """Upload the probe of a version and a text into a folder."""

    def upload_probe(folder: str, version: str, text: str) -> str:
        return upload(client, probe_wheel(tmp_path / folder, version, text), folder)

    return upload_probe


def text_of(client: WorkspaceClient, cluster: str, wheel: str) -> str:
    _, result = run_once(client, probe_task(cluster, wheel, "version"))
    return logs(result).splitlines()[0]


def test_new_content_at_the_same_path_is_not_installed(
    client: WorkspaceClient, cluster: str, send: Send
) -> None:
    assert text_of(client, cluster, send("same", "1.0", "old")) == "old"
    assert text_of(client, cluster, send("same", "1.0", "new")) == "old"


def test_a_new_path_with_the_same_version_is_not_installed_until_a_restart(
    client: WorkspaceClient, cluster: str, send: Send
) -> None:
    assert text_of(client, cluster, send("one", "1.0", "old")) == "old"
    wheel = send("two", "1.0", "new")
    assert text_of(client, cluster, wheel) == "old"
    client.libraries.uninstall(cluster, [Library(whl=wheel.replace("/two/", "/one/"))])
    assert text_of(client, cluster, wheel) == "old"
    restart(client, cluster)
    assert text_of(client, cluster, wheel) == "new"


def test_a_new_version_is_installed(client: WorkspaceClient, cluster: str, send: Send) -> None:
    assert text_of(client, cluster, send("plain", "1.0", "old")) == "old"
    assert text_of(client, cluster, send("plain", "1.1", "new")) == "new"


def test_a_stamped_version_is_installed(client: WorkspaceClient, cluster: str, send: Send) -> None:
    assert text_of(client, cluster, send("stamp", "1.0+lf.000000000001", "old")) == "old"
    assert text_of(client, cluster, send("stamp", "1.0+lf.000000000002", "new")) == "new"


def test_a_restart_installs_what_is_attached_from_its_files(
    client: WorkspaceClient, cluster: str, send: Send
) -> None:
    wheel = send("again", "1.0", "old")
    assert text_of(client, cluster, wheel) == "old"
    send("again", "1.0", "new")
    restart(client, cluster)
    assert text_of(client, cluster, wheel) == "new"


def test_a_terminated_cluster_is_started_by_a_run_and_clean(
    client: WorkspaceClient, cluster: str, send: Send
) -> None:
    wheel = send("stopped", "1.0", "old")
    assert text_of(client, cluster, wheel) == "old"
    client.clusters.delete_and_wait(cluster)
    send("stopped", "1.0", "new")
    assert text_of(client, cluster, wheel) == "new"


def test_a_running_task_keeps_its_environment(
    client: WorkspaceClient, cluster: str, send: Send, tmp_path: Path
) -> None:
    """While it holds, another version arrives; what it imports afterwards is still its own."""
    modules = {
        "late/__init__.py": (
            "import sys, time\n"
            "from pathlib import Path\n"
            "def main():\n"
            "    Path(sys.argv[1], 'began').touch()\n"
            "    while not Path(sys.argv[1], 'go').exists():\n"
            "        time.sleep(0.01)\n"
            "    from late.text import TEXT\n"
            "    print(TEXT)\n"
        ),
    }
    points = {"x": {"run-main": "late:main"}}

    def task(version: str, folder: str) -> int:
        wheel = make_wheel(
            tmp_path / version,
            "late",
            version,
            {**modules, "late/text.py": f"TEXT = {version!r}"},
            entry_points=points,
        )
        created = probe_task(cluster, upload(client, wheel, version), "main", folder)
        assert created.python_wheel_task
        created.python_wheel_task.package_name = "late"
        return trigger(client, make_job(client, [created]))

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    holding = task("1.0", str(first))
    until(lambda: (first / "began").exists() or None)
    (second / "go").touch()
    assert logs(output(client, finish(client, task("2.0", str(second))))) == "2.0\n"
    (first / "go").touch()
    assert logs(output(client, finish(client, holding))) == "1.0\n"


def test_leaves_first_needs_no_index(client: WorkspaceClient, cluster: str, tmp_path: Path) -> None:
    """A wheel that needs another by its exact stamped version, attached after that one."""
    leaf = make_wheel(tmp_path, "lf-test-leaf", "1.0+lf.aa", {"lf_test_leaf.py": "TEXT = 'leaf'"})
    top = make_wheel(
        tmp_path,
        "lf-test-top",
        "1.0+lf.bb",
        {"lf_test_top.py": "import lf_test_leaf\ndef main():\n    print(lf_test_leaf.TEXT)\n"},
        requires=["lf-test-leaf==1.0+lf.aa"],
        entry_points={"x": {"run-main": "lf_test_top:main"}},
    )
    task = probe_task(cluster, upload(client, leaf), "main")
    assert task.libraries
    task.libraries.append(Library(whl=upload(client, top)))
    assert task.python_wheel_task
    task.python_wheel_task.package_name = "lf-test-top"
    _, result = run_once(client, task)
    assert logs(result) == "leaf\n"


def test_libraries_stay_attached_in_order(
    client: WorkspaceClient, cluster: str, send: Send
) -> None:
    wheels = [send("order", version, "x") for version in ("1.0", "1.1")]
    for wheel in wheels:
        text_of(client, cluster, wheel)
    statuses = list(client.libraries.cluster_status(cluster))
    assert [status.library for status in statuses] == [Library(whl=wheel) for wheel in wheels]
    assert {status.status.value for status in statuses if status.status} == {"INSTALLED"}
    client.libraries.uninstall(cluster, [Library(whl=wheels[0])])
    last = list(client.libraries.cluster_status(cluster))[-1]
    assert last.library == Library(whl=wheels[0])
    assert last.status
    assert last.status.value == "UNINSTALL_ON_RESTART"
    restart(client, cluster)
    assert [status.library for status in client.libraries.cluster_status(cluster)] == [
        Library(whl=wheels[1])
    ]


def test_wheels_are_found_on_volumes_and_dbfs(
    client: WorkspaceClient, cluster: str, tmp_path: Path
) -> None:
    for number, (path, library) in enumerate(
        [
            ("/Volumes/main/default/lakeflow/w/", "/Volumes/main/default/lakeflow/w/"),
            ("dbfs:/w/", "dbfs:/w/"),
        ]
    ):
        wheel = probe_wheel(tmp_path, f"1.{number}+lf.ab", path)
        with wheel.open("rb") as file:
            if path.startswith("dbfs:"):
                client.dbfs.upload(path + wheel.name, file)
            else:
                client.files.upload(path + wheel.name, file)
        assert text_of(client, cluster, library + wheel.name) == path


def test_the_oldest_python_runs_the_driver(client: WorkspaceClient, send: Send) -> None:
    """The oldest runtime that this machine has a Python for."""
    versions = client.clusters.spark_versions().versions or []
    oldest = versions[-1].key
    assert oldest
    cluster = client.clusters.create_and_wait(
        spark_version=oldest, node_type_id="local.small", num_workers=0
    )
    assert cluster.cluster_id
    wheel = send("oldest", "1.0", "old")
    _, result = run_once(client, probe_task(cluster.cluster_id, wheel, "echo"))
    seen = json.loads(logs(result))["environ"]["DATABRICKS_RUNTIME_VERSION"]
    assert oldest.startswith(seen)
