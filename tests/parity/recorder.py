"""Between a client and the workspace: forwards what is sent, and remembers what came of it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lakeflow_local.server.absolute_form import OriginForm

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; `error` is the answer's code and message where it has one."""

    method: str
    path: str
    status: int
    error: str | None


class Recorder:
    """Forwards to `upstream`, an address such as `http://127.0.0.1:8453`.

    With a certificate (PEM files: chain and key) it speaks TLS to clients. Bodies travel whole, and
    so with a length, whichever way they came.
    """

    def __init__(self, upstream: str, certificate: tuple[Path, Path] | None = None) -> None:
        self._upstream = urlsplit(upstream).netloc
        self.exchanges: list[Exchange] = []
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        scheme = "https" if certificate else "http"
        self.host = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        app = Starlette(
            routes=[Route("/{path:path}", self._answer, methods=_METHODS)],
            middleware=[Middleware(OriginForm)],
        )
        chain, key = certificate or (None, None)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                ssl_certfile=chain,
                ssl_keyfile=key,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._forward, request, body)

    def _forward(self, request: Request, body: bytes) -> Response:
        path = request.scope["raw_path"].decode("ascii")
        query = request.scope["query_string"].decode("ascii")
        target = path.partition("?")[0] + (f"?{query}" if query else "")
        headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP}
        connection = http.client.HTTPConnection(self._upstream, timeout=120)
        try:
            connection.request(request.method, target, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.exchanges.append(
            Exchange(request.method, unquote(path), answer.status, _error(answer.status, content))
        )
        response = Response(content, answer.status)
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
        length = answer.getheader("Content-Length") or str(len(content))
        response.raw_headers = [
            (k.lower().encode(), v.encode("latin-1"))
            for k, v in [*kept, ("Content-Length", length)]
        ]
        return response


def _error(status: int, content: bytes) -> str | None:
    if status < 400:
        return None
    try:
        body = json.loads(content)
        return f"{body['error_code']}: {body['message']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
