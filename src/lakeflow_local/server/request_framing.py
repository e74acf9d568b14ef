"""Refuse requests whose length can be read in two ways (request smuggling)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class UnambiguousLength:
    """ASGI middleware that refuses requests with both Content-Length and Transfer-Encoding.

    A proxy and a server that read them differently see different requests. The connection is
    closed (RFC 9112, section 6.3).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "content-length" in headers and "transfer-encoding" in headers:
                message = "A request has either Content-Length or Transfer-Encoding, not both."
                body = {"error_code": "MALFORMED_REQUEST", "message": message}
                await JSONResponse(body, 400, {"Connection": "close"})(scope, receive, send)
                return
        await self._app(scope, receive, send)
