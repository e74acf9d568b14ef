"""Run the server as a process: its streams, logging and redaction."""

from __future__ import annotations

import atexit
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from lakeflow.client.redaction import RedactedStream, Redactor
from lakeflow.mcp.policy import Policy

if TYPE_CHECKING:
    from lakeflow.mcp.server import LakeflowServer


def serve_stdio(policy: Policy, *, local: bool = False, profile: str | None = None) -> None:
    """Serve one client over standard input and output until it closes them, or until SIGINT.

    Standard output carries only the protocol, from the first line on: output of this process and
    its children goes to standard error, also what is still buffered at exit.
    """
    # A thread reads standard input, and at exit the interpreter would wait for it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    stdin, stdout = _claim_stdio()
    server = _create_server(policy, local=local, profile=profile)
    import anyio

    anyio.run(server.serve, stdin, stdout)


def _claim_stdio() -> tuple[TextIO, TextIO]:
    """Take over standard input and output, so that no other code or child can use them.

    Afterwards standard input is empty, and standard output is standard error.
    """
    ends = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(nothing, 1)
    os.close(nothing)
    stdin = io.TextIOWrapper(ends[0], encoding="utf-8", errors="replace")
    return stdin, io.TextIOWrapper(ends[1], encoding="utf-8")


def serve_http(
    policy: Policy,
    port: int | None,
    token_file: Path | None,
    on_start: Callable[[str], object],
    *,
    local: bool = False,
    profile: str | None = None,
) -> None:
    """Serve the clients of this machine that send the token, until SIGINT or SIGTERM.

    `on_start` receives the server's URL. Raises Refused if the port or the token cannot be used.
    """
    from lakeflow.mcp import http
    from lakeflow.mcp.token import read_or_create_token
    from lakeflow.state.paths import state_dir

    path = token_file or state_dir() / "mcp-token"
    token = read_or_create_token(path)
    with http.listen(http.DEFAULT_PORT if port is None else port) as listener:
        server = _create_server(policy, local=local, profile=profile, hidden=(token,))
        on_start(http.address(listener))
        print(f"clients must send the token in {path}", file=sys.stderr, flush=True)
        http.serve(server, listener, token)


def _create_server(
    policy: Policy, *, local: bool, profile: str | None, hidden: Sequence[str] = ()
) -> LakeflowServer:
    """Create the server, and redact what this process writes: logs, tracebacks and prints."""
    redact = Redactor.for_environment(policy.secret_env_vars)
    redact.hide(hidden)
    for name in ("stdout", "stderr"):
        stream = RedactedStream(getattr(sys, name), redact)
        atexit.register(stream.finish)
        setattr(sys, name, cast(TextIO, stream))
    # Before the MCP SDK does: its handler breaks long lines, and with them secrets.
    handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    from lakeflow.mcp.app import create_server

    return create_server(policy, redact, local=local, profile=profile)
