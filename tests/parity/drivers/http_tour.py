"""Plain HTTP, in every version of the API that clients speak; the standard library only."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from tests.parity.drivers.tour import Tour, equal, until

tour = Tour()
facts = tour.facts
JOBS_VERSIONS = ("2.0", "2.1", "2.2")
CLUSTERS_VERSIONS = ("2.0", "2.1")
CONTENT = b"some bytes \x00\xff" * 10
TEXT = base64.b64encode(CONTENT).decode()


class Refused(Exception):
    """An answer of 300 and above."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body.decode(errors='replace')}")
        self.status = status


def send(
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
    /,
    **query: Any,
) -> tuple[http.client.HTTPMessage, bytes]:
    address = facts.host + urllib.parse.quote(path)
    if query:
        address += "?" + urllib.parse.urlencode(query)
    given = {"Authorization": f"Bearer {facts.token}", **(headers or {})}
    request = urllib.request.Request(address, body, given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read()) from None


def get(path: str, /, **query: Any) -> Any:
    return json.loads(send("GET", f"/api/{path}", **query)[1])


def post(path: str, body: dict[str, Any], method: str = "POST") -> Any:
    headers = {"Content-Type": "application/json"}
    return json.loads(send(method, f"/api/{path}", json.dumps(body).encode(), headers)[1])


def refusal(path: str, /, **query: Any) -> str:
    """The code with which a GET is refused."""
    try:
        get(path, **query)
    except Refused as error:
        return f"{error.status}"
    return "not refused"


