"""Hosts that are something else than a workspace: one clear line each, and exit code 4."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PAGE = b"<html><head><title>Sign in</title></head></html>"
RESPONSES: dict[str, tuple[int, str, bytes]] = {
    "a login page": (200, "text/html", PAGE),
    "another API": (200, "application/json", b'{"hello": 1}'),
    "a list": (200, "application/json", b"[1]"),
    "plain text": (404, "text/plain", b"nope"),
    "a web server's page": (404, "text/html", b"<title>404 Not Found</title>"),
}


@pytest.fixture(params=RESPONSES)
def host(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    status, kind, body = RESPONSES[request.param]

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("DATABRICKS_HOST", host)
        monkeypatch.setenv("DATABRICKS_TOKEN", "t")
        monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
        yield host
        server.shutdown()


@pytest.mark.parametrize("words", [["get-run", "5"], ["trigger-run", "5", "a"]], ids=" ".join)
def test_a_foreign_host_is_said_to_be_none(host: str, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lakeflow", *words], text=True, capture_output=True, check=False
    )
    assert done.returncode == 4, done.stderr
    *_, error, hint = done.stderr.splitlines()
    assert error.startswith(f"lakeflow: {host}")
    assert "is not a Databricks workspace" in error
    assert hint == "hint: check the address"
