"""The server over HTTP, on this machine only, and for whom it answers.

A browser is kept out by the names it sends (`Host`, `Origin`), other users of the machine by the
token. See the MCP specification, "Streamable HTTP", security warning.
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
"""Sessions of clients of the protocol before 2026-07-28, which has none; the next is refused."""

IDLE_SECONDS = 900
"""After which such a session ends by itself. Its client is told, and begins another."""

SHUTDOWN_SECONDS = 2
"""For answers that are under way when the server is told to end; streams are cut then."""

_NAMES = ("127.0.0.1", "localhost")
_HOST = re.compile(rf"(?:{'|'.join(map(re.escape, _NAMES))})(?::[0-9]{{1,5}})?")
_ORIGIN = re.compile(rf"https?://{_HOST.pattern}")


def serve(server: MCPServer[Any], listener: socket.socket, token: str) -> None:
    """Answer those who have the token, on `address(listener)`, until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        make_app(server, token),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # uvicorn ends cleanly at these signals, and raises them again afterwards.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listener])


def address(listener: socket.socket) -> str:
    """What clients connect to: `http://127.0.0.1:<port>/mcp`."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"


def make_app(server: MCPServer[Any], token: str) -> ASGIApp:
    """The application: the protocol on `/mcp`, behind `Door`."""
    app = server.streamable_http_app(
        streamable_http_path=PATH, max_sessions=MAX_SESSIONS, session_idle_timeout=IDLE_SECONDS
    )
    return Door(app, token)


class Door:
    """Lets requests through that name this machine, come from no foreign page and have the token.

    It answers 421 for a foreign or missing `Host`, 403 for a foreign `Origin` (a page of this
    machine may ask, where it has the token), and 401 without the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application; of `websocket` nothing is served."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        elif scope["type"] in ("http", "lifespan"):
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].lower()):
            return _answer(421, "invalid_host", f"this server answers to {' and '.join(_NAMES)}")
        if not all(_ORIGIN.fullmatch(origin.lower()) for origin in origins):
            return _answer(403, "invalid_origin", "pages of other hosts may not ask this server")
        if scope["path"] != PATH:
            return _answer(404, "not_found", f"the server is on {PATH}")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), self._token
        ):
            return _answer(
                401,
                "invalid_token",
                "send `Authorization: Bearer TOKEN`; the server said on its standard error which "
                "file holds the token",
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _answer(
    status: int, error: str, description: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status, headers)


def listen(port: int) -> socket.socket:
    """A listening socket on a port of 127.0.0.1; 0 is any free one. Raises Refused."""
    # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise Refused(
            f"port {port} of 127.0.0.1 can't be used: {reason}. Name another with --port."
        ) from None
    return listener
