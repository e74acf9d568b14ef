"""Start, find and stop the local workspace's server. Cheap to import.

All state is below `state_dir() / "local"`. The server is a separate process, detached from the
one that started it. It runs from its own copy of this package, so it outlives sandboxes and
upgrades.
"""

from __future__ import annotations

from lakeflow_local.config import DEFAULT_PORT
from lakeflow_local.daemon.connection import (
    Endpoint,
    Status,
    find,
    page_link,
    state_dir,
    status,
    token,
    trust_variables,
)
from lakeflow_local.daemon.lifecycle import MAX_LOG_BYTES, down, ensure_up, reset

__all__ = [
    "DEFAULT_PORT",
    "MAX_LOG_BYTES",
    "Endpoint",
    "Status",
    "down",
    "ensure_up",
    "find",
    "page_link",
    "reset",
    "state_dir",
    "status",
    "token",
    "trust_variables",
]
