"""What tasks are and find: Python files, iterations, dbutils, and how the SDK logs in there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import State
from databricks.sdk.service.jobs import (
    ForEachTask,
    Run,
    Task,
    TaskDependency,
)

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import (
    ask,
    finish,
    logs,
    make_job,
    output,
    probe_task,
    python_task,
    result_of,
    results,
    run_once,
    start_cluster,
    trigger,
)


def test_a_python_file(client: WorkspaceClient, cluster: str) -> None:
    text = (
        "import sys\nif __name__ == '__main__':\n    print(sys.argv, __file__)\n    sys.exit(0)\n"
    )
    task = python_task(client, cluster, text, "a", "{{job.id}}")
    run, result = run_once(client, task)
    assert result_of(run) == "SUCCESS"
    assert task.spark_python_task
    path = task.spark_python_task.python_file
    assert logs(result).startswith(f"['{path}', 'a', '{run.job_id}'] /")


def test_a_python_file_that_fails(client: WorkspaceClient, cluster: str) -> None:
    run, result = run_once(client, python_task(client, cluster, "\n\nraise KeyError('x')\n"))
    assert result_of(run) == "FAILED"
    assert result.error == "KeyError: 'x'"
    assert result.error_trace
    assert ", line 3, in <module>\n" in result.error_trace
    assert "driver.py" not in result.error_trace
    run, result = run_once(client, python_task(client, cluster, "import sys; sys.exit(3)\n"))
    assert result.error == "SystemExit: 3"


def test_a_python_file_that_is_not_there(client: WorkspaceClient, cluster: str) -> None:
    task = python_task(client, cluster, "")
    assert task.spark_python_task
    task.spark_python_task.python_file = "/Workspace/none.py"
    run, _ = run_once(client, task)
    assert run.state
    assert "/Workspace/none.py" in (run.state.state_message or "")


def for_each(cluster: str, wheel: str, inputs: str, function: str, *parameters: str) -> Task:
    task = probe_task(cluster, wheel, function, *parameters, task_key="one")
    return Task(task_key="each", for_each_task=ForEachTask(inputs=inputs, concurrency=2, task=task))


def iterations(client: WorkspaceClient, run: Run) -> Run:
    (each,) = (task for task in run.tasks or () if task.task_key == "each")
    assert each.run_id
    return client.jobs.get_run(each.run_id)


def test_for_each(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    inputs = json.dumps([{"k": "a"}, {"k": "b"}, {"k": 3}])
    task = for_each(cluster, wheel, inputs, "echo", "{{input.k}}", "{{input}}")
    run = finish(client, trigger(client, make_job(client, [task])))
    assert result_of(run) == "SUCCESS"
    assert [task.task_key for task in run.tasks or ()] == ["each"]
    each = iterations(client, run)
    seen = []
    for iteration in each.iterations or ():
        assert iteration.run_id
        text = client.jobs.get_run_output(iteration.run_id).logs
        assert text
        seen.append(json.loads(text)["argv"][1:])
    assert sorted(seen) == [["3", '{"k": 3}'], ["a", '{"k": "a"}'], ["b", '{"k": "b"}']]
    shown = (run.tasks or [])[0].for_each_task
    assert shown
    assert shown.stats
    assert shown.stats.task_run_stats
    assert shown.stats.task_run_stats.succeeded_iterations == 3


def test_for_each_that_fails_in_part(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    inputs = json.dumps([str(tmp_path / name) for name in ("there", "missing", "there")])
    task = for_each(cluster, wheel, inputs, "need", "{{input}}")
    run = finish(client, trigger(client, make_job(client, [task])))
    assert result_of(run) == "FAILED"
    each = iterations(client, run)
    ends = [item.state and item.state.result_state for item in each.iterations or ()]
    assert sorted(end.value for end in ends if end) == ["FAILED", "SUCCESS", "SUCCESS"]
    assert each.state
    assert each.state.state_message == "1 of 3 iterations failed"


@pytest.mark.parametrize(("inputs", "expected"), [("[]", "SUCCESS"), ("{}", "FAILED")])
def test_for_each_of_nothing(
    client: WorkspaceClient, cluster: str, wheel: str, inputs: str, expected: str
) -> None:
    task = for_each(cluster, wheel, inputs, "echo")
    run = finish(client, trigger(client, make_job(client, [task])))
    assert result_of(run) == expected


def test_cancel_of_a_for_each_task(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    task = for_each(cluster, wheel, "[1, 2, 3]", "hold", "{{input}}")
    run_id = trigger(client, make_job(client, [task]))
    client.jobs.cancel_run(run_id)
    run = finish(client, run_id)
    assert result_of(run) == "CANCELED"
    assert results(run) == {"each": "CANCELED"}


PYSPARK = """
import sys, types
package = types.ModuleType("pyspark")
package.__path__ = []
sys.modules["pyspark"] = package  # as if pyspark were installed
from pyspark.dbutils import DBUtils
dbutils = DBUtils(None)
"""
SET = """
dbutils.jobs.taskValues.set("list", [1, {"two": "é"}])
dbutils.jobs.taskValues.set("text", "as it is")
"""
GET = """
print(dbutils.jobs.taskValues.get(taskKey="set", key="list"))
print(dbutils.jobs.taskValues.get("set", "none", default="the default"))
print(sys.argv[1:])
try:
    dbutils.jobs.taskValues.get("set", "none")
except ValueError as error:
    print(error)
