"""Serving clients until they are gone."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from lakeflow.mcp.policy import Limits
from lakeflow.mcp.sanitize import RedactedStream, Redactor

if TYPE_CHECKING:
    from lakeflow.mcp.server import LakeflowServer


def serve_stdio(limits: Limits, *, local: bool = False, profile: str | None = None) -> None:
    """Serve one client over standard input and output, until it closes them, or until SIGINT.

    From the first line on nothing but the protocol reaches standard output: what this process and
    its children print goes to standard error, also what is still buffered when the process ends.
    """
    # A thread reads standard input, and an interpreter that ends would wait for it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    stdin, stdout = claim_stdio()
    server = _quiet(limits, local=local, profile=profile)
    import anyio

    anyio.run(server.serve, stdin, stdout)


def claim_stdio() -> tuple[TextIO, TextIO]:
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
    limits: Limits,
    port: int | None,
    token_file: Path | None,
    started: Callable[[str], object],
    *,
    local: bool = False,
    profile: str | None = None,
) -> None:
    """Serve the clients of this machine that have the token, until SIGINT or SIGTERM.

    `started` is told the address. Raises Refused where the port or the token cannot be had.
    """
    from lakeflow.mcp import http
    from lakeflow.mcp.token import read_or_make_token
    from lakeflow.state.paths import state_dir

    path = token_file or state_dir() / "mcp-token"
    token = read_or_make_token(path)
    with http.listen(http.DEFAULT_PORT if port is None else port) as listener:
        server = _quiet(limits, local=local, profile=profile, hidden=(token,))
        started(http.address(listener))
        print(f"clients send the token that is in {path}", file=sys.stderr, flush=True)
        http.serve(server, listener, token)


def _quiet(
    limits: Limits, *, local: bool, profile: str | None, hidden: Sequence[str] = ()
) -> LakeflowServer:
    """The server, in a process that says on standard error only what anybody may read."""
    from lakeflow.mcp.app import assemble

    redact = Redactor()
    redact.hide(hidden)
    errors = RedactedStream(sys.stderr, redact)
    sys.stderr = cast(TextIO, errors)
    # Before the SDK configures it: its own way of logging breaks long lines, and with them secrets.
    handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    return assemble(limits, redact, local=local, profile=profile)
