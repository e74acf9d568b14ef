"""The server's process: from its command line to its last request."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from lakeflow_local import server_record
from lakeflow_local.compute import processes
from lakeflow_local.compute.namespaces import enter
from lakeflow_local.config import CORES, DEFAULT_PORT, LOOPBACK, ServerConfig
from lakeflow_local.errors import LocalWorkspaceError
from lakeflow_local.server import certificates
from lakeflow_local.server.access import Hosts
from lakeflow_local.server.administration import Health
from lakeflow_local.server.app import make_app
from lakeflow_local.server.fault_injection import (
    Connections,
    FaultInjection,
    droppable,
    inject_task_faults,
    inject_workspace_faults,
)
from lakeflow_local.server.fault_rules import read_faults
from lakeflow_local.server.workspace import open_workspace, read_identity
from lakeflow_local.source_code import code_digest
from lakeflow_local.storage.files import write_atomically

log = logging.getLogger(__name__)

FOLDER_CHECK_SECONDS = 2.0

LOCK_SECONDS = 1.0
"""Whoever looks for a server takes its lock for a moment, to see whether it is free."""

KEEP_ALIVE_SECONDS = 600
"""Long, because a client sends a request twice if its connection closes just as it writes."""


def main() -> int:
    """Run a server with the settings of the command line. Return its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return serve(parse_arguments(sys.argv[1:]))
    except (OSError, LocalWorkspaceError) as error:
        log.error("%s", error)
        return 1


def parse_arguments(arguments: Sequence[str]) -> ServerConfig:
    """Read what `ServerConfig.arguments` writes."""
    parser = argparse.ArgumentParser(prog="python -m lakeflow_local", allow_abbrev=False)
    parser.add_argument("--folder", type=Path, required=True, help="where to keep the state")
    parser.add_argument(
        "--port", type=int, help="0 is any free one (default: the last one, 8453, or any)"
    )
    parser.add_argument("--listen", default=LOOPBACK, help="the address to listen on")
    parser.add_argument("--tls", action="store_true", help="speak https; see certificates.py")
    parser.add_argument("--max-processes", type=int, default=CORES)
    parser.add_argument("--task-memory", type=int, help="MiB for each process (default: no limit)")
    parser.add_argument("--any-python", action="store_true", help="see interpreters.py")
    parser.add_argument(
        "--no-namespaces",
        dest="namespaces",
        action="store_false",
        help="tasks find files below LAKEFLOW_MOUNT",
    )
    parser.add_argument("--faults", type=Path, help="a file of rules; see fault_rules.py")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop with the process that started it"
    )
    return ServerConfig(**vars(parser.parse_args(arguments)))


def serve(config: ServerConfig) -> int:
    """Serve a workspace until a SIGTERM or SIGINT. Return the exit code."""
    folder = config.folder
    faults = read_faults(config.faults) if config.faults is not None else None
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder / "server.lock") as is_first:
        if not is_first:
            log.error("another server has the workspace in %s", folder)
            return 1
        server_record.retire(folder)  # of a server that was killed
        tls = certificates.ensure(folder, config.listen) if config.tls else None
        if tls is not None:
            os.environ.update(tls.variables())  # tasks inherit them
        listener = open_listener(config)
        port = listener.getsockname()[1]
        url = f"{config.scheme}://{config.host}:{port}"
        token = read_or_create_token(folder / "token")
        # Before the mount namespace: from inside it other processes may be invisible.
        marker = f"{read_identity(folder)[0]}/"
        processes.kill_marked(marker)
        os.environ[processes.MARKER] = f"{marker}server"
        is_mounted = config.namespaces and enter(folder / "mount", folder / "root")
        # After it: a process with threads can't change its namespace.
        if config.until_stdin_closes:
            threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()
        workspace = open_workspace(
            config,
            url,
            is_mounted=is_mounted,
            behaviors=faults.behaviors if faults is not None else frozenset(),
        )
        health: Health = {
            "pid": os.getpid(),
            "port": port,
            "address": config.host,
            "listen": config.listen,
            "tls": config.tls,
            "digest": code_digest(),
            "started": int(time.time()),
            "faults": faults.digest if faults is not None else None,
            "max_processes": config.max_processes,
            "task_memory": config.task_memory,
            "any_python": config.any_python,
        }
        app: ASGIApp = make_app(workspace, token, health, Hosts(config.listen))
        protocol: type[asyncio.Protocol] | Literal["auto"] = "auto"
        if faults is not None:
            connections: Connections = {}
            app, protocol = FaultInjection(app, faults, connections), droppable(connections)
            inject_task_faults(workspace, faults)
            inject_workspace_faults(workspace, faults)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=protocol,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ssl_certfile=tls.chain if tls is not None else None,
                ssl_keyfile=tls.key if tls is not None else None,
            )
        )
        workspace.start()
        threading.Thread(
            target=_stop_with_folder, args=(folder / "server.lock",), name="folder", daemon=True
        ).start()
        write_atomically(folder / server_record.SERVER_FILE, json.dumps(health).encode())
        # uvicorn handles these signals and raises them again when it has stopped.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        try:
            server.run(sockets=[listener])
        finally:
            server_record.retire(folder)
            workspace.close()
    return 0


def open_listener(config: ServerConfig) -> socket.socket:
    """Return a listening socket; without a given port, on the last one if it is free.

    Raises:
        OSError: The given port can't be used.
    """
    if config.port is not None:
        candidates = [config.port]
    else:
        last = server_record.last_server(config.folder).port
        candidates = [*([] if last is None else [last]), DEFAULT_PORT, 0]
    for candidate in candidates:
        # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms a request.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.listen, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            problem = error
            continue
        return listener
    raise OSError(f"port {config.port} of {config.listen} can't be used: {problem.strerror}")


def read_or_create_token(path: Path) -> str:
    """Return the token of the workspace's owner, from a file that only its user may read."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        draft = path.with_name(".token.draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        token = secrets.token_hex(24)
        with open(descriptor, "w") as file:
            file.write(token)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
        return token


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of the workspace and write our pid into it. Yields False if another has it."""
    with open(path, "a") as lock:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    yield False
                    return
                time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield True


def _stop_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _stop_with_folder(lock: Path) -> None:
    """Stop when the folder is deleted: nobody could find the server, and it would hold its port."""
    while lock.exists():
        time.sleep(FOLDER_CHECK_SECONDS)
    log.error("the folder %s was deleted", lock.parent)
    os.kill(os.getpid(), signal.SIGTERM)
