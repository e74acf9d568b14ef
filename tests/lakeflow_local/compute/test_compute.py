"""Where tasks compute: job clusters, shared ones, serverless environments, and their libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import (
    ClusterSpec,
    Environment,
    Library,
    PythonPyPiLibrary,
    State,
)
from databricks.sdk.service.jobs import JobCluster, JobEnvironment, Task, TaskDependency

from tests.lakeflow_local.helpers import (
    finish,
    logs,
    make_job,
    output,
    probe_task,
    result_of,
    run_once,
    start_cluster,
    trigger,
    upload,
)
from tests.support.wheels import make_wheel


@pytest.fixture(scope="module")
def spec(client: WorkspaceClient) -> ClusterSpec:
    return ClusterSpec(
        spark_version=client.clusters.select_spark_version(long_term_support=True),
        node_type_id=client.clusters.select_node_type(local_disk=True),
        num_workers=0,
    )


def test_a_cluster_of_its_own(client: WorkspaceClient, spec: ClusterSpec, wheel: str) -> None:
    """Created for the task, and terminated when it has finished."""
    run, result = run_once(client, probe_task(None, wheel, "echo", new_cluster=spec))
    assert result_of(run) == "SUCCESS"
    environ = json.loads(logs(result))["environ"]
    assert environ["DB_IS_JOB_CLUSTER"] == "TRUE"
    task = (run.tasks or [])[0]
    assert task.cluster_instance
    assert task.cluster_instance.cluster_id == environ["DB_CLUSTER_ID"]
    cluster = client.clusters.get(environ["DB_CLUSTER_ID"])
    assert cluster.state == State.TERMINATED
    assert cluster.cluster_source
    assert cluster.cluster_source.value == "JOB"
    assert cluster.termination_reason
    assert cluster.termination_reason.code
    assert cluster.termination_reason.code.value == "JOB_FINISHED"


def test_a_cluster_that_tasks_share(client: WorkspaceClient, spec: ClusterSpec, wheel: str) -> None:
    """Each run has its own."""

    def task(key: str, *upstream: str) -> Task:
        depends_on = [TaskDependency(name) for name in upstream]
        return probe_task(
            None, wheel, "echo", task_key=key, job_cluster_key="shared", depends_on=depends_on
        )

    job_id = make_job(
        client,
        [task("one"), task("two", "one")],
        job_clusters=[JobCluster(job_cluster_key="shared", new_cluster=spec)],
    )
    seen: list[str] = []
    for _ in range(2):
        run = finish(client, trigger(client, job_id))
        assert result_of(run) == "SUCCESS"
        instances = [task.cluster_instance for task in run.tasks or ()]
        ids = {instance.cluster_id or "" for instance in instances if instance}
        assert len(ids) == 1
        seen.extend(ids)
    assert len(set(seen)) == 2
    for cluster_id in seen:
        assert client.clusters.get(cluster_id).state == State.TERMINATED


def test_serverless(client: WorkspaceClient, tmp_path: Path) -> None:
    """One installation of all dependencies: they find one another whatever their order."""
    leaf = make_wheel(tmp_path, "lf-test-leaf", "1.0", {"leaf.py": "text = 'leaf'\n"})
    top = make_wheel(
        tmp_path,
        "lf-test-top",
        "1.0",
        {"top.py": "import leaf, os\ndef main(): print(leaf.text, os.environ)\n"},
        entry_points={"any": {"main": "top:main"}},
        requires=["lf-test-leaf==1.0"],
    )
    client.files.upload(f"/Volumes/main/default/lakeflow/{leaf.name}", leaf.open("rb"))
    dependencies = [upload(client, top), f"/Volumes/main/default/lakeflow/{leaf.name}", "# none"]
    environment = JobEnvironment(
        environment_key="default",
        spec=Environment(environment_version="2", dependencies=dependencies),
    )
    task = probe_task(None, None, "main", environment_key="default")
    assert task.python_wheel_task
    task.python_wheel_task.package_name = "lf-test-top"
    task.python_wheel_task.entry_point = "main"
    run, result = run_once(client, task, environments=[environment])
    assert result_of(run) == "SUCCESS"
    assert logs(result).startswith("leaf ")
    assert "'DATABRICKS_RUNTIME_VERSION': 'client.2.0'" in logs(result)
    assert "DB_CLUSTER_ID" not in logs(result)
    assert not (run.tasks or [])[0].cluster_instance


def test_serverless_tries_once_more_by_itself(client: WorkspaceClient, wheel: str) -> None:
    environment = JobEnvironment(
        environment_key="default", spec=Environment(client="2", dependencies=[wheel])
    )
    tasks = [
        probe_task(None, None, "fail", task_key="unasked", environment_key="default"),
        probe_task(
            None,
            None,
            "fail",
            task_key="never",
            environment_key="default",
            disable_auto_optimization=True,
        ),
    ]
    job_id = make_job(client, tasks, environments=[environment])
    run = finish(client, trigger(client, job_id))
    keys = sorted(task.task_key or "" for task in run.tasks or ())
    assert keys == ["never", "unasked", "unasked"]


def test_a_dependency_that_is_not_there(client: WorkspaceClient) -> None:
    environment = JobEnvironment(
        environment_key="default",
        spec=Environment(
            environment_version="2", dependencies=["/Workspace/none-1-py3-none-any.whl"]
        ),
    )
    task = probe_task(None, None, "echo", environment_key="default", disable_auto_optimization=True)
    run, _ = run_once(client, task, environments=[environment])
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code
    assert run.status.termination_details.code.value == "LIBRARY_INSTALLATION_ERROR"
    assert run.state
    assert "/Workspace/none-1-py3-none-any.whl" in (run.state.state_message or "")


def test_libraries_of_an_index_and_of_a_requirements_file(
    client: WorkspaceClient, wheel: str, tmp_path: Path
) -> None:
    """The file names a wheel of the workspace; the index is a folder, so that none is asked."""
    cluster = start_cluster(client)
    index = tmp_path / "index" / "lf-test-indexed"
    make_wheel(index, "lf-test-indexed", "1.0", {"indexed.py": ""})
    name = "lf_test_indexed-1.0-py3-none-any.whl"
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')
    listed = make_wheel(tmp_path, "lf-test-listed", "2.0", {"listed.py": ""})
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# what we need\n{upload(client, listed)}\n")
    task = probe_task(cluster, wheel, "echo")
    task.libraries = [
        Library(pypi=PythonPyPiLibrary("lf-test-indexed==1.0", repo=index.parent.as_uri())),
        Library(requirements=upload(client, requirements)),
        Library(whl=wheel),
    ]
    run, _ = run_once(client, task)
    assert result_of(run) == "SUCCESS", run.state
    statuses = list(client.libraries.cluster_status(cluster))
    assert [status.status and status.status.value for status in statuses] == ["INSTALLED"] * 3
    assert output(client, run)
