"""A forwarding HTTP proxy that ends a client at a chosen request.

It stands between a client and a workspace, forwards one request at a time, and remembers them. So
a test can say "the process dies before its third trigger is sent" and mean it. It can also forward
them side by side, each reply a while late, and say how many waited for one another.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Request:
    """A request as the client sent it; `path` is without its query."""

    method: str
    path: str
    body: bytes


class ForwardingProxy:
    """Forwards to `upstream`, an address such as `http://127.0.0.1:8453`.

    `requests` are those that came, in order; the ones that were not forwarded are in it too. With
    `side_by_side` requests do not wait for one another; each reply is sent `delay` seconds late.
    `rewrite` changes path and query of what is forwarded.
    """

    def __init__(self, upstream: str, *, side_by_side: bool = False, delay: float = 0.0) -> None:
        self.delay = delay
        self.rewrite: Callable[[str], str] = lambda target: target
        self._forwarding = contextlib.nullcontext() if side_by_side else threading.RLock()
        self._spans: list[tuple[float, float]] = []
        self._answer: tuple[int, bytes] = (0, b"")
        self._responses = 0
        self._upstream = urllib.parse.urlsplit(upstream)
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._stop_at: Callable[[Request], bool] = lambda request: False
        self._remaining = 0
        self._after_effect = False
        self._watched: list[tuple[Callable[[Request], bool], int, Callable[[], object]]] = []
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ForwardingProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stop_client(
        self,
        stop: Callable[[], None],
        *,
        at: Callable[[Request], bool],
        nth: int,
        after_effect: bool = False,
    ) -> None:
        """Call `stop` at the `nth` request for which `at` is true, counted from 1.

        Before it is forwarded, or with `after_effect` once the workspace has answered; the client
        gets no answer either way. From then on, until `let_through`, nothing is forwarded.
        """
        with self._lock:
            self._stop, self._stop_at, self._remaining = stop, at, nth
            self._after_effect = after_effect

    def when(self, at: Callable[[Request], bool], nth: int, do: Callable[[], object]) -> None:
        """Call `do` before the `nth` request for which `at` is true is forwarded."""
        with self._lock:
            self._watched.append((at, nth, do))

    def answer(self, status: int, body: object, *, times: int) -> None:
        """Answer the next so many requests with this, forwarding none of them."""
        with self._lock:
            self._answer, self._responses = (status, json.dumps(body).encode()), times

    def clear(self) -> None:
        """Count requests from zero."""
        with self._lock:
            self.requests.clear()
            self._spans.clear()

    @property
    def depth(self) -> int:
        """How many requests waited for one another at most: the longest row without an overlap."""
        row, free = 0, 0.0
        for started, finished in sorted(self._spans, key=lambda span: span[1]):
            if started >= free:
                row, free = row + 1, finished
        return row

    def let_through(self) -> None:
        """Forward everything again."""
        with self._lock:
            self._stop, self._remaining = None, 0

    def _take(self, request: Request) -> bool:
        """Note a request; whether it is the one to stop at, or came after it."""
        self.requests.append(request)
        for at, nth, do in self._watched:
            if at(request) and sum(map(at, self.requests)) == nth:
                do()
        if self._stop is None:
            return False
        if self._remaining > 0 and self._stop_at(request):
            self._remaining -= 1
            return self._remaining == 0
        return self._remaining == 0

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                path = self.path.partition("?")[0]
                started = time.monotonic()
                with proxy._forwarding:
                    with proxy._lock:
                        already_over = proxy._stop is not None and proxy._remaining == 0
                        stopping = proxy._take(Request(self.command, path, body))
                        prepared = proxy._responses > 0
                        proxy._responses -= prepared
                    answer: tuple[int, list[tuple[str, str]], bytes] | None = None
                    if prepared:
                        answer = (proxy._answer[0], [], proxy._answer[1])
                    elif not already_over and not (stopping and not proxy._after_effect):
                        answer = proxy._forward(
                            self.command, proxy.rewrite(self.path), dict(self.headers), body
                        )
                    if stopping and not already_over and proxy._stop is not None:
                        proxy._stop()
                if stopping or answer is None:
                    self.close_connection = True
                    return
                time.sleep(proxy.delay)
                proxy._spans.append((started, time.monotonic()))
                status, headers, content = answer
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                head = self.command == "HEAD"
                lengths = [value for name, value in headers if name.lower() == "content-length"]
                self.send_header("Content-Length", lengths[0] if head else str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def handle(self) -> None:
                with contextlib.suppress(ConnectionResetError):  # a client that was terminated
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(str(self._upstream.netloc), timeout=60)
        try:
            kept = {k: v for k, v in headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(method, path, body or None, kept)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()
