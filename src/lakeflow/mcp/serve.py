"""Serving clients until they are gone."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO, cast

from lakeflow.mcp.assemble import assemble
from lakeflow.mcp.limits import Limits
from lakeflow.mcp.server import LakeflowServer
from lakeflow.mcp.text import RedactedStream, Redactor


def serve_stdio(limits: Limits, *, local: bool = False, profile: str | None = None) -> None:
    """Serve one client over standard input and output, until it closes them.

    Meanwhile nothing but the protocol reaches standard output: what this process and its children
    print goes to standard error, and stays there afterwards.
    """
    server = _quiet(limits, local=local, profile=profile)
    try:
        server.run("stdio")
    finally:
        os.dup2(2, 1)  # what is still buffered must not reach the client when the process ends


def _quiet(limits: Limits, *, local: bool, profile: str | None) -> LakeflowServer:
    """The server, in a process that says on standard error only what anybody may read."""
    redact = Redactor()
    errors = RedactedStream(sys.stderr, redact)
    sys.stderr = cast(TextIO, errors)
    # Before the SDK configures it: its own way of logging breaks long lines, and with them secrets.
    handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    return assemble(limits, redact, local=local, profile=profile)
