"""Every endpoint with valid and invalid values for its fields in the SDK.

No request makes the server fail, hang, reveal a secret, or touch a file outside its folder.
`LAKEFLOW_SOAK=1` sends many times as many requests.
"""

from __future__ import annotations

import dataclasses
import enum
import http.client
import importlib
import inspect
import json
import os
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from databricks.sdk import WorkspaceClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_local import daemon
from lakeflow_local.server.api.route import Route
from lakeflow_local.server.app import ROUTES
from tests.lakeflow_local.helpers import make_job, probe_task, trigger

IS_SOAK = bool(os.environ.get("LAKEFLOW_SOAK"))
EXAMPLES = 300 if IS_SOAK else 8
SECONDS = 60.0
"""Timeout of a request; without a response by then the server hangs."""
SERVICES = ("jobs", "compute", "files", "workspace", "catalog", "iam")
CANARY = "canary-51f6e2"

OUTSIDE = (
    "..",
    "../../outside/canary",
    "/../outside/canary",
    "/Workspace/../../../outside/canary",
    "/Volumes/main/default/lakeflow/../../../../../../outside/canary",
    "/Volumes/main/default/lakeflow/leads-out/canary",
    "/Workspace/Shared/leads-out/canary",
    "dbfs:/leads-out/canary",
    "/leads-out/canary",
    "/Volumes/main/default/lakeflow/leads-out",
    "/Workspace/Shared/leads-out",
    "/leads-out",
    "//..//..//token",
    "/Workspace/..\\..\\token",
    "%2e%2e%2f%2e%2e%2ftoken",
    "/Volumes/main/default/lakeflow/%2e%2e/%2e%2e/token",
    "/dev/null",
    "/proc/self/environ",
    "/etc/passwd",
)
"""Paths that are tried for every string."""

TEXTS = (
    *OUTSIDE,
    "",
    " ",
    "/",
    "main",
    "a\0b",
    "\ud800",
    "é\u202e\U0001f600",
    "x" * 300,
    "/" + "y" * 300,
    "/Workspace/" + "z/" * 2000,
    "{{job.parameters.x}}",
    "{{tasks.a.values.b}}",
    "'; DROP TABLE jobs; --",
    "%",
    "1",
    "-1",
    "true",
    "null",
    "NaN",
    "/Volumes/main/default/lakeflow",
    "/Volumes/main/default/lakeflow/a.txt",
    "/Workspace/Shared",
    "/Workspace/Shared/a.txt",
    "dbfs:/a.txt",
    "initiate-upload",
    "complete-upload",
    "multipart",
    "AUTO",
    "eyJ9",
    "W10=",
    "probe",
    "0 0 6 * * ?",
    "Europe/Berlin",
    "fuzzed",
    "jobs/1",
    "clusters/none",
    "directories/1",
    "volume/main.default.lakeflow",
    "users",
)
NUMBERS = (0, 1, -1, 2, 3, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30)
ODD: tuple[Any, ...] = (
    None, True, 1.5, -0.0, 1e308, "text", [], {}, [None], {"": None}, [[]], {"a": {"b": []}},
    [{"task_key": 1}], {"user_name": []},
)  # fmt: skip
TEXT = st.sampled_from(TEXTS) | st.text(max_size=40)
NUMBER = st.sampled_from(NUMBERS) | st.integers()


