"""MCP clients that others wrote, in Node: installed into a cache folder, once for a lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

LOCK = Path(__file__).with_name("node") / "package-lock.json"
INSTALL_SECONDS = 240
OLDEST_NODE = 22
"""The inspector's package.json says so, under `engines`."""


class NoClients(Exception):
    """No Node runs them, or they could not be installed; the text says why."""


class Clients:
    """The installed clients. Raises NoClients if there is no way to install them."""

    def __init__(self) -> None:
        self._node = _node()
        self._modules = _installed() / "node_modules"

    def run(
        self, script: str, *args: str, environ: dict[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, given by its path below `node_modules`."""
        quiet = {"MCP_INSPECTOR_SECRET_STORE": "memory", "NO_COLOR": "1"}
        return subprocess.run(
            [self._node, str(self._modules / script), *args],
            env={**os.environ, **quiet, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def _node() -> str:
    """A Node that is new enough: the machine's, else the one that playwright brings along."""
    found = shutil.which("node")
    if found and _version(found) >= OLDEST_NODE:
        return found
    try:
        from playwright._impl._driver import (  # pants: no-infer-dep
            compute_driver_executable,
        )
    except ImportError:
        raise NoClients(f"there is no Node {OLDEST_NODE} or newer on PATH") from None
    return str(compute_driver_executable()[0])


def _version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return int(said.lstrip("v").partition(".")[0] or 0)


def _installed() -> Path:
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    kept = user_cache_path("lakeflow") / "mcp-clients" / digest
    if kept.is_dir():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise NoClients("there is no npm on PATH to install them")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".installing-", dir=kept.parent, ignore_cleanup_errors=True
    ) as draft:
        for name in ("package.json", LOCK.name):
            shutil.copy(LOCK.with_name(name), draft)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(
                [npm, "ci", *options],
                cwd=draft,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise NoClients(f"`npm ci` took more than {INSTALL_SECONDS} s") from None
        if done.returncode:
            raise NoClients(f"`npm ci` failed: {done.stderr.strip()[-500:]}")
        try:
            os.rename(draft, kept)
        except OSError:  # another process was faster
            if not kept.is_dir():
                raise
    return kept
