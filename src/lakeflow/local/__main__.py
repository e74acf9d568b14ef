"""The server's process: `python -m lakeflow.local --folder FOLDER [--port N]`."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn

from lakeflow.errors import LakeflowError
from lakeflow.local.clusters import CORES
from lakeflow.local.daemon import DEFAULT_PORT, code_digest
from lakeflow.local.files import write_atomically
from lakeflow.local.server import make_app
from lakeflow.local.workspace import open_workspace

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 600
"""A connection that closes just when a client writes to it makes that client send twice."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="lakeflow.local")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, help="else the last one, 8453, or any free one")
    parser.add_argument("--max-processes", type=int, default=CORES)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return serve(options.folder, options.port, options.max_processes)
    except (OSError, LakeflowError) as error:
        log.error("%s", error)
        return 1


def serve(folder: Path, port: int | None, slots: int) -> int:
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
        listener = listen(folder, port)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        token = read_or_make_token(folder / "token")
        workspace = open_workspace(folder, url, slots)
        facts = {
            "pid": os.getpid(),
            "port": listener.getsockname()[1],
            "digest": code_digest(Path(__file__).parents[1]),
            "started": int(time.time()),
        }
        app = make_app(workspace, token, facts)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        workspace.engine.start()
        write_atomically(folder / "server.json", json.dumps(facts).encode())
        # uvicorn ends cleanly at these signals, and raises them again afterwards.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        try:
            server.run(sockets=[listener])
        finally:
            workspace.close()
    return 0


def listen(folder: Path, port: int | None) -> socket.socket:
    """A listening socket on 127.0.0.1; without a port, the last one if it is free."""
    candidates = [port] if port else [*_last_port(folder), DEFAULT_PORT, 0]
    for candidate in candidates:
        # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms a request.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            problem = error
            continue
        return listener
    raise OSError(f"port {port} of 127.0.0.1 can't be used: {problem.strerror}")


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
