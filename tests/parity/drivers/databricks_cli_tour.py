"""databricks-cli 0.18, the old Python CLI: its commands, else the library below them."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from databricks_cli.cli import cli
from databricks_cli.sdk import (
    ApiClient,
    ClusterService,
    DbfsService,
    JobsService,
    SecretService,
    WorkspaceService,
)

from tests.parity.drivers.tour import Tour, equal, until

tour = Tour()
facts = tour.facts
ENVIRON = {"DATABRICKS_HOST": facts.host, "DATABRICKS_TOKEN": facts.token}
CONTENT = b"some bytes \x00\xff" * 10
api = ApiClient(host=facts.host, token=facts.token)
TASK = {
    "existing_cluster_id": facts.cluster_id,
    "libraries": [{"whl": facts.wheel}],
}


def run(*arguments: str) -> str:
    finished = CliRunner().invoke(cli, arguments, env=ENVIRON)
    if finished.exit_code:
        raise RuntimeError(f"{arguments}: {finished.output} {finished.exception}")
    return str(finished.stdout)


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments))


def task(function: str, *parameters: str) -> dict[str, Any]:
    wheel_task = {"package_name": "probe", "entry_point": f"run-{function}"}
    return {**TASK, "python_wheel_task": {**wheel_task, "parameters": list(parameters)}}


def jobs_and_runs(version: str) -> None:
    tour.version = version
    of = f"--version={version}"
    service = JobsService(api)
    name = f"{facts.name}-{version}"

    def settings(function: str, *parameters: str) -> dict[str, Any]:
        one = task(function, *parameters)
        return one if version == "2.0" else {"tasks": [{"task_key": "main", **one}]}

    def completed(run_id: int) -> dict[str, Any]:
        def end() -> dict[str, Any] | None:
            found: dict[str, Any] = service.get_run(run_id, version=version)
            return found if found.get("end_time") else None

        return until(end)

    def output(found: dict[str, Any]) -> Any:
        ident = found["run_id"] if version == "2.0" else found["tasks"][-1]["run_id"]
        return answer("runs", "get-output", of, "--run-id", str(ident))

    with tour.call("POST jobs/create"):
        requested = json.dumps({"name": name, **settings("echo", "one")})
        job_id = answer("jobs", "create", of, "--json", requested)["job_id"]
    with tour.call("GET jobs/get"):
        got = answer("jobs", "get", of, "--job-id", str(job_id))
        equal(got["settings"]["name"], name)
    with tour.call("GET jobs/list"):
        equal(f"{job_id}  {name}" in run("jobs", "list", of), True)
    if version != "2.0":
        with tour.call("GET jobs/list: by name"):
            found = answer("jobs", "list", of, "--name", name, "--output", "JSON")
            equal([each["job_id"] for each in found["jobs"]], [job_id])
        with tour.call("GET jobs/list: page by page"):
            for number in range(2):
                requested = json.dumps({"name": f"{name}-{number}", **settings("echo")})
                run("jobs", "create", of, "--json", requested)
            found = answer("jobs", "list", of, "--all", "--limit", "1", "--output", "JSON")
            equal(job_id in [each["job_id"] for each in found["jobs"]], True)
    with tour.call("POST jobs/update"):
        service.update_job(job_id, new_settings={"timeout_seconds": 600}, version=version)
        got = service.get_job(job_id, version=version)
        equal(got["settings"]["timeout_seconds"], 600)
    with tour.call("POST jobs/reset"):
        requested = json.dumps({"name": name, **settings("echo", "one")})
        run("jobs", "reset", of, "--job-id", str(job_id), "--json", requested)
        got = service.get_job(job_id, version=version)
        equal(got["settings"].get("timeout_seconds", 0), 0)
    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        done = completed(answer("jobs", "run-now", of, "--job-id", str(job_id))["run_id"])
        got = answer("runs", "get", of, "--run-id", str(done["run_id"]))
        equal(got["state"]["result_state"], "SUCCESS")
    with tour.call("POST jobs/run-now: the same idempotency token twice"):
        token = uuid.uuid4().hex
        asking = ("jobs", "run-now", of, "--job-id", str(job_id), "--idempotency-token", token)
        first, second = (answer(*asking)["run_id"] for _ in "12")
        equal(first, second)
        completed(first)
    with tour.call("GET jobs/runs/list"):
        found = answer("runs", "list", of, "--job-id", str(job_id), "--output", "JSON")
        equal(done["run_id"] in [each["run_id"] for each in found["runs"]], True)
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        equal('["probe", "one"]' in output(done)["logs"], True)
    with tour.call(
        "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"
    ):
        requested = json.dumps({"run_name": "parity", **settings("echo", "submitted")})
        submitted = answer("runs", "submit", of, "--json", requested, "--wait")
        equal('["probe", "submitted"]' in output(completed(submitted["run_id"]))["logs"], True)
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        requested = json.dumps({"name": f"{name}-fails", **settings("fail")})
        failing = answer("jobs", "create", of, "--json", requested)["job_id"]
        failed = completed(answer("jobs", "run-now", of, "--job-id", str(failing))["run_id"])
        equal(failed["state"]["result_state"], "FAILED")
        equal(output(failed)["error"], "ValueError: of the test")
        equal("Traceback" in output(failed)["error_trace"], True)
    if version != "2.0":
        with tour.call("POST jobs/runs/repair"):
            requested = json.dumps({"name": name, **settings("echo", "repaired")})
            run("jobs", "reset", of, "--job-id", str(failing), "--json", requested)
            service.repair(failed["run_id"], rerun_tasks=["main"], version=version)
            equal(completed(failed["run_id"])["state"]["result_state"], "SUCCESS")
        with tour.call("POST jobs/create: two tasks, one after the other, on a job cluster"):
            spec = {"spark_version": facts.spark_version, "node_type_id": facts.node_type_id}
            clusters = [{"job_cluster_key": "shared", "new_cluster": {**spec, "num_workers": 0}}]
            tasks = [{"task_key": key, **task("echo"), "job_cluster_key": "shared"} for key in "ab"]
            for each in tasks:
                del each["existing_cluster_id"]
            tasks[1]["depends_on"] = [{"task_key": "a"}]
            requested = json.dumps({"name": name, "tasks": tasks, "job_clusters": clusters})
            both = answer("jobs", "create", of, "--json", requested)["job_id"]
            two = completed(answer("jobs", "run-now", of, "--job-id", str(both))["run_id"])
            times = {each["task_key"]: each for each in two["tasks"]}
            equal(two["state"]["result_state"], "SUCCESS")
            equal(times["a"]["end_time"] <= times["b"]["start_time"], True)
    with tour.call("GET jobs/runs/export"):
        ident = done["run_id"] if version == "2.0" else done["tasks"][-1]["run_id"]
        service.export_run(ident, version=version)
    with tour.call("POST jobs/runs/cancel"):
        requested = json.dumps({"name": name, **settings("await_others", "/", "tmp", "100000")})
        holding = answer("jobs", "create", of, "--json", requested)["job_id"]
        held = answer("jobs", "run-now", of, "--job-id", str(holding))["run_id"]
        run("runs", "cancel", of, "--run-id", str(held))
        equal(completed(held)["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/cancel-all"):
        held = answer("jobs", "run-now", of, "--job-id", str(holding))["run_id"]
        service.cancel_all_runs(job_id=holding, version=version)
        equal(completed(held)["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/delete"):
        service.delete_run(held, version=version)
        found = service.list_runs(job_id=holding, version=version)
        equal(held in [each["run_id"] for each in found.get("runs", [])], False)
    with tour.call("POST jobs/delete"):
        run("jobs", "delete", of, "--job-id", str(job_id))
        equal(str(job_id) in run("jobs", "list", of).split(), False)


def clusters() -> None:
    spec = {
        "cluster_name": facts.name,
        "spark_version": facts.spark_version,
        "node_type_id": facts.node_type_id,
        "num_workers": 0,
    }
    with tour.call("GET clusters/spark-versions"):
        versions = answer("clusters", "spark-versions")["versions"]
        equal(facts.spark_version in [each["key"] for each in versions], True)
    with tour.call("GET clusters/list-node-types"):
        types = answer("clusters", "list-node-types")["node_types"]
        equal(facts.node_type_id in [each["node_type_id"] for each in types], True)
    with tour.call("GET clusters/list-zones"):
        equal(bool(answer("clusters", "list-zones")["zones"]), True)
    with tour.call("POST clusters/create", "GET clusters/get"):
        cluster_id = answer("clusters", "create", "--json", json.dumps(spec))["cluster_id"]

        def reach(state: str) -> None:
            asking = ("clusters", "get", "--cluster-id", cluster_id)
            until(lambda: answer(*asking)["state"] == state)

        reach("RUNNING")
    one = ("--cluster-id", cluster_id)
    with tour.call("GET clusters/list"):
        equal(cluster_id in run("clusters", "list"), True)
    wheel = (*one, "--whl", facts.wheel)
    with tour.call("POST libraries/install", "GET libraries/cluster-status"):
        run("libraries", "install", *wheel)
        until(lambda: "INSTALLED" in run("libraries", "cluster-status", *one))
    with tour.call("GET libraries/all-cluster-statuses"):
        equal(cluster_id in run("libraries", "all-cluster-statuses"), True)
    with tour.call("POST libraries/uninstall"):
        run("libraries", "uninstall", *wheel)
        equal("UNINSTALL_ON_RESTART" in run("libraries", "cluster-status", *one), True)
    with tour.call("POST clusters/resize"):
        run("clusters", "resize", *one, "--num-workers", "1")
        reach("RUNNING")
    with tour.call("POST clusters/restart"):
        run("clusters", "restart", *one)
        reach("RUNNING")
    with tour.call("POST clusters/edit"):
        requested = {**spec, "cluster_id": cluster_id, "cluster_name": facts.name + "-2"}
        run("clusters", "edit", "--json", json.dumps(requested))
        reach("RUNNING")
        equal(answer("clusters", "get", *one)["cluster_name"], facts.name + "-2")
    with tour.call("POST clusters/delete"):
        run("clusters", "delete", *one)
        reach("TERMINATED")
    with tour.call("POST clusters/start"):
        run("clusters", "start", *one)
        reach("RUNNING")
    with tour.call("POST clusters/events"):
        equal("CREATING" in run("clusters", "events", *one, "--limit", "50"), True)
    with tour.call("POST clusters/pin"):
        ClusterService(api).pin_cluster(cluster_id)
    with tour.call("POST clusters/unpin"):
        ClusterService(api).unpin_cluster(cluster_id)
    with tour.call("POST clusters/permanent-delete"):
        run("clusters", "permanent-delete", *one)
        equal(cluster_id in run("clusters", "list"), False)
    with tour.call("GET policies/clusters/list"):
        run("cluster-policies", "list")
    with tour.call("POST policies/clusters/create"):
        requested = {"name": facts.name, "definition": "{}"}
        run("cluster-policies", "create", "--json", json.dumps(requested))
    with tour.call("GET instance-pools/list"):
        run("instance-pools", "list")
    with tour.call("POST instance-pools/create"):
        requested = {"instance_pool_name": facts.name, "node_type_id": facts.node_type_id}
        run("instance-pools", "create", "--json", json.dumps(requested))


def workspace_files() -> None:
    home = f"/Users/{facts.user}/{facts.name}"
    here = Path("notebook.py")
    here.write_text("# Databricks notebook source\nprint(1)\n")
    with tour.call("POST workspace/mkdirs"):
        run("workspace", "mkdirs", home)
    with tour.call("POST workspace/import: a notebook"):
        run("workspace", "import", "--language", "PYTHON", str(here), f"{home}/notebook")
    with tour.call("GET workspace/list"):
        run("workspace", "list", home)
        equal("probe" in run("workspace", "list", str(Path(facts.wheel).parent)), True)
    with tour.call("GET workspace/get-status"):
        equal(WorkspaceService(api).get_status(facts.wheel)["object_type"], "FILE")
    with tour.call("GET workspace/export"):
        run("workspace", "export", facts.wheel, "wheel")
        equal(Path("wheel").read_bytes()[:2], b"PK")
    with tour.call("POST workspace/delete"):
        run("workspace", "delete", "--recursive", home)
        equal(facts.name in run("workspace", "list", f"/Users/{facts.user}"), False)


def dbfs() -> None:
    root = f"dbfs:/parity/{facts.name}"
    here = Path("bytes")
    here.write_bytes(CONTENT * 100_000)
    service = DbfsService(api)
    with tour.call("POST dbfs/mkdirs"):
        run("fs", "mkdirs", root)
    text = base64.b64encode(CONTENT).decode()
    with tour.call("POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"):
        handle = service.create(f"{root}/blocks", overwrite=True)["handle"]
        service.add_block(handle, text)
        service.close(handle)
    with tour.call("POST dbfs/put"):
        service.put(f"{root}/put", contents=text, overwrite=True)
    with tour.call("POST dbfs/put: as a multipart form"):
        run("fs", "cp", str(here), f"{root}/form")
    with tour.call("GET dbfs/list"):
        equal(sorted(run("fs", "ls", root).split()), ["blocks", "form", "put"])
    with tour.call("GET dbfs/get-status", "GET dbfs/read"):
        run("fs", "cp", f"{root}/form", "copy")
        equal(Path("copy").read_bytes() == here.read_bytes(), True)
    with tour.call("POST dbfs/move"):
        run("fs", "mv", f"{root}/put", f"{root}/moved")
        equal(sorted(run("fs", "ls", root).split()), ["blocks", "form", "moved"])
    with tour.call("POST dbfs/delete"):
        run("fs", "rm", "--recursive", root)
        equal(facts.name in run("fs", "ls", "dbfs:/parity").split(), False)


def secrets() -> None:
    scope = ("--scope", facts.name)
    users = (*scope, "--principal", "users")
    with tour.call("POST secrets/scopes/create"):
        run("secrets", "create-scope", *scope)
    with tour.call("GET secrets/scopes/list"):
        equal(facts.name in run("secrets", "list-scopes").split(), True)
    with tour.call("POST secrets/put"):
        run("secrets", "put", *scope, "--key", "key", "--string-value", "välue")
    with tour.call("GET secrets/list"):
        equal("key" in run("secrets", "list", *scope).split(), True)
    with tour.call("POST secrets/delete"):
        run("secrets", "delete", *scope, "--key", "key")
        equal(SecretService(api).list_secrets(facts.name).get("secrets", []), [])
    with tour.call("POST secrets/acls/put"):
        run("secrets", "put-acl", *users, "--permission", "READ")
    with tour.call("GET secrets/acls/get"):
        equal("READ" in run("secrets", "get-acl", *users).split(), True)
    with tour.call("GET secrets/acls/list"):
        equal("users" in run("secrets", "list-acls", *scope).split(), True)
    with tour.call("POST secrets/acls/delete"):
        run("secrets", "delete-acl", *users)
        equal("users" in run("secrets", "list-acls", *scope).split(), False)
    with tour.call("POST secrets/scopes/delete"):
        run("secrets", "delete-scope", *scope)
        equal(facts.name in run("secrets", "list-scopes").split(), False)


def others() -> None:
    with tour.call("GET token/list"):
        run("tokens", "list")
    with tour.call("GET repos"):
        run("repos", "list")
    with tour.call("GET pipelines"):
        run("pipelines", "list")


if __name__ == "__main__":
    jobs_and_runs("2.0")
    jobs_and_runs("2.1")
    tour.version = None
    for part in (clusters, workspace_files, dbfs, secrets, others):
        part()
