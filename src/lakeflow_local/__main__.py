"""The server's process: `python -m lakeflow_local --folder FOLDER [--port N]`."""

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
from pathlib import Path
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from lakeflow_local.compute import processes
from lakeflow_local.compute.clusters import CORES
from lakeflow_local.compute.namespaces import enter
from lakeflow_local.daemon import DEFAULT_PORT, code_digest
from lakeflow_local.errors import LocalWorkspaceError
from lakeflow_local.server import certificates
from lakeflow_local.server.access import EVERYWHERE, LOOPBACK, Hosts
from lakeflow_local.server.app import make_app
from lakeflow_local.server.faults import (
    Connections,
    Faults,
    Weather,
    droppable,
    lose_tasks,
    read_faults,
)
from lakeflow_local.server.workspace import open_workspace, read_identity
from lakeflow_local.storage.files import write_atomically

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often a server looks whether its folder is still there."""

KEEP_ALIVE_SECONDS = 600
"""A connection that closes just when a client writes to it makes that client send twice."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="lakeflow_local")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--port", type=int, help="0 is any free one (default: the last one, 8453, or any)"
    )
    parser.add_argument("--max-processes", type=int, default=CORES)
    parser.add_argument(
        "--task-memory", type=int, help="MiB that each process of a task may have (default: all)"
    )
    parser.add_argument("--any-python", action="store_true", help="see interpreters.py")
    parser.add_argument(
        "--no-namespaces", action="store_true", help="tasks find files below LAKEFLOW_MOUNT"
    )
    parser.add_argument("--faults", type=Path, help="a file of rules; see faults.py")
    parser.add_argument("--listen", default=LOOPBACK, help="the address to listen on")
    parser.add_argument("--tls", action="store_true", help="https; see certificates.py")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with who started it")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        faults = read_faults(options.faults) if options.faults else None
        return serve(
            options.folder,
            options.port,
            options.max_processes,
            faults,
            options.until_stdin_ends,
            options.tls,
            address=options.listen,
            task_memory=options.task_memory,
            namespaces=not options.no_namespaces,
            any_python=options.any_python,
        )
    except (OSError, LocalWorkspaceError) as error:
        log.error("%s", error)
        return 1


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end_with_folder(lock: Path) -> None:
    """Without its folder nobody finds the server, and it would hold its port for ever."""
    while lock.exists():
        time.sleep(LOOK_SECONDS)
    log.error("the folder %s was deleted", lock.parent)
    os.kill(os.getpid(), signal.SIGTERM)


def serve(
    folder: Path,
    port: int | None,
    slots: int,
    faults: Faults | None = None,
    until_stdin_ends: bool = False,
    tls: bool = False,
    *,
    address: str = LOOPBACK,
    task_memory: int | None = None,
    namespaces: bool = True,
    any_python: bool = False,
) -> int:
    """Serve the workspace in `folder` until a SIGTERM or SIGINT."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with open(folder / "server.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.error("another server has the workspace in %s", folder)
            return 1
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        files = certificates.ensure(folder, address) if tls else None
        if files is not None:
            os.environ.update(files.variables())  # for tasks, which get these of ours
        listener = listen(folder, port, address)
        host = LOOPBACK if address == EVERYWHERE else address
        url = f"{'https' if tls else 'http'}://{host}:{listener.getsockname()[1]}"
        token = read_or_make_token(folder / "token")
        marker = f"{read_identity(folder)[0]}/"
        processes.end_marked(marker)  # from inside they may not be seen
        os.environ[processes.MARKER] = f"{marker}server"
        is_mounted = namespaces and enter(folder / "mount", folder / "root")
        if until_stdin_ends:  # a process with threads can't move
            threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
        workspace = open_workspace(
            folder,
            url,
            slots,
            is_mounted=is_mounted,
            task_memory=task_memory,
            any_python=any_python,
        )
        facts = {
            "pid": os.getpid(),
            "port": listener.getsockname()[1],
            "address": host,
            "listen": address,
            "tls": tls,
            "digest": code_digest(Path(__file__).parent),
            "started": int(time.time()),
            "faults": faults.digest if faults is not None else None,
            "max_processes": slots,
            "task_memory": task_memory,
            "any_python": any_python,
        }
        app: ASGIApp = make_app(workspace, token, facts, Hosts(address))
        protocol: type[asyncio.Protocol] | Literal["auto"] = "auto"
        if faults is not None:
            connections: Connections = {}
            app, protocol = Weather(app, faults, connections), droppable(connections)
            lose_tasks(workspace, faults)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=protocol,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ssl_certfile=files.chain if files is not None else None,
                ssl_keyfile=files.key if files is not None else None,
            )
        )
        workspace.engine.start()
        threading.Thread(
            target=_end_with_folder, args=(folder / "server.lock",), name="folder", daemon=True
        ).start()
        write_atomically(folder / "server.json", json.dumps(facts).encode())
        # uvicorn ends cleanly at these signals, and raises them again afterwards.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        try:
            server.run(sockets=[listener])
        finally:
            workspace.close()
    return 0


def listen(folder: Path, port: int | None, address: str) -> socket.socket:
    """A listening socket; without a port, on the last one if it is free."""
    candidates = [port] if port is not None else [*_last_port(folder), DEFAULT_PORT, 0]
    for candidate in candidates:
        # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms a request.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            problem = error
            continue
        return listener
    raise OSError(f"port {port} of {address} can't be used: {problem.strerror}")


def _last_port(folder: Path) -> list[int]:
    try:
        return [int(json.loads((folder / "server.json").read_text())["port"])]
    except (OSError, ValueError, KeyError):
        return []


def read_or_make_token(path: Path) -> str:
    """The workspace's one token, in a file that only its user may read."""
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


if __name__ == "__main__":
    sys.exit(main())
