"""Authentication type `runtime` of databricks-sdk: how it logs in from inside a task."""

from __future__ import annotations

from collections.abc import Callable

from .context import HOST, TOKEN


def init_runtime_native_auth() -> tuple[str, Callable[[], dict[str, str]]]:
    """Return the address of the workspace, and a function that returns the headers of requests."""

    def headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    return HOST, headers


def init_runtime_native_unified() -> tuple[str, None, None, Callable[[], dict[str, str]]]:
    """Return the same with the ids of account and workspace, which no host here needs.

    Without a notebook's namespace databricks-sdk forgets the function above.
    """
    host, headers = init_runtime_native_auth()
    return host, None, None, headers
