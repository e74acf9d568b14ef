"""What the person who starts the server allows; none of it can be changed by a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MAX_COPIES = 100
"""Runs that one call may start, unless the server was started with another number."""

MAX_WORKERS = 8
"""Workers that a cluster may have, unless the server was started with another number."""

ASK_ABOVE = 10
"""Runs that one call may start without somebody saying yes."""


@dataclass(frozen=True)
class Limits:
    """What the server may do. Made from the command line (docs/mcp.md tells what each gives away).

    `roots` are the folders that wheels may be read from, and built in where `allow_build`.
    `secret_env_vars` are the server's variables that runs may be handed as secrets.
    """

    read_only: bool = False
    allow_build: bool = False
    roots: tuple[Path, ...] = ()
    all_resources: bool = False
    max_copies: int = MAX_COPIES
    max_workers: int = MAX_WORKERS
    ask_above: int = ASK_ABOVE
    links: bool = False
    secret_env_vars: tuple[str, ...] = ()
