"""Starts, finds and stops the local workspace's server. Cheap to import.

All state is below `state_dir() / "local"`. The server is a process of its own, detached from who
started it, and runs from its own copy of this package: it outlives sandboxes and upgrades.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from lakeflow_local.compute import processes
from lakeflow_local.errors import UsageError, WorkspaceError
from lakeflow_local.server import certificates

DEFAULT_PORT = 8453
START_SECONDS = 60.0
STOP_SECONDS = 5.0
LOG_LINES = 20
MOST_LOG = 10 << 20
"""Bytes: a log that is longer is put aside when a server starts, in the place of the last such."""
CODE_SUFFIXES = (".py", ".html", ".css", ".js", ".svg")
LEAST_FREE = 4 << 20
"""Bytes of disk: a start that failed with less is put down to that."""


@dataclass(frozen=True)
class Endpoint:
    """Where the workspace is and how to get in. `started`: this call has started the server.

    `notice` is what its user should know, such as that it runs older code. With TLS, `trust` is the
    file of authorities by which clients can tell that the server is this one.
    """

    host: str
    token: str
    started: bool
    notice: str | None = None
    trust: Path | None = None


@dataclass(frozen=True)
class Status:
    """A running server; `started` in Unix seconds."""

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


def state_dir() -> Path:
    """`LAKEFLOW_STATE_DIR`, else the platform's folder for state."""
    given = os.environ.get("LAKEFLOW_STATE_DIR")
    return Path(given).absolute() if given else user_state_path("lakeflow")


def ensure_up(
    *,
    port: int | None = None,
    max_processes: int | None = None,
    task_memory: int | None = None,
    namespaces: bool = True,
    faults: Path | None = None,
    tls: bool | None = None,
    listen: str | None = None,
    any_python: bool = False,
) -> Endpoint:
    """The running server, started where there is none; two callers at once get the same one.

    A server of other code is replaced, unless runs are active: then it is kept, with a notice.
    `port`, `max_processes`, `task_memory` (MiB), `any_python` (another Python of this machine
    stands for one that is missing) and `namespaces` are for a server that this call starts. So is
    `faults`, a file of rules (see `faults.py`). A server that runs without what a call asks for is
    no answer to it, `namespaces` excepted.
    `tls` says whether it is to speak https; None is what the last server did. `listen` is the
    address of this machine at which it answers; None is 127.0.0.1, which nobody else reaches.

    Raises:
        UsageError: the file of faults makes no sense, or what TLS needs is not installed.
        WorkspaceError: it did not start; the text has the end of its log. Or one runs that was
            started otherwise.
    """
    wanted = _Wanted(
        port,
        max_processes,
        task_memory,
        any_python,
        _digest_of(faults) if faults is not None else None,
        tls,
        listen,
    )
    if tls:
        certificates.check_library()
    found = status()
    if found is not None and found.digest == _own_digest():
        return _fitting(found, wanted).endpoint
    folder = _folder()
    with _writing(folder), _locked(folder / "start.lock"):
        found = status()
        if found is not None and found.digest != _own_digest():
            if found.active_runs:
                notice = (
                    f"the local workspace runs other code than this, and keeps it while"
                    f" {found.active_runs} run(s) are active"
                )
                kept = _fitting(found, wanted).endpoint
                return replace(kept, notice=notice)
            _stop(folder, found.pid)
            found = None
        if found is not None:
            return _fitting(found, wanted).endpoint
        values = {
            "--port": port,
            "--listen": listen,
            "--max-processes": max_processes,
            "--task-memory": task_memory,
        }
        options = [f"{name}={value}" for name, value in values.items() if value is not None]
        options += [] if namespaces else ["--no-namespaces"]
        options += ["--any-python"] if any_python else []
        options += ["--faults", str(faults.absolute())] if faults is not None else []
        options += ["--tls"] if (_spoke_tls(folder) if tls is None else tls) else []
        _start(folder, options)
        found = status()
        if found is None:
            raise _not_started(folder)
        return replace(found.endpoint, started=True)


def find() -> Endpoint | None:
    """The running server, if there is one that answers."""
    found = status()
    return found.endpoint if found is not None else None


