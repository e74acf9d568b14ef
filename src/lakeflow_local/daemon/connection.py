"""Find the running server and talk to it."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from platformdirs import user_state_path

from lakeflow_local.config import LOOPBACK
from lakeflow_local.errors import UsageError, WorkspaceError
from lakeflow_local.server import certificates
from lakeflow_local.server_proof import CHALLENGE, is_proof, make_nonce
from lakeflow_local.server_record import SERVER_FILE

TIMEOUT_SECONDS = 5.0
MAX_RESPONSE_BYTES = 1 << 20


@dataclass(frozen=True)
class Endpoint:
    """The address of the workspace and a token for it.

    Attributes:
        host: The workspace's URL.
        token: A bearer token.
        started: Whether this call started the server.
        notice: What its user should know, such as that it runs older code.
        trust: With TLS, the file of certificate authorities that vouch for the server.
    """

    host: str
    token: str
    started: bool
    notice: str | None = None
    trust: Path | None = None


@dataclass(frozen=True)
class Status:
    """A running server and its settings.

    `started` is in Unix seconds, `task_memory` in MiB. `digest` is that of its code, `faults` that
    of its rules.
    """

    endpoint: Endpoint
    pid: int
    started: int
    active_runs: int
    digest: str
    faults: str | None
    listen: str
    max_processes: int | None
    task_memory: int | None
    any_python: bool


class ServerFile(TypedDict):
    """What `server.json` tells about the server that wrote it."""

    pid: int
    port: int
    address: str
    tls: bool


def state_dir() -> Path:
    """Return `LAKEFLOW_STATE_DIR`, or else the platform's folder for state."""
    given = os.environ.get("LAKEFLOW_STATE_DIR")
    return Path(given).absolute() if given else user_state_path("lakeflow")


def workspace_folder() -> Path:
    """Return the folder in which the workspace keeps its state."""
    return state_dir() / "local"


def read_server_file(folder: Path) -> ServerFile | None:
    """Return what the running server wrote about itself; None if nothing legible."""
    try:
        content = json.loads((folder / SERVER_FILE).read_text())
        return ServerFile(
            pid=int(content["pid"]),
            port=int(content["port"]),
            address=content.get("address", LOOPBACK),
            tls=bool(content.get("tls")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock_holder(folder: Path) -> int | None:
    """Return the process that serves the workspace, whether it responds or not.

    The lock dies with its process, so a record of a server that was killed is not believed.
    """
    try:
        with open(folder / "server.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = (folder / "server.lock").read_text()
        return int(text) if text else lock_holder(folder)  # it is about to write its pid
    return None


def find() -> Endpoint | None:
    """Return the running server, or None if none responds."""
    found = status()
    return found.endpoint if found is not None else None


def status() -> Status | None:
    """Return the status of the running server, or None if none responds.

    A port whose holder is not the server that wrote the record gets no token.
    """
    folder = workspace_folder()
    server, token = read_server_file(folder), _owner_token(folder)
    if server is None or token is None or lock_holder(folder) != server["pid"]:
        return None
    tls = server["tls"]
    scheme, trust = ("https", certificates.find(folder).bundle) if tls else ("http", None)
    host = f"{scheme}://{server['address']}:{server['port']}"
    endpoint = Endpoint(host, token, False, trust=trust)
    health = _request(endpoint, "GET", "/lakeflow/health")
    if health is None or "digest" not in health:
        return None
    return Status(
        endpoint,
        health["pid"],
        health["started"],
        health["active_runs"],
        health["digest"],
        health.get("faults"),
        health.get("listen", LOOPBACK),
        health.get("max_processes"),
        health.get("task_memory"),
        health.get("any_python", False),
    )


def page_link(endpoint: Endpoint) -> str:
    """Return a link to the web UI that logs a browser in, once, within five minutes.

    Raises:
        WorkspaceError: The server does not respond.
    """
    response = _request(endpoint, "POST", "/lakeflow/login-links")
    if response is None:
        raise _no_response(endpoint)
    return f"{endpoint.host}{response['path']}"


def token(endpoint: Endpoint, name: str, *, is_admin: bool | None = None) -> str:
    """Return the token of a user or service principal, creating it if necessary.

    `is_admin` grants or revokes admin rights; None leaves them, and means no for a new principal.

    Raises:
        UsageError: `name` is not a valid name.
        WorkspaceError: The server does not respond.
    """
    if not re.fullmatch(r"[\w.+@-]{1,255}", name, re.ASCII):
        raise UsageError(
            f"{name!r} is not a valid name\n"
            "hint: users have names like ann@example.com; service principals have letters, digits"
            " and '._+-'"
        )
    body = {"name": name, "is_admin": is_admin}
    response = _request(endpoint, "POST", "/lakeflow/principals", body)
    if response is None:
        raise _no_response(endpoint)
    return str(response["token"])


def trust_variables(endpoint: Endpoint) -> dict[str, str]:
    """Return the environment variables that make other programs trust a server with TLS."""
    if endpoint.trust is None:
        return {}
    return certificates.find(workspace_folder()).variables()


def _no_response(endpoint: Endpoint) -> WorkspaceError:
    return WorkspaceError(f"the local workspace at {endpoint.host} does not respond")


def _request(
    endpoint: Endpoint, method: str, path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Send a request and return the response's JSON object; None if it fails.

    The server proves first, on the same connection, that it knows the workspace's token: another
    user of the machine may listen on the port of a server that has stopped.
    """
    address = endpoint.host.partition("//")[2]
    try:
        connection = _connection(address, endpoint.trust)
    except OSError:  # the file of authorities does not exist
        return None
    try:
        connection.connect()
        connection.auto_open = 0  # a new connection would not be proven
        if not _is_proven(connection, int(address.rpartition(":")[2])):
            return None
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        return _exchange(connection, method, path, json.dumps(body or {}), headers)
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _is_proven(connection: http.client.HTTPConnection, port: int) -> bool:
    """Return whether the other side of a connection knows the token of the workspace's owner."""
    token, nonce = _owner_token(workspace_folder()), make_nonce()
    if token is None:
        return False
    found = _exchange(connection, "GET", f"{CHALLENGE}?nonce={nonce}", None, {})
    return found is not None and is_proof(found.get("proof"), token, port, nonce)


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str | None,
    headers: Mapping[str, str],
) -> dict[str, Any] | None:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read(MAX_RESPONSE_BYTES)
    value = json.loads(content) if response.status == 200 else None
    return value if isinstance(value, dict) else None


def _owner_token(folder: Path) -> str | None:
    try:
        return (folder / "token").read_text().strip() or None
    except (OSError, ValueError):
        return None


def _connection(address: str, trust: Path | None) -> http.client.HTTPConnection:
    if trust is None:
        return http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    import ssl

    context = ssl.create_default_context(cafile=trust)
    return http.client.HTTPSConnection(address, timeout=TIMEOUT_SECONDS, context=context)
