"""What the official Go CLI sends, as it was seen to send it, with its quirks; not the CLI itself.

Its headers; bodies in chunks, some labelled as forms; a wholly percent-encoded path; unusual
queries; and a `?` at the end of a path without a query.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.parity.drivers.tour import Tour, equal, until

tour = Tour()
facts = tour.facts
AGENT = "cli/1.13.0 databricks-sdk-go/0.175.0 go/1.26.1 os/linux cmd/bundle_deploy auth/pat"
FORM = "application/x-www-form-urlencoded"
connection = http.client.HTTPConnection(urlsplit(facts.host).netloc, timeout=60)


def send(
    method: str, target: str, body: bytes | None = None, label: str = "application/json"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request on the one connection; a body travels in chunks."""
    headers = {
        "User-Agent": AGENT,
        "Accept-Encoding": "identity",
        "X-Databricks-Workspace-Id": workspace_id,
    }
    if target != DISCOVERY:
        headers["Authorization"] = f"Bearer {facts.token}"
    if body is not None:
        headers |= {"Content-Type": label, "Transfer-Encoding": "chunked"}
    chunks = None if body is None else iter([body])
    connection.request(method, target, chunks, headers, encode_chunked=body is not None)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def good(method: str, target: str, body: dict[str, Any] | None = None) -> Any:
    status, _, content = send(method, target, None if body is None else json.dumps(body).encode())
    equal((status, content if status != 200 else b""), (200, b""))
    return json.loads(content)


DISCOVERY = "/.well-known/databricks-config"
workspace_id = ""


def begin() -> None:
    global workspace_id
    with tour.call("GET /.well-known/databricks-config"):
        found = good("GET", DISCOVERY)
        workspace_id = str(found["workspace_id"])
        equal(bool(found["oidc_endpoint"]), True)
    with tour.call("GET preview/scim/v2/Me"):
        equal(good("GET", "/api/2.0/preview/scim/v2/Me?")["userName"], facts.user)
    with tour.call("POST /telemetry-ext"):
        sent = {"uploadTime": 1, "items": [], "protoLogs": ["{}", "{}"]}
        equal(good("POST", "/telemetry-ext", sent), {"errors": [], "numProtoSuccess": 2})


def state_of_a_bundle() -> None:
    """`bundle deploy`: its lock, its state, its wheels."""
    home = f"/Workspace/Users/{facts.user}/{facts.name}"
    status_of = f"/api/2.0/workspace/get-status?{urlencode({'path': home + '/deploy.lock'})}"
    file = f"/api/2.0/workspace-files/import-file/{quote(home[1:], safe='')}%2Fdeploy.lock"
    with tour.call("GET workspace/get-status"):
        equal(send("GET", status_of + "&return_export_info=true")[0], 404)
    with tour.call("POST workspace-files/import-file/{path}", "POST workspace/mkdirs"):
        equal(send("POST", f"{file}?overwrite=false", b'{"a":1}', FORM)[0], 404)
        good("POST", "/api/2.0/workspace/mkdirs", {"path": home})
        equal(send("POST", f"{file}?overwrite=false", b'{"a":1}', FORM)[0], 200)
        equal(send("POST", f"{file}?overwrite=false", b'{"a":2}', FORM)[0], 409)
        equal(send("POST", f"{file}?overwrite=true", b'{"a":3}', FORM)[0], 200)
    with tour.call("GET workspace/get-status"):
        equal(good("GET", status_of + "&return_export_info=true")["object_type"], "FILE")
    with tour.call("GET workspace/export: as it is (direct_download)"):
        requested = urlencode({"direct_download": "true", "path": home + "/deploy.lock"})
        equal(send("GET", f"/api/2.0/workspace/export?{requested}")[2], b'{"a":3}')
    with tour.call("GET workspace/export"):
        requested = urlencode({"path": home + "/deploy.lock"})
        found = good("GET", f"/api/2.0/workspace/export?{requested}")
        equal(base64.b64decode(found["content"]), b'{"a":3}')
    with tour.call("GET workspace/list"):
        found = good("GET", f"/api/2.0/workspace/list?{urlencode({'path': home})}")
        equal([each["path"] for each in found["objects"]], [home + "/deploy.lock"])
    with tour.call("POST workspace/delete"):
        good("POST", "/api/2.0/workspace/delete", {"path": home, "recursive": True})
        equal(send("GET", status_of)[0], 404)