@dataclass(frozen=True)
class Target:
    """A server whose folder is beside a canary, and a connection to it."""

    endpoint: daemon.Endpoint
    folder: Path
    connection: http.client.HTTPConnection
    secrets: tuple[bytes, ...]

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request, check the response, and return its status and body."""
        said = {"Authorization": f"Bearer {self.endpoint.token}", **(headers or {})}
        try:
            self.connection.request(method, path, body, said)
            response = self.connection.getresponse()
        except ConnectionError:  # it may close after a refusal
            self.connection.close()
            self.connection.request(method, path, body, said)
            response = self.connection.getresponse()
        content = response.read()
        what = f"{method} {path[:300]} {(body or b'')[:300]!r}: {response.status} {content[:500]!r}"
        assert response.status < 500, what
        if response.status >= 400 and method != "HEAD" and not content.startswith(b"<"):
            answer = json.loads(content)
            assert answer["error_code"] != "", what
            assert isinstance(answer["message"], str), what
        for secret in self.secrets:
            assert secret not in content, what
        return response.status, content


def _snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return all files outside the workspace's folder: sizes, modification times and contents."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_relative_to(folder / "local")
    }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Start a server with some content, and links that lead out of each of its trees."""
    folder = tmp_path_factory.mktemp("state")
    (folder / "outside").mkdir()
    (folder / "outside" / "canary").write_text(CANARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(folder))
        endpoint = daemon.ensure_up()
        client = WorkspaceClient(host=endpoint.host, token=endpoint.token, auth_type="pat")
        job = make_job(client, [probe_task("none", "/Workspace/Shared/x.whl", "echo")])
        trigger(client, job)
        client.secrets.create_scope("fuzzed")
        mount = folder / "local" / "mount"
        trees = [
            mount / "Workspace/Shared",
            mount / "Volumes/main/default/lakeflow",
            mount / "dbfs",
        ]
        for tree in trees:
            (tree / "leads-out").symlink_to(folder / "outside")
        before = _snapshot(folder)
        names = {path.name for path in (folder / "local").iterdir()}
        secrets = (CANARY.encode(), endpoint.token.encode(), b"root:x:0:0")
        address = urlsplit(endpoint.host).netloc
        found = Target(
            endpoint, folder, http.client.HTTPConnection(address, timeout=SECONDS), secrets
        )
        yield found
        found.connection.close()
        daemon.down()
        assert _snapshot(folder) == before
        created = {path.name for path in (folder / "local").iterdir()} - names
        assert created <= {"clusters", "runs", "environments", "uploads", "workspace.sqlite-wal",
                        "workspace.sqlite-shm", "interpreters.json",
                        "last-server.json"}, created  # fmt: skip
        assert {path.name for path in mount.iterdir()} == {"Workspace", "Volumes", "dbfs"}


def _methods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The operation of each request of the SDK, with the types of its arguments."""
    for name in SERVICES:
        module = importlib.import_module(f"databricks.sdk.service.{name}")
        for _, api in inspect.getmembers(module, inspect.isclass):
            if not api.__name__.endswith("API"):
                continue
            for _, method in inspect.getmembers(api, inspect.isfunction):
                source = inspect.getsource(method)
                for verb, path in re.findall(r'\.do\(\s*"(\w+)",\s*f?"(/api/[^"]*)', source):
                    hints = typing.get_type_hints(method)
                    hints.pop("return", None)
                    route = re.sub("^/api/[0-9.]+/", "", re.sub(r"\{.*$", "{path}", path))
                    yield f"{verb} {route}", hints


FIELDS: dict[str, dict[str, Any]] = {}
for _route, _hints in _methods():
    FIELDS.setdefault(_route, {}).update(_hints)
EXTRA: Mapping[str, Mapping[str, Any]] = {
    "POST fs/create-upload-part-urls": {
        "path": str, "session_token": str, "start_part_number": int, "count": int,
        "expire_time": str,
    },
    "POST fs/create-abort-upload-url": {"path": str, "session_token": str, "expire_time": str},
    "POST fs/create-download-url": {"path": str, "expire_time": str},
    "POST fs/files{path}": {
        "action": str, "overwrite": bool, "session_token": str, "upload_type": str, "parts": list,
    },
    "POST workspace-files/import-file/{path}": {"overwrite": bool},
    "POST /lakeflow/task-values": {"task_run_id": int, "key": str, "value": str},
    "GET /lakeflow/task-values": {"job_run_id": int, "task_key": str, "key": str},
}  # fmt: skip
"""Requests for which the SDK has no method, and our own."""


def _strategy(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return JSON values of a type of the SDK, and sometimes others."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    right: st.SearchStrategy[Any]
    if origin is typing.Union or type(None) in arguments:
        return _strategy(next(item for item in arguments if item is not type(None)), depth)
    if origin is list or kind is list:
        right = st.lists(_strategy(arguments[0] if arguments else str, depth + 1), max_size=3)
    elif origin is dict:
        right = st.dictionaries(TEXT, _strategy(arguments[1], depth + 1), max_size=3)
    elif dataclasses.is_dataclass(kind) and depth < 5:
        hints = typing.get_type_hints(kind)
        fields = {name: _strategy(hint, depth + 1) for name, hint in hints.items()}
        right = _some(fields)
    elif inspect.isclass(kind) and issubclass(kind, enum.Enum):
        right = st.sampled_from([member.value for member in kind])
    elif kind is bool:
        right = st.booleans()
    elif kind in (int, float):
        right = NUMBER
    else:
        right = TEXT
    return st.integers(0, 7).flatmap(lambda dice: st.sampled_from(ODD) if dice == 0 else right)


def _some(fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a few fields: with all of them most requests would be refused for the same reason."""
    if not fields:
        return st.just({})
    names = st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen})
    )


