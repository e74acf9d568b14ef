"""`lakeflow mcp --http` as a process, and clients for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.lakeflow.mcp.agent import READ_SECONDS

Mode = Literal["auto", "legacy"]


class Watched(httpx2.AsyncHTTPTransport):
    """A transport that records responses."""

    def __init__(self, seen: Callable[[bytes], object]) -> None:
        super().__init__()
        self._seen = seen

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = WatchedStream(response.stream, self._seen)
        return response


class WatchedStream(httpx2.AsyncByteStream):
    """A response body that is recorded while it is read."""

    def __init__(self, stream: httpx2.AsyncByteStream, seen: Callable[[bytes], object]) -> None:
        self._stream = stream
        self._seen = seen

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._seen(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(frozen=True)
class HttpServer:
    """A running server. `stdout` and `stderr` are files with its output."""

    url: str
    token: str
    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 that it listens on."""
        return int(self.url.rpartition(":")[2].partition("/")[0])

    @asynccontextmanager
    async def client(
        self,
        mode: Mode = "auto",
        seen: Callable[[bytes], object] = lambda body: None,
        **options: Any,
    ) -> AsyncIterator[Client]:
        """A client of the official SDK, in the modern or the legacy era of the protocol.

        `seen` is called with the bytes of every response.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        transport = Watched(seen)
        async with httpx2.AsyncClient(
            headers=headers, timeout=READ_SECONDS, transport=transport
        ) as http:
            streams = streamable_http_client(self.url, http_client=http)
            async with Client(streams, mode=mode, **options) as client:
                yield client


@contextmanager
def http_server(
    folder: Path, *flags: str, environ: dict[str, str] | None = None
) -> Iterator[HttpServer]:
    """A server on a free port, with its token and output in `folder`; terminated afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    token, stderr, stdout = folder / "token", folder / "stderr", folder / "stdout"
    command = [sys.executable, "-m", "lakeflow", "mcp", "--http", "--port", "0"]
    with stderr.open("wb") as errors, stdout.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--token-file", str(token), *flags],
            env={**os.environ, **(environ or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            out.write(line)
            assert line, stderr.read_text()
            yield HttpServer(line.decode().strip(), token.read_text(), process, stdout, stderr)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            out.write(process.communicate(timeout=READ_SECONDS)[0])
