"""A proxy that adds the bearer token for clients that cannot send one."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType

_LAST = re.compile(rb"(?im)^(connection|authorization):[^\r\n]*\r\n")


class Bearer:
    """Forwards to a port of this machine; every request gets the header `Authorization`.

    The rest of a request arrives as it was sent, `Host` and `Origin` too. Each connection serves
    one request, so that bodies and streams need not be understood.
    """

    def __init__(self, port: int, token: str) -> None:
        self._upstream = ("127.0.0.1", port)
        self._added = f"Authorization: Bearer {token}\r\nConnection: close\r\n".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Bearer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                if not (chunk := client.recv(65536)):
                    return
                received += chunk
            head, _, rest = received.partition(b"\r\n\r\n")
            line, _, headers = (head + b"\r\n").partition(b"\r\n")
            headers = self._added + _LAST.sub(b"", headers)
            with socket.create_connection(self._upstream) as server:
                server.sendall(line + b"\r\n" + headers + b"\r\n" + rest)
                threading.Thread(target=_pump, args=(client, server), daemon=True).start()
                _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Forward data until it ends, then close the target, so that a closed client is noticed."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