def status() -> Status | None:
    """What the running server says of itself, if there is one that answers."""
    folder = _folder()
    try:
        facts = json.loads((folder / "server.json").read_text())
        token = (folder / "token").read_text().strip()
        port, tls = int(facts["port"]), bool(facts.get("tls"))
    except (OSError, ValueError, KeyError):
        return None
    scheme, trust = ("https", certificates.find(folder).bundle) if tls else ("http", None)
    host = f"{scheme}://{facts.get('address', '127.0.0.1')}:{port}"
    endpoint = Endpoint(host, token, False, trust=trust)
    health = _ask(endpoint, "GET", "/lakeflow/health")
    if health is None or "digest" not in health:
        return None
    return Status(
        endpoint,
        health["pid"],
        health["started"],
        health["active_runs"],
        health["digest"],
        health.get("faults"),
        health.get("listen", "127.0.0.1"),
        health.get("max_processes"),
        health.get("task_memory"),
        health.get("any_python", False),
    )


def down() -> bool:
    """Stop the server, if one runs; runs in progress end with it. Whether there was one.

    Raises:
        WorkspaceError: it did not stop.
    """
    folder = _folder()
    if not folder.is_dir():
        return False
    with _writing(folder), _locked(folder / "start.lock"):
        pid = _holder(folder)
        if pid is not None:
            _stop(folder, pid)
        _end_processes(folder)
        return pid is not None


def page_link(endpoint: Endpoint) -> str:
    """An address of the workspace's page that logs a browser in, once, within five minutes.

    Raises:
        WorkspaceError: the server does not answer.
    """
    answer = _ask(endpoint, "POST", "/lakeflow/login-links")
    if answer is None:
        raise WorkspaceError(f"the local workspace at {endpoint.host} does not answer")
    return f"{endpoint.host}{answer['path']}"


def token(endpoint: Endpoint, name: str, *, is_admin: bool | None = None) -> str:
    """The token of a user or service principal, who is made where there is none of that name.

    `is_admin` changes whether somebody is one; None leaves it, and is no for somebody new.

    Raises:
        UsageError: this can't be a name.
        WorkspaceError: the server does not answer.
    """
    if not re.fullmatch(r"[\w.+@-]{1,255}", name, re.ASCII):
        raise UsageError(
            f"{name!r} is no name: users have one like ann@example.com, service principals any of"
            " letters, digits and '._+-'"
        )
    answer = _ask(endpoint, "POST", "/lakeflow/people", {"name": name, "is_admin": is_admin})
    if answer is None:
        raise WorkspaceError(f"the local workspace at {endpoint.host} does not answer")
    return str(answer["token"])


def trust_variables(endpoint: Endpoint) -> dict[str, str]:
    """What makes other programs trust a server that speaks TLS; nothing without."""
    return certificates.find(_folder()).variables() if endpoint.trust is not None else {}


def reset() -> None:
    """Stop the server and delete the whole workspace: jobs, runs, files, secrets."""
    down()
    folder = _folder()
    if folder.is_dir():
        with _writing(folder):
            shutil.rmtree(folder)