def _fields(route: Route) -> Mapping[str, Any]:
    name = route.operation
    found = {**FIELDS.get(name, {}), **EXTRA.get(name, {})}
    if not found and route.path.endswith("{path}"):  # where the SDK has several parts
        start = name.removesuffix("{path}")
        for other, hints in FIELDS.items():
            if other.startswith(start):
                found.update(hints)
    return found


OPERATIONS = sorted({route.operation: route for route in ROUTES if not route.is_presigned}.items())


def test_the_sdk_has_the_fields_of_the_routes() -> None:
    without = {name for name, route in OPERATIONS if not _fields(route)}
    assert without <= {
        "GET preview/scim/v2/Me",
        "GET instance-pools/list",
        "POST /telemetry-ext",
        "GET clusters/list-node-types",
        "GET clusters/list-zones",
        "GET clusters/spark-versions",
        "GET libraries/all-cluster-statuses",
        "GET secrets/scopes/list",
    }


@pytest.mark.parametrize(("name", "route"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_an_endpoint_survives_anything(target: Target, name: str, route: Route) -> None:
    hints = _fields(route)
    strategies = {field: _strategy(hint) for field, hint in hints.items()}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not IS_SOAK,
        suppress_health_check=list(HealthCheck),
    )
    @given(_some(strategies), TEXT, st.booleans())
    def ask(parameters: dict[str, Any], rest: str, in_query: bool) -> None:
        raw = rest.encode("utf-8", "surrogatepass")
        path = route.path.replace("{path}", quote(raw) if in_query else quote(raw, safe="/."))
        if route.method in ("GET", "HEAD", "DELETE") or route.body == "file":
            flat = {
                field: value if isinstance(value, str) else json.dumps(value)
                for field, value in parameters.items()
            }
            query = urlencode(flat, errors="surrogatepass")
            body = raw if route.body == "file" else None
            target.send(route.method, f"{path}?{query}", body)
        else:
            target.send(route.method, path, json.dumps(parameters).encode())

    ask()


DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "a number": b"1",
    "NaN": b'{"job_id": NaN}',
    "infinity": b'{"job_id": -Infinity}',
    "deep": b'{"job_id": ' + DEEP + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a huge number": b'{"job_id": ' + b"9" * 10_000 + b"}",
    "twice": b'{"job_id": 1, "job_id": "x"}',
    "a form": b"job_id=1&path=/x",
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_may_be_anything(target: Target, kind: str) -> None:
    for _, route in OPERATIONS:
        if route.method in ("POST", "PUT", "PATCH", "DELETE"):
            path = route.path.replace("{path}", "/Volumes/main/default/lakeflow/b")
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            target.send(route.method, path, BODIES[kind], headers if kind == "a form" else None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b"--b--\r\n",
        b"--b\r\n\r\n\r\n--b--",
        b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n/../../outside/canary\r\n--b--',
        b'--b\r\nContent-Disposition: form-data; name="path"; filename="x"\r\n\r\n/a\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n\xff\xfe\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 5000 + b"--b--\r\n",
    ],
)
def test_a_form_may_be_anything(target: Target, body: bytes) -> None:
    for path in ("/api/2.0/workspace/import", "/api/2.0/dbfs/put"):
        for kind in (
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "multipart/form-data; boundary=",
        ):
            target.send("POST", path, body, {"Content-Type": kind})


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out(target: Target, path: str) -> None:
    """Try paths in all operations: read, list, write, move, create a folder, delete."""
    send = target.send
    quoted = quote(path, safe="/%")
    for start in ("", "/Volumes/main/default/lakeflow/", "/Workspace/Shared/"):
        for area in ("files", "directories"):
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                body = b"over" if method == "PUT" else None
                send(method, f"/api/2.0/fs/{area}{start}{quoted}?overwrite=true", body)
        full = f"{start}{path}"
        for name in ("delete", "mkdirs", "import"):
            body = json.dumps(
                {
                    "path": full,
                    "recursive": True,
                    "overwrite": True,
                    "format": "AUTO",
                    "content": "",
                }
            ).encode()
            send("POST", f"/api/2.0/workspace/{name}", body)
        encoded = quote(full, safe="")
        send("POST", f"/api/2.0/workspace-files/import-file/{encoded}?overwrite=true", b"over")
        for name in ("get-status", "list", "export"):
            send("GET", f"/api/2.0/workspace/{name}?path={encoded}&direct_download=true")
        for name in ("get-status", "list", "read"):
            send("GET", f"/api/2.0/dbfs/{name}?path={encoded}")
        for name in ("put", "create", "mkdirs", "delete"):
            body = json.dumps({"path": full, "overwrite": True, "recursive": True}).encode()
            send("POST", f"/api/2.0/dbfs/{name}", body)
        for source, to in ((full, "/moved"), ("/a", full)):
            body = json.dumps({"source_path": source, "destination_path": to}).encode()
            send("POST", "/api/2.0/dbfs/move", body)
        page, _ = send("GET", f"/files/{quoted.lstrip('/')}", headers={"Accept": "text/html"})
        assert page in (200, 400, 403, 404)
    assert (target.folder / "outside" / "canary").read_text() == CANARY


