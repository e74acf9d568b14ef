"""How databricks-sdk logs in from inside a task: its authentication type `runtime`."""

from __future__ import annotations

from collections.abc import Callable

from .context import HOST, TOKEN


def init_runtime_native_auth() -> tuple[str, Callable[[], dict[str, str]]]:
    """The workspace's address, and what makes a request's headers."""

    def headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    return HOST, headers
