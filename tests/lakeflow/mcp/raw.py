"""The server's process and its protocol as bytes, for what the SDK's client would hide."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from mcp import StdioServerParameters

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def calling(number: int, tool: str, **arguments: Any) -> dict[str, Any]:
    """The message that calls a tool."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def started(parameters: StdioServerParameters) -> subprocess.Popen[str]:
    """The process of a server, with pipes to it."""
    return subprocess.Popen(
        [parameters.command, *parameters.args],
        env={"PATH": os.environ["PATH"], **(parameters.env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
