"""A tiny workspace in this process that replies as a test says, and records what it received."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """A request that the stub received."""

    method: str
    path: str
    body: bytes
    token: str


@dataclass(frozen=True)
class Response:
    """What the stub sends. `length` is the Content-Length; None for none, and then it closes."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    has_length: bool = True

    @classmethod
    def of(cls, value: object, status: int = 200) -> Response:
        """Return a reply with a JSON value."""
        return cls(status, json.dumps(value).encode())


Replies = Callable[[Request], Response]


@dataclass
class StubWorkspace:
    """Its address, how it replies now, and what it has received."""

    replies: Replies
    host: str = ""
    received: list[Request] = field(default_factory=list)


@contextmanager
def stub_workspace(replies: Replies) -> Iterator[StubWorkspace]:
    """Serve a stub on a port of this machine."""
    stub = StubWorkspace(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self._body()
            path = urllib.parse.urlsplit(self.path).path
            token = self.headers.get("Authorization", "")
            request = Request(self.command, path, body, token)
            stub.received.append(request)
            response = stub.replies(request)
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            if response.has_length:
                self.send_header("Content-Length", str(len(response.body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up

    with Server(("127.0.0.1", 0), Handler) as server:
        stub.host = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield stub
        finally:
            server.shutdown()