def code_digest(package: Path) -> str:
    """Digest the code that the server runs, templates and assets included."""
    digest = hashlib.sha256()
    for path in _code(package):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _code(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*") if path.suffix in CODE_SUFFIXES)


def _own_package() -> Path:
    return Path(__file__).resolve().parent


def _own_digest() -> str:
    return code_digest(_own_package())


def _folder() -> Path:
    return state_dir() / "local"


def _digest_of(faults: Path) -> str:
    from lakeflow_local.server.faults import read_faults  # not cheap to import, and seldom needed

    return read_faults(faults).digest


def _spoke_tls(folder: Path) -> bool:
    """Whether the last server did."""
    try:
        return bool(json.loads((folder / "server.json").read_text()).get("tls"))
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class _Wanted:
    """What a caller asks of a server: see `ensure_up`. `weather` is the digest of its faults."""

    port: int | None
    max_processes: int | None
    task_memory: int | None
    any_python: bool
    weather: str | None
    tls: bool | None
    listen: str | None


def _fitting(found: Status, wanted: _Wanted) -> Status:
    """`found`, where it is what is wanted.

    Raises:
        WorkspaceError: it was started otherwise.
    """
    problem = None
    if wanted.tls is not None and wanted.tls != (found.endpoint.trust is not None):
        problem = f", {'without' if wanted.tls else 'with'} TLS"
    elif wanted.listen is not None and wanted.listen != found.listen:
        problem = f", and does not listen on {wanted.listen}"
    elif wanted.port is not None and not found.endpoint.host.endswith(f":{wanted.port}"):
        problem = f", not on port {wanted.port}"
    elif wanted.weather is not None and found.faults != wanted.weather:
        problem = ", without these faults"
    elif wanted.max_processes is not None and found.max_processes != wanted.max_processes:
        problem = f", with --max-processes {found.max_processes}"
    elif wanted.task_memory is not None and found.task_memory != wanted.task_memory:
        given = found.task_memory
        problem = f", with --task-memory {given}" if given else ", without --task-memory"
    elif wanted.any_python and not found.any_python:
        problem = ", without --any-python"
    if problem is None:
        return found
    raise WorkspaceError(
        f"the local workspace runs at {found.endpoint.host} already{problem}:"
        " stop it first with `lakeflow local down`"
    )


def _ask(
    endpoint: Endpoint, method: str, path: str, given: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """What the server answers, if it does."""
    address = endpoint.host.partition("//")[2]
    try:
        connection = _connection(address, endpoint.trust)
    except OSError:  # no such file of authorities
        return None
    try:
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        connection.request(method, path, json.dumps(given or {}), headers)
        response = connection.getresponse()
        body = response.read()
        answer = json.loads(body) if response.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _connection(address: str, trust: Path | None) -> http.client.HTTPConnection:
    if trust is None:
        return http.client.HTTPConnection(address, timeout=5)
    import ssl

    context = ssl.create_default_context(cafile=trust)
    return http.client.HTTPSConnection(address, timeout=5, context=context)


def _start(folder: Path, options: Sequence[str]) -> None:
    """Start a server and wait until it answers."""
    home = _copy_code(folder / "server")
    arguments = ["--folder", str(folder), *options]
    kept = [entry for entry in sys.path if entry and os.path.exists(entry)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home), *kept])}
    log_file = folder / "server.log"
    if log_file.exists() and log_file.stat().st_size > MOST_LOG:
        os.replace(log_file, folder / "server.log.old")
    with open(log_file, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lakeflow_local", *arguments],
            cwd=home,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = status()
        if found is not None and found.pid == process.pid:
            return
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    raise _not_started(folder)


def _copy_code(target: Path) -> Path:
    """A folder with a copy of the server's code in `lakeflow_local/`; those of other code go."""
    package = _own_package()
    home = target / code_digest(package)
    if not home.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as draft:
            for path in _code(package):
                copy = Path(draft, "code", package.name, path.relative_to(package))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            os.rename(Path(draft, "code"), home)
    for other in target.iterdir():  # no server runs, from whatever code
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
    return home


def _holder(folder: Path) -> int | None:
    """The process that has the workspace, whether it answers or not."""
    try:
        with open(folder / "server.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = (folder / "server.lock").read_text()
        return int(text) if text else _holder(folder)  # it is about to write its pid
    return None


def _stop(folder: Path, pid: int) -> None:
    """End a server: with SIGTERM, and by force if it does not listen."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if _holder(folder) != pid:
                return
            time.sleep(0.02)
    raise WorkspaceError(f"the local workspace (process {pid}) does not stop")


def _end_processes(folder: Path) -> None:
    """End what a server that was killed could not end itself: its tasks and installations."""
    with suppress(FileNotFoundError):
        identity = json.loads((folder / "identity.json").read_text())
        processes.end_marked(f"{identity['workspace_id']}/")


def _not_started(folder: Path) -> WorkspaceError:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        return WorkspaceError(
            f"the local workspace did not start: the disk of {folder} is full, {free >> 10} KiB "
            "are free. Make room, or set LAKEFLOW_STATE_DIR to a folder on another disk"
        )
    log = folder / "server.log"
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines = []
    tail = "\n".join(f"    {line}" for line in lines)
    return WorkspaceError(f"the local workspace did not start; the end of {log}:\n{tail}")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell a full or read-only disk by the folder that it was about."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WorkspaceError(
            f"the local workspace can't keep its state in {folder}: {error.strerror or error}"
            " (LAKEFLOW_STATE_DIR names another place)"
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
