"""Runs of wheel tasks: argv, output, states and their exact messages."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, ResourceDoesNotExist
from databricks.sdk.service.compute import Library, PythonPyPiLibrary
from databricks.sdk.service.jobs import PythonWheelTask, QueueSettings, Task

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import (
    ask,
    finish,
    is_gone,
    logs,
    make_job,
    output,
    probe_task,
    probe_wheel,
    run_once,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.support.wheels import make_wheel


@pytest.fixture(scope="module")
def wheel(client: WorkspaceClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    return upload(client, probe_wheel(tmp_path_factory.mktemp("wheels"), "1.0+lf.0123456789ab"))


@pytest.fixture(scope="module")
def cluster(client: WorkspaceClient) -> str:
    return start_cluster(client, spark_env_vars={"FROM_CLUSTER": "yes"})


def test_success(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    run, result = run_once(client, probe_task(cluster, wheel, "echo", "-x", "", "{{job.id}}", "é "))
    assert run.state is not None
    state = run.state.as_dict()
    assert state == {
        "life_cycle_state": "TERMINATED",
        "result_state": "SUCCESS",
        "state_message": "",
        "user_cancelled_or_timedout": False,
    }
    assert run.status is not None
    assert run.status.as_dict() == {
        "state": "TERMINATED",
        "termination_details": {"code": "SUCCESS", "type": "SUCCESS", "message": ""},
    }
    seen = json.loads(logs(result))
    assert seen["argv"] == ["probe", "-x", "", str(run.job_id), "é "]
    assert run.start_time
    assert run.end_time
    assert run.end_time >= run.start_time
    assert run.run_page_url
    assert run.run_page_url.endswith(f"/#job/{run.job_id}/run/{run.run_id}")


def test_environment_of_a_task(
    client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str
) -> None:
    _, result = run_once(client, probe_task(cluster, wheel, "echo"))
    seen = json.loads(logs(result))
    environ = seen["environ"]
    assert environ["FROM_CLUSTER"] == "yes"
    assert environ["DB_CLUSTER_ID"] == cluster
    assert environ["DB_IS_DRIVER"] == "TRUE"
    assert environ["DATABRICKS_RUNTIME_VERSION"].count(".") == 1
    assert endpoint.token not in logs(result)
    assert not {"DATABRICKS_HOST", "DATABRICKS_TOKEN", "PYTHONPATH", "LAKEFLOW_STATE_DIR"} & set(
        environ
    )


def test_failure_has_error_and_traceback(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    run, result = run_once(client, probe_task(cluster, wheel, "fail"))
    message = "Task main failed with message: Workload failed, see run output for details."
    assert run.state
    assert run.state.as_dict() == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": message,
        "user_cancelled_or_timedout": False,
    }
    assert run.status
    assert run.status.as_dict() == {
        "state": "TERMINATED",
        "termination_details": {
            "code": "RUN_EXECUTION_ERROR",
            "type": "CLIENT_ERROR",
            "message": message,
        },
    }
    assert run.tasks
    assert run.tasks[0].state
    assert run.tasks[0].state.as_dict() == {
        "life_cycle_state": "TERMINATED",
        "result_state": "FAILED",
        "state_message": "Workload failed, see run output for details",
        "user_cancelled_or_timedout": False,
    }
    assert result.logs == "before the end\n"
    assert result.error == "ValueError: of the test"
    assert result.error_trace
    assert result.error_trace.startswith("Traceback (most recent call last):\n")
    assert "in fail\n" in result.error_trace
    assert "driver.py" not in result.error_trace


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("leave", "SystemExit: 0"),
        ("die", "The Python process exited with exit code 3 before the entry point returned."),
    ],
)
def test_exiting_with_a_code_fails(
    client: WorkspaceClient, cluster: str, wheel: str, function: str, error: str
) -> None:
    run, result = run_once(client, probe_task(cluster, wheel, function))
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "FAILED"
    assert result.error == error


def test_output_is_the_last_5_mb(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    _, result = run_once(client, probe_task(cluster, wheel, "write", "0123456789", "600000"))
    assert result.logs_truncated
    assert len(logs(result)) == 5 * 1024 * 1024 + 1
    assert logs(result).endswith("0123456789\n")


def test_output_of_a_job_run_is_refused(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    run, _ = run_once(client, probe_task(cluster, wheel, "echo"))
    assert run.run_id
    with pytest.raises(BadRequest, match="Please retrieve the output of each individual task run"):
        client.jobs.get_run_output(run.run_id)
    with pytest.raises(ResourceDoesNotExist, match="Run 123456 does not exist"):
        client.jobs.get_run(123456)


def test_a_function_that_is_not_an_entry_point(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    task = probe_task(cluster, wheel, "echo")
    task.python_wheel_task = PythonWheelTask(package_name="probe", entry_point="version")
    _, result = run_once(client, task)
    assert logs(result) == "the first text\nto stderr\n"


def test_a_missing_package(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    task = probe_task(cluster, wheel, "echo")
    task.python_wheel_task = PythonWheelTask(package_name="other", entry_point="version")
    run, _ = run_once(client, task)
    assert run.state
    assert run.state.state_message
    assert "Python wheel with name other could not be found." in run.state.state_message


def test_a_missing_cluster(client: WorkspaceClient, wheel: str) -> None:
    run, _ = run_once(client, probe_task("0000-none", wheel, "echo"))
    assert run.tasks
    assert run.tasks[0].state
    assert run.tasks[0].state.as_dict() == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": "Run executed on existing cluster ID 0000-none failed since the cluster"
        " does not exist.",
        "user_cancelled_or_timedout": False,
    }


def test_a_missing_library_file(client: WorkspaceClient, cluster: str) -> None:
    run, _ = run_once(client, probe_task(cluster, "/Workspace/gone-1.0-py3-none-any.whl", "echo"))
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code
    assert run.status.termination_details.code.value == "LIBRARY_INSTALLATION_ERROR"
    assert run.state
    assert run.state.state_message
    assert (
        f"Library installation attempted on the driver node of cluster {cluster} and failed."
        " The library file does not exist" in run.state.state_message
    )


def test_a_wheel_for_another_python(client: WorkspaceClient, cluster: str, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "other-python", "1.0", {"other.py": ""}, tag="cp37-cp37m-any")
    path = upload(client, wheel)
    run, _ = run_once(client, probe_task(cluster, path, "echo"))
    assert run.state
    assert run.state.state_message
    assert "no wheels with a matching Python" in run.state.state_message
    statuses = list(client.libraries.cluster_status(cluster))
    failed = next(status for status in statuses if status.library == Library(whl=path))
    assert failed.status
    assert failed.status.value == "FAILED"
    assert failed.messages


def test_four_runs_overlap(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    """Each of the four finishes only after all four have started."""
    job = make_job(
        client,
        [probe_task(cluster, wheel, "await_others", str(tmp_path), "{{job.run_id}}", "4")],
        max_concurrent_runs=4,
    )
    run_ids = [trigger(client, job) for _ in range(4)]
    runs = [finish(client, run_id) for run_id in run_ids]
    assert [run.state.result_state.value for run in runs] == ["SUCCESS"] * 4  # type: ignore[union-attr]
    assert {path.name for path in tmp_path.iterdir()} == {str(run_id) for run_id in run_ids}


def test_too_many_runs_are_skipped(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    job = make_job(
        client,
        [probe_task(cluster, wheel, "hold", str(tmp_path / "pids"))],
        queue=QueueSettings(enabled=False),
    )
    first, second = trigger(client, job), trigger(client, job)
    skipped = finish(client, second)
    assert skipped.state
    assert skipped.state.as_dict() == {
        "life_cycle_state": "SKIPPED",
        "result_state": "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "state_message": "Skipping this run because the limit of 1 maximum concurrent runs"
        " has been reached.",
        "user_cancelled_or_timedout": False,
    }
    client.jobs.cancel_run(first)
    finish(client, first)


def test_too_many_runs_are_queued_on_request(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    job = make_job(
        client,
        [probe_task(cluster, wheel, "hold", str(tmp_path / "{{job.run_id}}"))],
        queue=QueueSettings(enabled=True),
    )
    first, second = trigger(client, job), trigger(client, job)
    queued = client.jobs.get_run(second)
    assert queued.status
    assert queued.status.as_dict()["queue_details"]["code"] == "MAX_CONCURRENT_RUNS_REACHED"
    until(lambda: (tmp_path / str(first)).exists() or None)
    assert not (tmp_path / str(second)).exists()
    client.jobs.cancel_run(first)
    until(lambda: (tmp_path / str(second)).exists() or None)
    client.jobs.cancel_run(second)
    finish(client, second)


def test_cancel_ends_every_process(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    """The task, its child, and a child in another session; cancel returns after that."""
    pids = tmp_path / "pids"
    run_id = trigger(client, make_job(client, [probe_task(cluster, wheel, "hold", str(pids))]))
    until(lambda: pids.exists() or None)
    client.jobs.cancel_run(run_id)
    processes = json.loads(pids.read_text())
    until(lambda: all(is_gone(pid) for pid in processes) or None)
    run = finish(client, run_id)
    assert run.state
    assert run.state.as_dict() == {
        "life_cycle_state": "TERMINATED",
        "result_state": "CANCELED",
        "state_message": "Run cancelled.",
        "user_cancelled_or_timedout": True,
    }
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code
    assert run.status.termination_details.code.value == "USER_CANCELED"
    client.jobs.cancel_run(run_id)  # of a finished run: no error


def test_cancel_while_libraries_are_installed(
    client: WorkspaceClient, endpoint: Endpoint, wheel: str
) -> None:
    """The installer waits for an index that never responds; the cancel does not."""
    cluster = start_cluster(client)
    with socket.create_server(("127.0.0.1", 0)) as index:
        task = probe_task(cluster, wheel, "echo")
        pypi = PythonPyPiLibrary("nowhere", repo=f"http://127.0.0.1:{index.getsockname()[1]}")
        task.libraries = [Library(pypi=pypi)]
        run_id = trigger(client, make_job(client, [task]))
        request, _ = index.accept()
        client.jobs.cancel_run(run_id)
        run = client.jobs.get_run(run_id)
        request.close()
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "CANCELED"


def test_timeout(client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path) -> None:
    task = probe_task(cluster, wheel, "hold", str(tmp_path / "pids"), timeout_seconds=1)
    run, _ = run_once(client, task)
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "TIMEDOUT"
    assert run.state.user_cancelled_or_timedout


def test_retries(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    """Every attempt is in `tasks`, with its own id."""
    run, _ = run_once(client, probe_task(cluster, wheel, "fail", max_retries=2))
    assert run.tasks
    assert [task.attempt_number for task in run.tasks] == [0, 1, 2]
    assert len({task.run_id for task in run.tasks}) == 3


def test_idempotency_token_stays_reserved(
    client: WorkspaceClient, cluster: str, wheel: str
) -> None:
    job = make_job(client, [probe_task(cluster, wheel, "fail")])
    first = trigger(client, job, idempotency_token="one")
    assert finish(client, first).state
    assert trigger(client, job, idempotency_token="one") == first
    assert trigger(client, job, idempotency_token="two") != first
    assert trigger(client, job) != first
    with pytest.raises(BadRequest, match="at most 64 characters"):
        trigger(client, job, idempotency_token="x" * 65)


def test_parameters_at_run_now(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    task = probe_task(cluster, wheel, "echo", "fixed", "{{job.parameters.call}}")
    job = make_job(client, [task], parameters={"call": "default"}, max_concurrent_runs=10)

    def argv(**options: object) -> list[str]:
        run = finish(client, trigger(client, job, **options))
        found: list[str] = json.loads(logs(output(client, run)))["argv"]
        return found

    assert argv() == ["probe", "fixed", "default"]
    call = '{"argv": ["\\u007b\\u007bjob.id\\u007d\\u007d", "-x", ""]}'
    assert argv(job_parameters={"call": call}) == ["probe", "fixed", call]
    assert argv(python_params=["a", "{{unknown}}"]) == ["probe", "a", "{{unknown}}"]
    with pytest.raises(
        InvalidParameterValue,
        match="job_parameters can not be used in combination with python_params",
    ):
        trigger(client, job, job_parameters={"call": "x"}, python_params=["y"])
    with pytest.raises(InvalidParameterValue, match="only hold ASCII"):
        trigger(client, job, python_params=["é"])
    with pytest.raises(InvalidParameterValue, match="at most 10000 bytes"):
        trigger(client, job, python_params=["x" * 10_000])


def test_named_parameters(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    task = probe_task(cluster, wheel, "echo")
    task.python_wheel_task = PythonWheelTask(
        package_name="probe", entry_point="run-echo", named_parameters={"a": "1", "b": "2"}
    )
    _, result = run_once(client, task, parameters={"b": "of the job"})
    assert json.loads(logs(result))["argv"] == ["probe", "--a=1", "--b=of the job"]


def test_several_tasks_run_side_by_side(
    client: WorkspaceClient, cluster: str, wheel: str, tmp_path: Path
) -> None:
    tasks: list[Task] = [
        probe_task(cluster, wheel, "await_others", str(tmp_path), name, "2", task_key=name)
        for name in ("one", "two")
    ]
    run = finish(client, trigger(client, make_job(client, tasks)))
    assert run.state
    assert run.state.result_state
    assert run.state.result_state.value == "SUCCESS"


def test_list_runs(client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str) -> None:
    """Newest first, in pages, of one job or of all."""
    job = make_job(client, [probe_task(cluster, wheel, "echo")], max_concurrent_runs=100)
    run_ids = [trigger(client, job) for _ in range(5)]
    for run_id in run_ids:
        finish(client, run_id)
    listed = [run.run_id for run in client.jobs.list_runs(job_id=job, limit=2)]
    assert sorted(filter(None, listed)) == run_ids
    end_times = [run.end_time or 0 for run in client.jobs.list_runs(job_id=job, limit=2)]
    assert end_times == sorted(end_times, reverse=True)
    assert list(client.jobs.list_runs(job_id=job, active_only=True)) == []
    assert len(list(client.jobs.list_runs(job_id=job, completed_only=True))) == 5
    expanded = next(client.jobs.list_runs(job_id=job, expand_tasks=True))
    assert expanded.tasks
    assert ask(endpoint, "GET", "/api/2.1/jobs/runs/list?limit=25").status_code == 200
    assert ask(endpoint, "GET", "/api/2.1/jobs/runs/list?limit=26").status_code == 400


def test_only_the_log_of_a_task_is_kept(
    client: WorkspaceClient, mount: Path, cluster: str, wheel: str
) -> None:
    run, _ = run_once(client, probe_task(cluster, wheel, "echo"))
    assert run.tasks
    folder = mount.parent / "runs" / str(run.run_id) / str(run.tasks[0].run_id)
    assert sorted(os.listdir(folder)) == ["log", "result.json"]