def test_the_head_of_a_request_may_be_anything(target: Target) -> None:
    long = "x" * 60_000
    connection = target.connection
    for headers in ({"X-Long": long}, {"Cookie": f"lakeflow={long}"}, {"Content-Type": long}):
        connection.close()
        status, _ = _raw(target, "GET /api/2.2/jobs/list HTTP/1.1", headers)
        assert status < 500
    for line in (
        "GET / HTTP/9.9",
        "GET",
        "\0\1\2",
        f"GET /{long} HTTP/1.1",
        "FROB /api/2.2/jobs/list HTTP/1.1",
        "POST /api/2.2/jobs/create HTTP/1.1\r\nContent-Length: -1",
        "POST /api/2.2/jobs/create HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "POST /api/2.2/jobs/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ",
    ):
        status, _ = _raw(target, line, {})
        assert status < 500
    assert target.send("GET", "/api/2.2/jobs/list")[0] == 200


def _raw(target: Target, line: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Return the status and text of a response; 0 if the connection is closed without one."""
    import socket

    address = urlsplit(target.endpoint.host)
    given = {"Authorization": f"Bearer {target.endpoint.token}", "Host": address.netloc, **headers}
    text = "\r\n".join([line, *(f"{name}: {value}" for name, value in given.items())])
    with socket.create_connection((address.hostname or "", address.port or 0), SECONDS) as link:
        link.sendall(f"{text}\r\n\r\n".encode("latin-1"))
        link.shutdown(socket.SHUT_WR)
        try:
            answer = link.recv(65536)
        except ConnectionError:
            answer = b""
    found = re.match(rb"HTTP/1\.\d (\d+)", answer)
    return (int(found[1]) if found else 0), answer