"""


def test_task_values(client: WorkspaceClient, cluster: str) -> None:
    later = python_task(
        client,
        cluster,
        PYSPARK + GET,
        "{{tasks.set.values.text}}",
        "{{tasks.set.values.list}}",
        "{{tasks.set.result_state}}",
        "{{tasks.set.values.none}}",
        key="get",
    )
    later.depends_on = [TaskDependency("set")]
    job_id = make_job(client, [python_task(client, cluster, PYSPARK + SET, key="set"), later])
    run = finish(client, trigger(client, job_id))
    assert logs(output(client, run, 1)).splitlines() == [
        "[1, {'two': 'é'}]",
        "the default",
        "['as it is', '[1, {\"two\": \"é\"}]', 'success', '{{tasks.set.values.none}}']",
        "No task value with key 'none' was set by the task 'set'.",
    ]


@pytest.fixture(scope="module")
def sdk_cluster(client: WorkspaceClient) -> str:
    """A cluster whose tasks find the SDK: that of this process, so that no index is asked."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    site = str(Path(sys.modules["databricks.sdk"].__file__ or "").parents[2])
    runtimes = {"3.10": "14.3.x-scala2.12", "3.11": "15.4.x-scala2.12", "3.12": "16.4.x-scala2.12"}
    cluster = client.clusters.create_and_wait(
        spark_version=runtimes.get(minor, runtimes["3.12"]),
        node_type_id="local.small",
        num_workers=0,
        spark_env_vars={"PYTHONPATH": site},
    )
    assert cluster.cluster_id
    return cluster.cluster_id


LOG_IN = """
import os, sys
assert not {"DATABRICKS_HOST", "DATABRICKS_TOKEN"} & set(os.environ)
from databricks.sdk import WorkspaceClient
client = WorkspaceClient()
print(client.config.auth_type, client.current_user.me().user_name)
from databricks.sdk.runtime import dbutils
print(dbutils.secrets.get("of-tasks", "key"))
print(client.dbutils.widgets.get("parameter"))
print(client.config.authenticate()["Authorization"])
try:
    client.dbutils.notebook.run("/x", 60)
except NotImplementedError as error:
    print(error)
"""


def test_runtime_authentication(
    client: WorkspaceClient, endpoint: Endpoint, sdk_cluster: str
) -> None:
    """As on Databricks, with a token of the task's own, which ends with it."""
    client.secrets.create_scope("of-tasks")
    client.secrets.put_secret("of-tasks", "key", string_value="a secret é")
    task = python_task(client, sdk_cluster, LOG_IN)
    run, result = run_once(client, task, parameters={"parameter": "a value"})
    assert result_of(run) == "SUCCESS", result.error_trace
    lines = logs(result).splitlines()
    assert lines[0] == f"runtime {client.current_user.me().user_name}"
    assert lines[1:3] == ["a secret é", "a value"]
    assert lines[4] == "The local workspace does not serve dbutils.notebook yet."
    token = lines[3].removeprefix("Bearer ")
    assert token != endpoint.token
    assert ask(endpoint, "GET", "/api/2.2/jobs/list", token=token).status_code == 403


def test_secrets_in_variables_of_a_cluster(client: WorkspaceClient) -> None:
    """Read when it starts: a changed one needs a restart."""
    client.secrets.create_scope("of-clusters")
    client.secrets.put_secret("of-clusters", "key", string_value="first")
    cluster = start_cluster(client, spark_env_vars={"SECRET": "{{secrets/of-clusters/key}}"})
    task = python_task(client, cluster, "import os; print(os.environ['SECRET'])\n")
    job_id = make_job(client, [task])

    def printed() -> str:
        return logs(output(client, finish(client, trigger(client, job_id))))

    assert printed() == "first\n"
    client.secrets.put_secret("of-clusters", "key", string_value="second")
    assert printed() == "first\n"
    client.clusters.restart_and_wait(cluster)
    assert printed() == "second\n"
    spec = client.clusters.get(cluster).spark_env_vars
    assert spec == {"SECRET": "{{secrets/of-clusters/key}}"}


def test_a_secret_that_is_not_there(client: WorkspaceClient) -> None:
    task = Task.from_dict(
        {
            "task_key": "main",
            "new_cluster": {
                "spark_version": client.clusters.select_spark_version(long_term_support=True),
                "node_type_id": "local.small",
                "num_workers": 0,
                "spark_env_vars": {"SECRET": "{{secrets/none/key}}"},
            },
            "spark_python_task": {"python_file": "/Workspace/x.py"},
        }
    )
    run, _ = run_once(client, task)
    assert run.state
    assert "there is no secret key in the scope none" in (run.state.state_message or "")
    instance = (run.tasks or [])[0].cluster_instance
    assert instance
    assert instance.cluster_id
    assert client.clusters.get(instance.cluster_id).state == State.TERMINATED


FILES = """
import os, sys
mount = os.environ.get("LAKEFLOW_MOUNT", "")
print("mounted" if not mount else mount)
for path in sys.argv[1:]:
    with open(mount + path, "x") as file:
        file.write(path)
"""


def test_trees_at_the_root(client: WorkspaceClient, cluster: str, mount: Path) -> None:
    """Where the system lets the server; else below LAKEFLOW_MOUNT."""
    home = f"/Workspace/Users/{client.current_user.me().user_name}"
    paths = [f"{home}/a", "/Volumes/main/default/lakeflow/a", "/dbfs/a"]
    _, result = run_once(client, python_task(client, cluster, FILES, *paths))
    assert logs(result).strip() in ("mounted", str(mount))
    assert client.dbfs.read("/a").data
    for path in paths:
        assert Path(f"{mount}{path}").read_text() == path
