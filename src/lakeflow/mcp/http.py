"""Serve clients over HTTP, on this machine only.

`Host` and `Origin` keep out browsers, the token keeps out other users of the machine (MCP
specification, "Streamable HTTP", security warning).
"""

from __future__ import annotations

import hmac
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lakeflow.errors import Refused

if TYPE_CHECKING:
    from mcp.server import MCPServer

DEFAULT_PORT = 8454
PATH = "/mcp"

MAX_SESSIONS = 100
"""Sessions of clients of revisions before 2026-07-28, which has none; more are refused."""

IDLE_SECONDS = 900
"""After which such a session expires; its client gets an error and starts a new one."""

SHUTDOWN_SECONDS = 2
"""For responses in progress at shutdown; streams are cut then."""

_NAMES = ("127.0.0.1", "localhost")
_HOST = re.compile(rf"(?:{'|'.join(map(re.escape, _NAMES))})(?::[0-9]{{1,5}})?")
_ORIGIN = re.compile(rf"https?://{_HOST.pattern}")


def serve(server: MCPServer[Any], listener: socket.socket, token: str) -> None:
    """Serve clients that send the token until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        make_app(server, token),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # uvicorn shuts down cleanly at these signals and raises them again afterwards.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listener])


def address(listener: socket.socket) -> str:
    """Return the URL for clients: `http://127.0.0.1:<port>/mcp`."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"


def make_app(server: MCPServer[Any], token: str) -> ASGIApp:
    """Create the ASGI application: the protocol on `/mcp`, behind `AccessControl`."""
    app = server.streamable_http_app(
        streamable_http_path=PATH, max_sessions=MAX_SESSIONS, session_idle_timeout=IDLE_SECONDS
    )
    return AccessControl(app, token)


class AccessControl:
    """Passes requests to this machine with the token, and none from pages of other hosts.

    Responds 421 to a foreign or missing `Host`, 403 to a foreign `Origin`, 401 without the token,
    and 400 to a request whose length can be read in two ways.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection; `websocket` is not served."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        elif scope["type"] in ("http", "lifespan"):
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].lower()):
            return _error(421, "invalid_host", f"use the host {' or '.join(_NAMES)}")
        if "content-length" in headers and "transfer-encoding" in headers:
            return _error(
                400,
                "invalid_request",
                "send either Content-Length or Transfer-Encoding, not both",
                {"Connection": "close"},
            )
        if not all(_ORIGIN.fullmatch(origin.lower()) for origin in origins):
            return _error(403, "invalid_origin", "pages of other hosts cannot use this server")
        if scope["path"] != PATH:
            return _error(404, "not_found", f"the server's path is {PATH}")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), self._token
        ):
            return _error(
                401,
                "invalid_token",
                "send `Authorization: Bearer TOKEN`; the server prints the name of "
                "its token file",
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _error(
    status: int, error: str, description: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status, headers)


def listen(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1; 0 takes any free one. Raises Refused."""
    # asyncio disables Nagle's algorithm, 40 ms a request, only if the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise Refused(
            f"cannot listen on 127.0.0.1:{port}: {reason}\nhint: choose another port with --port"
        ) from None
    return listener
