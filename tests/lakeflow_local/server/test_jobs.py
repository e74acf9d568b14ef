"""Jobs: their settings, lists, and what is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, ResourceDoesNotExist
from databricks.sdk.service.jobs import JobSettings

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask, make_job, probe_task


def settings(name: str = "job", **changes: Any) -> dict[str, Any]:
    task = probe_task("cluster", "/Workspace/x.whl", "echo").as_dict()
    return {"name": name, "tasks": [task], **changes}


def task(**changes: Any) -> dict[str, Any]:
    changed: dict[str, Any] = settings()["tasks"][0] | changes
    return changed


def create(endpoint: Endpoint, body: dict[str, Any], version: str = "2.2") -> int:
    answer = ask(endpoint, "POST", f"/api/{version}/jobs/create", json=body)
    assert answer.status_code == 200, answer.text
    job_id: int = answer.json()["job_id"]
    return job_id


@pytest.mark.parametrize("version", ["2.2", "2.1", "2.0"])
def test_create_get_delete(endpoint: Endpoint, version: str) -> None:
    job_id = create(endpoint, settings(tags={"a": "b"}), version)
    got = ask(endpoint, "GET", f"/api/{version}/jobs/get?job_id={job_id}").json()
    assert got["settings"]["format"] == "MULTI_TASK"
    assert got["settings"]["max_concurrent_runs"] == 1
    assert got["settings"]["tags"] == {"a": "b"}
    assert got["settings"]["tasks"][0]["run_if"] == "ALL_SUCCESS"
    answer = ask(endpoint, "POST", f"/api/{version}/jobs/delete", json={"job_id": job_id})
    assert answer.json() == {}
    gone = ask(endpoint, "GET", f"/api/{version}/jobs/get?job_id={job_id}")
    assert gone.status_code == 400
    assert gone.json() == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": f"Job {job_id} does not exist.",
    }


def test_a_missing_job(client: WorkspaceClient) -> None:
    with pytest.raises(ResourceDoesNotExist, match="Job 99999 does not exist"):
        client.jobs.get(99999)
    for call in (client.jobs.run_now, client.jobs.delete):
        with pytest.raises(BadRequest, match="Job 99999 does not exist"):
            call(99999)
    with pytest.raises(BadRequest, match="Job 99999 does not exist"):
        client.jobs.reset(99999, JobSettings.from_dict(settings()))


def test_reset_replaces_and_update_merges(client: WorkspaceClient, endpoint: Endpoint) -> None:
    job_id = create(endpoint, settings(tags={"a": "b"}, timeout_seconds=5))
    client.jobs.reset(job_id, JobSettings.from_dict(settings("other")))
    after_reset = client.jobs.get(job_id).settings
    assert after_reset
    assert (after_reset.name, after_reset.tags, after_reset.timeout_seconds) == ("other", None, 0)

    second = probe_task("cluster", "/Workspace/x.whl", "echo", task_key="second")
    client.jobs.update(job_id, new_settings=JobSettings(tasks=[second], timeout_seconds=7))
    updated = client.jobs.get(job_id).settings
    assert updated
    assert updated.tasks
    assert [task.task_key for task in updated.tasks] == ["main", "second"]
    assert (updated.name, updated.timeout_seconds) == ("other", 7)

    client.jobs.update(job_id, fields_to_remove=["timeout_seconds", "tasks/main"])
    reduced = client.jobs.get(job_id).settings
    assert reduced
    assert reduced.tasks
    assert [task.task_key for task in reduced.tasks] == ["second"]
    assert reduced.timeout_seconds == 0


def test_list_filters_by_exact_name_ignoring_case(client: WorkspaceClient) -> None:
    task = probe_task("cluster", "/Workspace/x.whl", "echo")
    ids = [make_job(client, [task], name=name) for name in ("Exact", "exact", "exactly", "exac")]
    assert [job.job_id for job in client.jobs.list(name="eXact")] == [ids[1], ids[0]]


def test_list_pages_newest_first(client: WorkspaceClient, endpoint: Endpoint) -> None:
    task = probe_task("cluster", "/Workspace/x.whl", "echo")
    ids = [make_job(client, [task], name="paged") for _ in range(5)]
    assert [job.job_id for job in client.jobs.list(name="paged", limit=2)] == ids[::-1]
    page = ask(endpoint, "GET", "/api/2.2/jobs/list?name=paged&limit=2").json()
    assert page["has_more"]
    assert "tasks" not in page["jobs"][0]["settings"]
    expanded = ask(endpoint, "GET", "/api/2.2/jobs/list?name=paged&expand_tasks=true").json()
    assert expanded["jobs"][0]["settings"]["tasks"]
    assert ask(endpoint, "GET", "/api/2.2/jobs/list?limit=101").status_code == 400
    assert ask(endpoint, "GET", "/api/2.2/jobs/list?page_token=nonsense").status_code == 400


def test_get_pages_tasks_by_100(client: WorkspaceClient, endpoint: Endpoint) -> None:
    tasks = [
        probe_task("cluster", "/Workspace/x.whl", "echo", task_key=f"task{number}")
        for number in range(150)
    ]
    job_id = make_job(client, tasks)
    first = ask(endpoint, "GET", f"/api/2.2/jobs/get?job_id={job_id}").json()
    assert len(first["settings"]["tasks"]) == 100
    found = client.jobs.get(job_id).settings
    assert found
    assert found.tasks
    assert len(found.tasks) == 150


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": []}, "at least one task"),
        ({"tags": {str(n): "" for n in range(26)}}, "at most 25 tags"),
        ({"max_concurrent_runs": 1001}, "between 0 and 1000"),
        ({"parameters": [{"name": "x"}]}, "'x' is missing default value."),
        ({"parameters": [{"name": "a b", "default": ""}]}, "not a valid job parameter name"),
        ({"tasks": [{"task_key": "a"}]}, "exactly one of python_wheel_task"),
        ({"tasks": [task(existing_cluster_id=None)]}, "exactly one of existing_cluster_id"),
        ({"tasks": [task(job_cluster_key="x")]}, "exactly one of existing_cluster_id"),
        (
            {"tasks": [task(existing_cluster_id=None, job_cluster_key="x")]},
            "'x' does not exist in job_clusters",
        ),
        (
            {"tasks": [task(existing_cluster_id=None, environment_key="x")]},
            "'x' does not exist in environments",
        ),
        (
            {"tasks": [task(existing_cluster_id=None, new_cluster={"num_workers": 0})]},
            "spark_version",
        ),
        ({"environments": [{"environment_key": "x", "spec": {}}]}, "environment_version"),
        ({"tasks": [task(depends_on=[{"task_key": "x"}])]}, "depends on 'x', which does not exist"),
        ({"tasks": [task(depends_on=[{"task_key": "main"}])]}, "depend on one another"),
        ({"tasks": [task(run_if="NEVER")]}, "run_if must be one of"),
        ({"tasks": [{"task_key": "a b"}]}, "not a valid task key"),
        ({"tasks": settings()["tasks"] * 2}, "must differ"),
    ],
)
def test_wrong_settings(endpoint: Endpoint, changes: dict[str, Any], message: str) -> None:
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", json=settings(**changes))
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"notebook_task": {"notebook_path": "/x"}}, "notebook_task"),
        ({"condition_task": {"op": "EQUAL_TO"}}, "condition_task"),
        ({"depends_on": [{"task_key": "x", "outcome": "true"}]}, "outcome"),
        ({"libraries": [{"jar": "/x.jar"}]}, "jar"),
        ({"condition_task": {}}, "condition_task"),
    ],
)
def test_unsupported_settings_are_refused_by_name(
    endpoint: Endpoint, change: dict[str, Any], named: str
) -> None:
    body = settings(tasks=[settings()["tasks"][0] | change])
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", json=body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert named in answer.json()["message"]


def test_an_empty_continuous_is_refused_too(endpoint: Endpoint) -> None:
    """The SDK sends `Continuous()` so, and such a job would run all the time."""
    body = settings(continuous={})
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", json=body)
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert "continuous" in answer.json()["message"]


def test_undeclared_job_parameters_are_refused(client: WorkspaceClient) -> None:
    job_id = make_job(client, [probe_task("c", "/Workspace/x.whl", "echo")])
    with pytest.raises(InvalidParameterValue, match="no parameter 'x'"):
        client.jobs.run_now(job_id, job_parameters={"x": "y"})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "MALFORMED_REQUEST"),
        (b"[]", "MALFORMED_REQUEST"),
        (b'{"job_id": "x"}', "MALFORMED_REQUEST"),
        (b'{"job_id": 1e400}', "MALFORMED_REQUEST"),
        (b'{"job_id": 99999999999999999999999}', "MALFORMED_REQUEST"),
        (b"{}", "INVALID_PARAMETER_VALUE"),
    ],
)
def test_malformed_bodies(endpoint: Endpoint, body: bytes, code: str) -> None:
    answer = ask(endpoint, "POST", "/api/2.2/jobs/run-now", data=body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == code


def test_a_text_that_is_not_unicode(endpoint: Endpoint) -> None:
    body = settings() | {"name": "\ud800"}
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", json=body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "MALFORMED_REQUEST"


def test_null_is_ignored(endpoint: Endpoint) -> None:
    """Clients such as prefect-databricks send all their fields."""
    nothing = {"max_retries": None, "timeout_seconds": None, "depends_on": None}
    job_id = create(endpoint, {"name": "null", "tasks": [task(**nothing)], "schedule": None})
    job = ask(endpoint, "GET", "/api/2.2/jobs/get", params={"job_id": job_id}).json()
    assert None not in job["settings"]["tasks"][0].values()
    body = {"job_id": job_id, "job_parameters": {"x": None}}  # of a map it is a value
    refused = ask(endpoint, "POST", "/api/2.2/jobs/run-now", json=body)
    assert refused.status_code == 400


def test_the_maximum_number_of_jobs(state: Path) -> None:
    """All but one are written to the database while no server uses it."""
    daemon.ensure_up()
    daemon.down()
    with closing(sqlite3.connect(state / "local" / "workspace.sqlite")) as database, database:
        database.executemany(
            "INSERT INTO jobs (job_id, name_key, settings, created) VALUES (?, 'x', '{}', 0)",
            [(number,) for number in range(1_000_000, 1_000_000 + 11_999)],
        )
    endpoint = daemon.ensure_up()
    create(endpoint, settings())
    answer = ask(endpoint, "POST", "/api/2.2/jobs/create", json=settings())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "QUOTA_EXCEEDED")
    assert "The current quota is 12000." in answer.json()["message"]