def form(fields: dict[str, str], content: bytes, name: str) -> tuple[bytes, dict[str, str]]:
    """A multipart form: its bytes, and the header that says so."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    start = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    body = b"".join(parts) + start.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def pages(path: str, field: str, /, **query: Any) -> Iterator[dict[str, Any]]:
    """What a list gives, page after page: by tokens in 2.2, before by offsets."""
    offset = 0
    while True:
        page = get(path, **query)
        yield from page.get(field, [])
        offset += len(page.get(field, []))
        if page.get("next_page_token"):
            query["page_token"] = page["next_page_token"]
        elif page.get("has_more"):
            query["offset"] = offset
        else:
            return


def task(
    function: str, *parameters: str, version: str = "2.2", key: str = "main"
) -> dict[str, Any]:
    """The settings of one task, as they stand in a job or a submit of this version."""
    wheel_task = {"package_name": "probe", "entry_point": f"run-{function}"}
    one = {
        "existing_cluster_id": facts.cluster_id,
        "libraries": [{"whl": facts.wheel}],
        "python_wheel_task": {**wheel_task, "parameters": list(parameters)},
    }
    return one if version == "2.0" else {"tasks": [{"task_key": key, **one}]}


def identity() -> None:
    with tour.call("GET /.well-known/databricks-config"):
        found = json.loads(send("GET", "/.well-known/databricks-config")[1])
        equal(found["oidc_endpoint"], facts.host + "/oidc")
    with tour.call("GET preview/scim/v2/Me"):
        equal(get("2.0/preview/scim/v2/Me")["userName"], facts.user)


def jobs_and_runs(version: str) -> None:
    tour.version = version
    api = f"{version}/jobs"
    name = f"{facts.name}-{version}"

    def completed(run_id: int) -> dict[str, Any]:
        def end() -> dict[str, Any] | None:
            found: dict[str, Any] = get(f"{api}/runs/get", run_id=run_id)
            return found if found.get("end_time") else None

        return until(end)

    def output(found: dict[str, Any]) -> dict[str, Any]:
        """Of the last attempt of the last task; of API 2.0's runs, their own."""
        of = found["run_id"] if version == "2.0" else found["tasks"][-1]["run_id"]
        answer: dict[str, Any] = get(f"{api}/runs/get-output", run_id=of)
        return answer

    with tour.call("POST jobs/create"):
        job = post(f"{api}/create", {"name": name, **task("echo", "one", version=version)})
        job_id = job["job_id"]
    with tour.call("GET jobs/get"):
        equal(get(f"{api}/get", job_id=job_id)["settings"]["name"], name)
    with tour.call("GET jobs/list"):
        found = pages(f"{api}/list", "jobs", expand_tasks="true")
        equal(job_id in [each["job_id"] for each in found], True)
    if version != "2.0":
        with tour.call("GET jobs/list: by name"):
            listed = get(f"{api}/list", name=name.upper())["jobs"]
            equal([each["job_id"] for each in listed], [job_id])
        with tour.call("GET jobs/list: page by page"):
            more = [post(f"{api}/create", {"name": f"{name}-{n}", **task("echo")}) for n in "123"]
            paged = {each["job_id"] for each in pages(f"{api}/list", "jobs", limit=2)}
            equal({each["job_id"] for each in more} <= paged, True)
    with tour.call("POST jobs/update"):
        post(f"{api}/update", {"job_id": job_id, "new_settings": {"timeout_seconds": 600}})
        settings = get(f"{api}/get", job_id=job_id)["settings"]
        equal((settings["timeout_seconds"], settings["name"]), (600, name))
    with tour.call("POST jobs/reset"):
        new = {"name": name, **task("echo", "one", version=version)}
        post(f"{api}/reset", {"job_id": job_id, "new_settings": new})
        equal(get(f"{api}/get", job_id=job_id)["settings"].get("timeout_seconds", 0), 0)

    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        run = completed(post(f"{api}/run-now", {"job_id": job_id})["run_id"])
        equal(run["state"]["result_state"], "SUCCESS")
    with tour.call("POST jobs/run-now: the same idempotency token twice"):
        requested = {"job_id": job_id, "idempotency_token": uuid.uuid4().hex}
        first, second = (post(f"{api}/run-now", requested)["run_id"] for _ in "12")
        equal(first, second)
        completed(first)
    with tour.call("GET jobs/runs/list"):
        found = pages(f"{api}/runs/list", "runs", job_id=job_id, limit=1)
        equal([each["run_id"] for each in found], [first, run["run_id"]])
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        equal('["probe", "one"]' in output(run)["logs"], True)
    with tour.call(
        "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"
    ):
        requested = {"run_name": "parity", **task("echo", "submitted", version=version)}
        submitted = completed(post(f"{api}/runs/submit", requested)["run_id"])
        equal('["probe", "submitted"]' in output(submitted)["logs"], True)
    with tour.call("GET jobs/runs/get-output: error and trace of a run that failed"):
        requested = {"name": f"{name}-fails", **task("fail", version=version)}
        failing = post(f"{api}/create", requested)["job_id"]
        failed = completed(post(f"{api}/run-now", {"job_id": failing})["run_id"])
        equal(failed["state"]["result_state"], "FAILED")
        equal(output(failed)["error"], "ValueError: of the test")
        equal("Traceback" in output(failed)["error_trace"], True)
    if version != "2.0":
        with tour.call("POST jobs/runs/repair"):
            new = {"name": name, **task("echo", "repaired")}
            post(f"{api}/reset", {"job_id": failing, "new_settings": new})
            requested = {"run_id": failed["run_id"], "rerun_tasks": ["main"]}
            repair_id = post(f"{api}/runs/repair", requested)["repair_id"]
            repaired = completed(failed["run_id"])
            equal(repaired["state"]["result_state"], "SUCCESS")
            history = get(f"{api}/runs/get", run_id=failed["run_id"], include_history="true")
            equal(history["repair_history"][-1]["id"], repair_id)
        with tour.call("POST jobs/create: two tasks, one after the other, on a job cluster"):
            both = [task("echo", "first", key="first"), task("echo", "second", key="second")]
            tasks = [each["tasks"][0] for each in both]
            for each in tasks:
                del each["existing_cluster_id"]
                each["job_cluster_key"] = "shared"
            tasks[1]["depends_on"] = [{"task_key": "first"}]
            spec = {"spark_version": facts.spark_version, "node_type_id": facts.node_type_id}
            clusters = [{"job_cluster_key": "shared", "new_cluster": {**spec, "num_workers": 0}}]
            requested = {"name": f"{name}-two", "tasks": tasks, "job_clusters": clusters}
            created = post(f"{api}/create", requested)["job_id"]
            two = completed(post(f"{api}/run-now", {"job_id": created})["run_id"])
            times = {each["task_key"]: each for each in two["tasks"]}
            equal(two["state"]["result_state"], "SUCCESS")
            equal(times["first"]["end_time"] <= times["second"]["start_time"], True)
    with tour.call("GET jobs/runs/export"):
        of = run["run_id"] if version == "2.0" else run["tasks"][0]["run_id"]
        get(f"{api}/runs/export", run_id=of)
    holds = task("await_others", "/", "tmp", "100000", version=version)
    requested = {"name": f"{name}-holds", **holds}
    with tour.call("POST jobs/runs/cancel"):
        holding = post(f"{api}/create", requested)["job_id"]
        held = post(f"{api}/run-now", {"job_id": holding})["run_id"]
        post(f"{api}/runs/cancel", {"run_id": held})
        equal(completed(held)["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/cancel-all"):
        again = post(f"{api}/run-now", {"job_id": holding})["run_id"]
        post(f"{api}/runs/cancel-all", {"job_id": holding})
        equal(completed(again)["state"]["result_state"], "CANCELED")
    with tour.call("POST jobs/runs/delete"):
        post(f"{api}/runs/delete", {"run_id": again})
        equal(refusal(f"{api}/runs/get", run_id=again), "400")
    if version == "2.2":
        tour.version = None
        permissions_of_a_job(job_id)
        tour.version = version
    with tour.call("POST jobs/delete"):
        post(f"{api}/delete", {"job_id": job_id})
        equal(refusal(f"{api}/get", job_id=job_id), "400")


def permissions_of_a_job(job_id: int) -> None:
    path = f"2.0/permissions/jobs/{job_id}"
    with tour.call("GET permissions/jobs/{id}"):
        equal(permissions(path)[facts.user], ["IS_OWNER"])
    with tour.call("PATCH permissions/jobs/{id}"):
        grant = {"group_name": "users", "permission_level": "CAN_MANAGE_RUN"}
        post(path, {"access_control_list": [grant]}, method="PATCH")
        equal(permissions(path)["users"], ["CAN_MANAGE_RUN"])
    with tour.call("PUT permissions/jobs/{id}"):
        grant = {"user_name": facts.user, "permission_level": "IS_OWNER"}
        post(path, {"access_control_list": [grant]}, method="PUT")
        equal("users" in permissions(path), False)
    with tour.call("GET permissions/jobs/{id}/permissionLevels"):
        levels = get(f"{path}/permissionLevels")["permission_levels"]
        equal("CAN_MANAGE" in [each["permission_level"] for each in levels], True)


def permissions(path: str) -> dict[str, list[str]]:
    return {
        entry.get("user_name")
        or entry["group_name"]: [each["permission_level"] for each in entry["all_permissions"]]
        for entry in get(path)["access_control_list"]
    }


def clusters(version: str) -> None:
    tour.version = version
    api = f"{version}/clusters"
    spec = {
        "cluster_name": facts.name,
        "spark_version": facts.spark_version,
        "node_type_id": facts.node_type_id,
        "num_workers": 0,
    }
    with tour.call("GET clusters/spark-versions"):
        keys = [each["key"] for each in get(f"{api}/spark-versions")["versions"]]
        equal(facts.spark_version in keys, True)
    with tour.call("GET clusters/list-node-types"):
        ids = [each["node_type_id"] for each in get(f"{api}/list-node-types")["node_types"]]
        equal(facts.node_type_id in ids, True)
    with tour.call("GET clusters/list-zones"):
        equal(bool(get(f"{api}/list-zones")["zones"]), True)
    with tour.call("POST clusters/create", "GET clusters/get"):
        cluster_id = post(f"{api}/create", spec)["cluster_id"]

        def reach(state: str) -> None:
            until(lambda: get(f"{api}/get", cluster_id=cluster_id)["state"] == state)

        reach("RUNNING")
    with tour.call("GET clusters/list"):
        found = [each["cluster_id"] for each in get(f"{api}/list")["clusters"]]
        equal(cluster_id in found, True)
    one = {"cluster_id": cluster_id}
    with tour.call("POST clusters/resize"):
        post(f"{api}/resize", {**one, "num_workers": 1})
        reach("RUNNING")
    with tour.call("POST clusters/restart"):
        post(f"{api}/restart", one)
        reach("RUNNING")
    with tour.call("POST clusters/edit"):
        post(f"{api}/edit", {**one, **spec, "cluster_name": facts.name + "-2"})
        reach("RUNNING")
        equal(get(f"{api}/get", **one)["cluster_name"], facts.name + "-2")
    with tour.call("POST clusters/update"):
        change = {
            "update_mask": "autotermination_minutes",
            "cluster": {"autotermination_minutes": 33},
        }
        post(f"{api}/update", {**one, **change})
        reach("RUNNING")
        equal(get(f"{api}/get", **one)["autotermination_minutes"], 33)
    with tour.call("POST clusters/delete"):
        post(f"{api}/delete", one)
        reach("TERMINATED")
    with tour.call("POST clusters/start"):
        post(f"{api}/start", one)
        reach("RUNNING")
    with tour.call("POST clusters/events"):
        requested: dict[str, Any] = {**one, "limit": 2}
        kinds = []
        while requested:
            page = post(f"{api}/events", requested)
            kinds += [event["type"] for event in page["events"]]
            requested = page.get("next_page")
        equal("CREATING" in kinds, True)
    with tour.call("POST clusters/pin"):
        post(f"{api}/pin", one)
    with tour.call("POST clusters/unpin"):
        post(f"{api}/unpin", one)
    if version == "2.1":
        tour.version = None
        path = f"2.0/permissions/clusters/{cluster_id}"
        with tour.call("GET permissions/clusters/{id}"):
            equal("CAN_MANAGE" in permissions(path)[facts.user], True)
        with tour.call("PATCH permissions/clusters/{id}"):
            grant = {"group_name": "users", "permission_level": "CAN_ATTACH_TO"}
            post(path, {"access_control_list": [grant]}, method="PATCH")
            equal(permissions(path)["users"], ["CAN_ATTACH_TO"])
        libraries(cluster_id)
        tour.version = version
    with tour.call("POST clusters/permanent-delete"):
        post(f"{api}/permanent-delete", one)
        found = [each["cluster_id"] for each in get(f"{api}/list").get("clusters", [])]
        equal(cluster_id in found, False)


def libraries(cluster_id: str) -> None:
    wheel = {"cluster_id": cluster_id, "libraries": [{"whl": facts.wheel}]}

    def status() -> str:
        (only,) = get("2.0/libraries/cluster-status", cluster_id=cluster_id)["library_statuses"]
        found: str = only["status"]
        return found

    with tour.call("POST libraries/install", "GET libraries/cluster-status"):
        post("2.0/libraries/install", wheel)
        until(lambda: status() == "INSTALLED")
    with tour.call("GET libraries/all-cluster-statuses"):
        statuses = get("2.0/libraries/all-cluster-statuses")["statuses"]
        equal(cluster_id in [each["cluster_id"] for each in statuses], True)
    with tour.call("POST libraries/uninstall"):
        post("2.0/libraries/uninstall", wheel)
        equal(status(), "UNINSTALL_ON_RESTART")


def refused_compute() -> None:
    with tour.call("GET policies/clusters/list"):
        get("2.0/policies/clusters/list")
    with tour.call("POST policies/clusters/create"):
        post("2.0/policies/clusters/create", {"name": facts.name, "definition": "{}"})
    with tour.call("GET instance-pools/list"):
        get("2.0/instance-pools/list")
    with tour.call("POST instance-pools/create"):
        pool = {"instance_pool_name": facts.name, "node_type_id": facts.node_type_id}
        post("2.0/instance-pools/create", pool)


def files() -> None:
    volume = {"catalog_name": "main", "schema_name": "default", "name": facts.name}
    full_name = f"main.default.{facts.name}"
    volumes = "2.1/unity-catalog/volumes"
    with tour.call("POST unity-catalog/volumes"):
        post(volumes, {**volume, "volume_type": "MANAGED"})
    with tour.call("GET unity-catalog/volumes"):
        found = get(volumes, catalog_name="main", schema_name="default")["volumes"]
        equal(full_name in [each["full_name"] for each in found], True)
    with tour.call("GET unity-catalog/volumes/{name}"):
        equal(get(f"{volumes}/{full_name}")["full_name"], full_name)

    with tour.call(
        "PATCH unity-catalog/permissions/{path}", "GET unity-catalog/permissions/{path}"
    ):
        granted = f"2.1/unity-catalog/permissions/volume/{full_name}"
        change = {"principal": "account users", "add": ["READ_VOLUME"]}
        post(granted, {"changes": [change]}, method="PATCH")
        (found,) = get(granted)["privilege_assignments"]
        equal(found, {"principal": "account users", "privileges": ["READ_VOLUME"]})

    root = f"/Volumes/main/default/{facts.name}"
    folder, file = f"/api/2.0/fs/directories{root}/a folder", f"/api/2.0/fs/files{root}/a folder"
    with tour.call("PUT fs/directories{path}"):
        send("PUT", f"{folder}/below")
    with tour.call("HEAD fs/directories{path}"):
        send("HEAD", f"{folder}/below")
    with tour.call("PUT fs/files{path}"):
        send("PUT", f"{file}/a+b % ö.bin", CONTENT, overwrite="true")
    with tour.call("PUT fs/files{path}: a body of unknown length"):
        send("PUT", f"{file}/chunked", iter([CONTENT, CONTENT]), overwrite="true")
        equal(send("GET", f"{file}/chunked")[1], CONTENT * 2)
    with tour.call("GET fs/files{path}"):
        equal(send("GET", f"{file}/a+b % ö.bin")[1], CONTENT)
        equal(send("GET", f"{file}/chunked", None, {"Range": "bytes=1-4"})[1], CONTENT[1:5])
    with tour.call("HEAD fs/files{path}"):
        equal(send("HEAD", f"{file}/chunked")[0]["Content-Length"], str(2 * len(CONTENT)))
    with tour.call("GET fs/directories{path}"):
        listed = json.loads(send("GET", folder)[1])["contents"]
        names = sorted(entry["name"] for entry in listed)
        equal(names, ["a+b % ö.bin", "below", "chunked"])
    with tour.call("POST fs/create-download-url: a download"):
        expected = f"{root}/a folder/chunked"
        given = send("POST", "/api/2.0/fs/create-download-url", path=expected)[1]
        with urllib.request.urlopen(json.loads(given)["url"], timeout=60) as answer:
            equal(answer.read(), CONTENT * 2)
    with tour.call(
        "POST fs/create-upload-part-urls: 60 MB, sent and read back", "POST fs/files{path}"
    ):
        large(f"{root}/large")
    with tour.call("POST fs/create-abort-upload-url"):
        abort(f"{root}/aborted")
    with tour.call("DELETE fs/files{path}"):
        send("DELETE", f"{file}/chunked")
        equal(refusal(f"2.0/fs/files{root}/a folder/chunked"), "404")
    with tour.call("DELETE fs/directories{path}"):
        send("DELETE", f"{folder}/below")
        equal(refusal(f"2.0/fs/directories{root}/a folder/below"), "404")
    with tour.call("DELETE unity-catalog/volumes/{name}"):
        send("DELETE", f"/api/{volumes}/{full_name}")
        equal(refusal(f"{volumes}/{full_name}"), "404")
    with tour.call("GET unity-catalog/catalogs"):
        get("2.1/unity-catalog/catalogs")


def begin(path: str) -> str:
    """Begin an upload in parts; gives its token."""
    started = send("POST", f"/api/2.0/fs/files{path}", action="initiate-upload", overwrite="true")
    token: str = json.loads(started[1])["multipart_upload"]["session_token"]
    return token


def abort(path: str) -> None:
    """Begin an upload and abort it: then it has no addresses for parts any more."""
    requested = {
        "path": path,
        "session_token": begin(path),
        "expire_time": "2100-01-01T00:00:00Z",
    }
    given = post("2.0/fs/create-abort-upload-url", requested)["abort_upload_url"]
    headers = {each["name"]: each["value"] for each in given.get("headers", [])}
    request = urllib.request.Request(given["url"], headers=headers, method="DELETE")
    with urllib.request.urlopen(request, timeout=60):
        pass
    try:
        post("2.0/fs/create-upload-part-urls", {**requested, "start_part_number": 1, "count": 1})
    except Refused as error:
        equal(error.status, 404)
    else:
        raise AssertionError("the upload is still there")


def large(path: str) -> None:
    """60 MB in parts of 20 MB, each to its own address."""
    content = hashlib.sha256(b"seed").digest() * (60_000_000 // 32)
    size = 20_000_000
    session = begin(path)
    requested = {
        "path": path,
        "session_token": session,
        "start_part_number": 1,
        "count": 3,
        "expire_time": "2100-01-01T00:00:00Z",
    }
    parts = []
    for part in post("2.0/fs/create-upload-part-urls", requested)["upload_part_urls"]:
        number = part["part_number"]
        body = content[(number - 1) * size : number * size]
        headers = {each["name"]: each["value"] for each in part.get("headers", [])}
        request = urllib.request.Request(part["url"], body, headers, method="PUT")
        with urllib.request.urlopen(request, timeout=60) as answer:
            parts.append({"part_number": number, "etag": answer.headers["ETag"]})
    done = json.dumps({"parts": parts}).encode()
    headers = {"Content-Type": "application/json"}
    query = {"action": "complete-upload", "upload_type": "multipart", "session_token": session}
    send("POST", f"/api/2.0/fs/files{path}", done, headers, **query)
    equal(send("GET", f"/api/2.0/fs/files{path}")[1] == content, True)


def workspace_files() -> None:
    home = f"/Users/{facts.user}/{facts.name}"
    api = "2.0/workspace"
    with tour.call("POST workspace/mkdirs"):
        post(f"{api}/mkdirs", {"path": home})
    with tour.call("POST workspace/import"):
        requested = {"path": f"{home}/json", "content": TEXT, "format": "AUTO", "overwrite": True}
        post(f"{api}/import", requested)
    with tour.call("POST workspace/import: as a multipart form"):
        body, headers = form({"path": f"{home}/form", "format": "AUTO"}, CONTENT, "content")
        send("POST", f"/api/{api}/import", body, headers)
    with tour.call("POST workspace-files/import-file/{path}"):
        path = f"/api/2.0/workspace-files/import-file/{home[1:]}/raw"
        send("POST", path, CONTENT, overwrite="true")
    with tour.call("GET workspace/export"):
        answer = get(f"{api}/export", path=f"{home}/raw", format="AUTO")
        equal(base64.b64decode(answer["content"]), CONTENT)
    with tour.call("GET workspace/export: as it is (direct_download)"):
        answer = send("GET", f"/api/{api}/export", path=f"{home}/form", direct_download="true")
        equal(answer[1], CONTENT)
    with tour.call("GET workspace/get-status"):
        equal(get(f"{api}/get-status", path=f"{home}/json")["object_type"], "FILE")
    with tour.call("GET workspace/list"):
        listed = sorted(entry["path"] for entry in get(f"{api}/list", path=home)["objects"])
        equal(listed, [f"{home}/form", f"{home}/json", f"{home}/raw"])
    with tour.call("POST workspace/delete"):
        post(f"{api}/delete", {"path": home, "recursive": True})
        equal(refusal(f"{api}/get-status", path=home), "404")


def dbfs() -> None:
    root = f"/parity/{facts.name}"
    api = "2.0/dbfs"
    with tour.call("POST dbfs/mkdirs"):
        post(f"{api}/mkdirs", {"path": root})
    with tour.call("POST dbfs/put"):
        post(f"{api}/put", {"path": f"{root}/put", "contents": TEXT, "overwrite": True})
    with tour.call("POST dbfs/put: as a multipart form"):
        body, headers = form({"path": f"{root}/form", "overwrite": "true"}, CONTENT, "contents")
        send("POST", f"/api/{api}/put", body, headers)
        answer = get(f"{api}/read", path=f"{root}/form")
        equal(base64.b64decode(answer["data"]), CONTENT)
    with tour.call("POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"):
        handle = post(f"{api}/create", {"path": f"{root}/blocks"})["handle"]
        for _ in "12":
            post(f"{api}/add-block", {"handle": handle, "data": TEXT})
        post(f"{api}/close", {"handle": handle})
    with tour.call("GET dbfs/get-status"):
        equal(get(f"{api}/get-status", path=f"{root}/blocks")["file_size"], 2 * len(CONTENT))
    with tour.call("GET dbfs/read"):
        answer = get(f"{api}/read", path=f"{root}/blocks", offset=len(CONTENT), length=1000)
        equal((answer["bytes_read"], answer["data"]), (len(CONTENT), TEXT))
    with tour.call("GET dbfs/list"):
        listed = sorted(entry["path"] for entry in get(f"{api}/list", path=root)["files"])
        equal(listed, [f"{root}/{name}" for name in ("blocks", "form", "put")])
    with tour.call("POST dbfs/move"):
        ways = {"source_path": f"{root}/put", "destination_path": f"{root}/moved"}
        post(f"{api}/move", ways)
        equal(get(f"{api}/get-status", path=f"{root}/moved")["file_size"], len(CONTENT))
    with tour.call("POST dbfs/delete"):
        post(f"{api}/delete", {"path": root, "recursive": True})
        equal(refusal(f"{api}/get-status", path=root), "404")


def secrets() -> None:
    api = "2.0/secrets"
    scope = {"scope": facts.name}
    key = {**scope, "key": "key"}
    with tour.call("POST secrets/scopes/create"):
        post(f"{api}/scopes/create", scope)
    with tour.call("GET secrets/scopes/list"):
        equal(facts.name in [each["name"] for each in get(f"{api}/scopes/list")["scopes"]], True)
    with tour.call("POST secrets/put"):
        post(f"{api}/put", {**key, "string_value": "välue"})
    with tour.call("GET secrets/get"):
        equal(base64.b64decode(get(f"{api}/get", **key)["value"]).decode(), "välue")
    with tour.call("GET secrets/list"):
        equal([each["key"] for each in get(f"{api}/list", **scope)["secrets"]], ["key"])
    with tour.call("POST secrets/delete"):
        post(f"{api}/delete", key)
        equal(get(f"{api}/list", **scope).get("secrets", []), [])
    users = {**scope, "principal": "users"}
    with tour.call("POST secrets/acls/put"):
        post(f"{api}/acls/put", {**users, "permission": "READ"})
    with tour.call("GET secrets/acls/get"):
        equal(get(f"{api}/acls/get", **users)["permission"], "READ")
    with tour.call("GET secrets/acls/list"):
        found = {each["principal"]: each["permission"] for each in acls(scope)}
        equal(found, {facts.user: "MANAGE", "users": "READ"})
    with tour.call("POST secrets/acls/delete"):
        post(f"{api}/acls/delete", users)
        equal([each["principal"] for each in acls(scope)], [facts.user])
    with tour.call("POST secrets/scopes/delete"):
        post(f"{api}/scopes/delete", scope)
        names = [each["name"] for each in get(f"{api}/scopes/list").get("scopes", [])]
        equal(facts.name in names, False)


def acls(scope: dict[str, str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = get("2.0/secrets/acls/list", **scope)["items"]
    return found


def others() -> None:
    with tour.call("GET token/list"):
        get("2.0/token/list")
    with tour.call("GET repos"):
        get("2.0/repos")
    with tour.call("GET pipelines"):
        get("2.0/pipelines")
    with tour.call("GET sql/warehouses"):
        get("2.0/sql/warehouses")
    with tour.call("POST /telemetry-ext"):
        body = json.dumps({"items": [], "protoLogs": ["{}"]}).encode()
        answer = json.loads(send("POST", "/telemetry-ext", body)[1])
        equal(answer["numProtoSuccess"], 1)


if __name__ == "__main__":
    identity()
    for jobs_version in JOBS_VERSIONS:
        jobs_and_runs(jobs_version)
    for clusters_version in CLUSTERS_VERSIONS:
        clusters(clusters_version)
    tour.version = None
    for part in (refused_compute, files, workspace_files, dbfs, secrets, others):
        part()
