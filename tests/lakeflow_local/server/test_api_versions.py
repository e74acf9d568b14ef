"""Jobs API 2.0, 2.1 and 2.2 side by side."""

from __future__ import annotations

from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import (
    ask,
    finish,
    make_job,
    output,
    probe_task,
    results,
    trigger,
)

Json = dict[str, Any]


def get(endpoint: Endpoint, path: str, **query: Any) -> Json:
    answer = ask(endpoint, "GET", f"/api/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def post(endpoint: Endpoint, path: str, body: Json) -> Json:
    answer = ask(endpoint, "POST", f"/api/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def flat(cluster: str, wheel: str, function: str, *parameters: str) -> Json:
    """A job's settings as clients of API 2.0 send them."""
    return {
        "name": "old",
        "existing_cluster_id": cluster,
        "libraries": [{"whl": wheel}],
        "max_retries": 1,
        "python_wheel_task": {
            "package_name": "probe",
            "entry_point": f"run-{function}",
            "parameters": list(parameters),
        },
    }


def test_a_job_of_the_old_format_and_its_runs(
    client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str
) -> None:
    sent = flat(cluster, wheel, "fail")
    job_id = post(endpoint, "2.0/jobs/create", sent)["job_id"]
    old = get(endpoint, "2.0/jobs/get", job_id=job_id)["settings"]
    assert old["format"] == "SINGLE_TASK"
    assert "tasks" not in old
    assert {name: old[name] for name in sent} == sent
    new = get(endpoint, "2.1/jobs/get", job_id=job_id)["settings"]
    assert new["format"] == "MULTI_TASK"
    assert new["tasks"][0]["python_wheel_task"] == sent["python_wheel_task"]
    assert "python_wheel_task" not in new
    listed = get(endpoint, "2.0/jobs/list")
    assert listed.keys() == {"jobs"}
    assert listed["jobs"][0]["settings"] == old

    run_id = post(endpoint, "2.0/jobs/run-now", {"job_id": job_id})["run_id"]
    finish(client, run_id)
    run = get(endpoint, "2.0/jobs/runs/get", run_id=run_id)
    assert (run["format"], run["attempt_number"]) == ("SINGLE_TASK", 1)
    assert "tasks" not in run
    assert run["task"] == {"python_wheel_task": sent["python_wheel_task"]}
    assert run["cluster_spec"] == {"existing_cluster_id": cluster, "libraries": sent["libraries"]}
    assert run["cluster_instance"]["cluster_id"] == cluster
    assert run["state"]["result_state"] == "FAILED"
    found = get(endpoint, "2.0/jobs/runs/get-output", run_id=run_id)
    assert found["error"] == "ValueError: of the test"
    assert found["metadata"] == run
    runs = get(endpoint, "2.0/jobs/runs/list", job_id=job_id)
    assert runs == {"runs": [run], "has_more": False}
    assert len(get(endpoint, "2.1/jobs/runs/get", run_id=run_id)["tasks"]) == 2

    post(endpoint, "2.0/jobs/reset", {"job_id": job_id, "new_settings": sent | {"name": "new"}})
    change = {"python_wheel_task": flat(cluster, wheel, "version")["python_wheel_task"]}
    post(endpoint, "2.0/jobs/update", {"job_id": job_id, "new_settings": change})
    changed = get(endpoint, "2.0/jobs/get", job_id=job_id)["settings"]
    assert {name: changed[name] for name in sent} == sent | change | {"name": "new"}
    post(endpoint, "2.0/jobs/delete", {"job_id": job_id})


def test_a_submit_of_the_old_format(
    client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str
) -> None:
    sent = flat(cluster, wheel, "echo", "a b")
    run_id = post(endpoint, "2.0/jobs/runs/submit", {"run_name": "once", **sent})["run_id"]
    finish(client, run_id)
    assert '"a b"' in get(endpoint, "2.0/jobs/runs/get-output", run_id=run_id)["logs"]
    run = get(endpoint, "2.0/jobs/runs/get", run_id=run_id)
    assert (run["run_type"], run["run_name"]) == ("SUBMIT_RUN", "once")


def test_old_lists_have_no_page_tokens(
    client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str
) -> None:
    job_id = make_job(client, [probe_task(cluster, wheel, "version")], max_concurrent_runs=100)
    expected = [trigger(client, job_id) for _ in range(30)]
    for run_id in expected:
        finish(client, run_id)
    found: list[int] = []
    while True:
        page = get(endpoint, "2.0/jobs/runs/list", job_id=job_id, limit=26, offset=len(found))
        found += [run["run_id"] for run in page["runs"]]
        assert page.keys() == {"runs", "has_more"}
        if not page["has_more"]:
            break
    assert sorted(found) == expected
    assert len(get(endpoint, "2.0/jobs/runs/list", job_id=job_id, limit=0)["runs"]) == 30
    assert len(get(endpoint, "2.0/jobs/runs/list", job_id=job_id)["runs"]) == 20


def test_many_tasks_come_in_pages_in_api_2_2_only(endpoint: Endpoint) -> None:
    tasks = [
        {
            "task_key": f"t{number}",
            "existing_cluster_id": "none",
            "python_wheel_task": {"package_name": "probe", "entry_point": "x"},
        }
        for number in range(150)
    ]
    job_id = post(endpoint, "2.1/jobs/create", {"name": "many", "tasks": tasks})["job_id"]
    assert len(get(endpoint, "2.1/jobs/get", job_id=job_id)["settings"]["tasks"]) == 150
    assert len(get(endpoint, "2.0/jobs/get", job_id=job_id)["settings"]["tasks"]) == 150
    newest = get(endpoint, "2.2/jobs/get", job_id=job_id)
    assert len(newest["settings"]["tasks"]) == 100
    rest = get(endpoint, "2.2/jobs/get", job_id=job_id, page_token=newest["next_page_token"])
    assert len(rest["settings"]["tasks"]) == 50


def test_jobs_of_api_2_2_queue_unless_they_say_otherwise(endpoint: Endpoint) -> None:
    task = {
        "task_key": "main",
        "existing_cluster_id": "none",
        "python_wheel_task": {"package_name": "probe", "entry_point": "x"},
    }
    for version, said, expected in (
        ("2.2", {}, {"enabled": True}),
        ("2.2", {"queue": {"enabled": False}}, {"enabled": False}),
        ("2.1", {}, None),
        ("2.0", {}, None),
    ):
        job_id = post(endpoint, f"{version}/jobs/create", {"tasks": [task], **said})["job_id"]
        settings = get(endpoint, "2.2/jobs/get", job_id=job_id)["settings"]
        assert settings.get("queue") == expected
        body = {"job_id": job_id, "new_settings": {"tasks": [task], **said}}
        post(endpoint, f"{version}/jobs/reset", body)
        assert get(endpoint, "2.1/jobs/get", job_id=job_id)["settings"].get("queue") == expected


def chain(cluster: str, wheel: str) -> list[Any]:
    """Four tasks, each after the one before."""
    tasks = []
    for number, key in enumerate("abcd"):
        depends_on = [{"task_key": "abcd"[number - 1]}] if number else []
        task = probe_task(cluster, wheel, "version", task_key=key)
        tasks.append(type(task).from_dict({**task.as_dict(), "depends_on": depends_on}))
    return tasks


@pytest.mark.parametrize(
    ("only", "chosen"),
    [(["c"], "c"), (["+b"], "ab"), (["c+"], "cd"), (["+b+"], "abcd"), (["d", "a"], "ad")],
)
def test_only_some_tasks_of_a_job(
    client: WorkspaceClient, cluster: str, wheel: str, only: list[str], chosen: str
) -> None:
    job_id = make_job(client, chain(cluster, wheel))
    run = finish(client, trigger(client, job_id, only=only))
    assert results(run) == dict.fromkeys(chosen, "SUCCESS")


def test_wrong_triggers_are_refused(
    client: WorkspaceClient, endpoint: Endpoint, cluster: str, wheel: str
) -> None:
    tasks = [probe_task(cluster, wheel, "version")]
    job_id = make_job(client, tasks, parameters={"p": "x"})
    for body, code, message in (
        ({"only": ["e"]}, "INVALID_PARAMETER_VALUE", "The job has no task 'e'."),
        ({"only": "main"}, "MALFORMED_REQUEST", "for field 'only'"),
        ({"python_params": "text"}, "MALFORMED_REQUEST", "for field 'python_params'"),
        ({"job_parameters": {"p": None}}, "MALFORMED_REQUEST", "Expected both 'key' and 'value'"),
        (
            {"notebook_params": {"a": "b"}, "jar_params": ["a"]},
            "INVALID_PARAMETER_VALUE",
            "notebook_params can not be used in combination with jar_params",
        ),
        (
            {"job_parameters": {"p": "y"}, "python_named_params": {"a": "b"}},
            "INVALID_PARAMETER_VALUE",
            "job_parameters can not be used in combination with python_named_params",
        ),
    ):
        for version in ("2.2", "2.1", "2.0"):
            path = f"/api/{version}/jobs/run-now"
            answer = ask(endpoint, "POST", path, json={"job_id": job_id, **body})
            assert answer.status_code == 400
            assert answer.json()["error_code"] == code
            assert message in answer.json()["message"]
    assert list(client.jobs.list_runs(job_id=job_id)) == []


def test_exports_are_of_notebooks(client: WorkspaceClient, cluster: str, wheel: str) -> None:
    job_id = make_job(client, [probe_task(cluster, wheel, "version")])
    run_id = trigger(client, job_id)
    run = finish(client, run_id)
    assert output(client, run).logs
    with pytest.raises(BadRequest, match=f"Run {run_id} is not a run of a notebook"):
        client.jobs.export_run(run_id)
    with pytest.raises(BadRequest, match="Run 999999 does not exist"):
        client.jobs.export_run(999999)