def job_of_a_bundle() -> None:
    task = {
        "task_key": "main",
        "existing_cluster_id": facts.cluster_id,
        "libraries": [{"whl": facts.wheel}],
        "python_wheel_task": {
            "package_name": "probe",
            "entry_point": "run-echo",
            "parameters": ["one"],
        },
    }
    settings = {
        "name": facts.name,
        "tasks": [task],
        "format": "MULTI_TASK",
        "edit_mode": "UI_LOCKED",
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "deployment": {"kind": "BUNDLE", "metadata_file_path": "/Workspace/x/metadata.json"},
    }
    with tour.call("POST jobs/create"):
        job_id = good("POST", "/api/2.2/jobs/create", settings)["job_id"]
    with tour.call("GET jobs/get"):
        found = good("GET", f"/api/2.2/jobs/get?job_id={job_id}")
        equal(
            (found["settings"]["name"], found["settings"]["edit_mode"]), (facts.name, "UI_LOCKED")
        )
        equal(send("GET", "/api/2.2/jobs/get?job_id=999999999")[0], 400)
    with tour.call("POST jobs/reset"):
        good("POST", "/api/2.2/jobs/reset", {"job_id": job_id, "new_settings": settings})
    with tour.call("PUT permissions/jobs/{id}", "GET permissions/jobs/{id}"):
        mine = {"user_name": facts.user, "permission_level": "IS_OWNER"}
        path = f"/api/2.0/permissions/jobs/{job_id}"
        good("PUT", path, {"access_control_list": [mine]})
        equal(good("GET", path + "?")["object_type"], "job")
    with tour.call("POST jobs/run-now", "GET jobs/runs/get"):
        run_id = good("POST", "/api/2.2/jobs/run-now", {"job_id": job_id})["run_id"]

        def completed() -> Any:
            found = good("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}")
            return found if found.get("end_time") else None

        run = until(completed)
        equal(run["tasks"][0]["state"]["result_state"], "SUCCESS")
        equal((bool(run["run_page_url"]), run["run_name"]), (True, facts.name))
    with tour.call(
        "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"
    ):
        requested = run["tasks"][0]["run_id"]
        found = good("GET", f"/api/2.2/jobs/runs/get-output?run_id={requested}")
        equal('["probe", "one"]' in found["logs"], True)
        equal(send("GET", f"/api/2.2/jobs/runs/get-output?run_id={run_id}")[0], 400)
    with tour.call("POST jobs/delete"):
        good("POST", "/api/2.2/jobs/delete", {"job_id": job_id})


def files() -> None:
    """Artifacts on a volume; one PUT whatever the size."""
    root = "/Volumes/main/default/lakeflow"
    folder = f"/api/2.0/fs/directories{root}/{facts.name}"
    file = f"/api/2.0/fs/files{root}/{facts.name}/a-1.0%2Bx-py3-none-any.whl"
    content = bytes(range(256)) * 8192
    with tour.call("GET unity-catalog/volumes/{name}"):
        found = good("GET", "/api/2.1/unity-catalog/volumes/main.default.lakeflow?")
        equal(found["name"], "lakeflow")
    with tour.call("HEAD fs/directories{path}", "PUT fs/directories{path}"):
        equal(send("HEAD", folder)[0], 404)
        equal(send("PUT", folder)[0] < 300, True)
        equal(send("HEAD", folder)[0], 200)
    with tour.call("PUT fs/files{path}", "PUT fs/files{path}: a body of unknown length"):
        binary = "application/octet-stream"
        equal(send("PUT", f"{file}?overwrite=true", content, binary)[0] < 300, True)
        equal(send("PUT", f"{file}?overwrite=false", content, binary)[0], 409)
    with tour.call("HEAD fs/files{path}"):
        equal(send("HEAD", file)[1]["Content-Length"], str(len(content)))
    with tour.call("GET fs/files{path}"):
        equal(send("GET", file)[2] == content, True)
    with tour.call("GET fs/directories{path}"):
        names = [entry["name"] for entry in good("GET", folder + "?")["contents"]]
        equal(names, ["a-1.0+x-py3-none-any.whl"])
    with tour.call("DELETE fs/files{path}"):
        equal(send("DELETE", file)[0] < 300, True)
        equal(send("HEAD", file)[0], 404)
    with tour.call("DELETE fs/directories{path}"):
        equal(send("DELETE", folder)[0] < 300, True)


def blocks(content: bytes) -> Iterator[str]:
    for start in range(0, len(content), 1024 * 1024):
        yield base64.b64encode(content[start : start + 1024 * 1024]).decode()


def dbfs() -> None:
    """`fs cp` and the like."""
    root = f"/parity/{facts.name}"
    content = b"some bytes" * 150_000
    status_of = f"/api/2.0/dbfs/get-status?{urlencode({'path': root + '/file'})}"
    with tour.call("POST dbfs/mkdirs"):
        good("POST", "/api/2.0/dbfs/mkdirs", {"path": root})
    with tour.call("POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"):
        requested = {"path": root + "/file", "overwrite": True}
        handle = good("POST", "/api/2.0/dbfs/create", requested)["handle"]
        for data in blocks(content):
            good("POST", "/api/2.0/dbfs/add-block", {"handle": handle, "data": data})
        good("POST", "/api/2.0/dbfs/close", {"handle": handle})
    with tour.call("GET dbfs/get-status"):
        equal(good("GET", status_of)["file_size"], len(content))
    with tour.call("GET dbfs/list"):
        found = good("GET", f"/api/2.0/dbfs/list?{urlencode({'path': root})}")
        equal([each["path"] for each in found["files"]], [root + "/file"])
    with tour.call("GET dbfs/read"):
        read = b""
        while True:
            requested = {"length": 1024 * 1024, "offset": len(read), "path": root + "/file"}
            part = good("GET", f"/api/2.0/dbfs/read?{urlencode(requested)}")
            if not part["bytes_read"]:
                break
            read += base64.b64decode(part["data"])
        equal((read == content, part["data"]), (True, ""))
    with tour.call("POST dbfs/move"):
        ways = {"source_path": root + "/file", "destination_path": root + "/moved"}
        good("POST", "/api/2.0/dbfs/move", ways)
        equal(send("GET", status_of)[0], 404)
    with tour.call("POST dbfs/delete"):
        good("POST", "/api/2.0/dbfs/delete", {"path": root, "recursive": True})


if __name__ == "__main__":
    for part in (begin, state_of_a_bundle, job_of_a_bundle, files, dbfs):
        part()
