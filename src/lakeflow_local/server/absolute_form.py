"""Requests in absolute form, with scheme and host in their target, as clients send to a proxy."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(/.*)?", re.IGNORECASE)


class OriginForm:
    """ASGI middleware that turns requests in absolute form into the usual origin form.

    A server must accept both, and prefer the host of the target (RFC 9112, section 3.2.2). So
    clients that drop the port of an address work with the workspace as their HTTP_PROXY.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (found := _ABSOLUTE.match(scope["raw_path"])):
            path = found[2] or b"/"
            kept = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope = {
                **scope,
                "path": unquote(path.decode("ascii", errors="replace")),
                "raw_path": path,
                "headers": [(b"host", found[1]), *kept],
            }
        await self._app(scope, receive, send)
