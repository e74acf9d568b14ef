"""What a server writes about itself for clients to find it, and what the next one takes over."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

SERVER_FILE = "server.json"
"""What the running server tells about itself; retired when it has stopped."""

_LAST_FILE = "last-server.json"


class LastServer(NamedTuple):
    """Settings that the next server takes over; the port is None if it is not known."""

    port: int | None = None
    tls: bool = False


def retire(folder: Path) -> None:
    """Keep the record of a server that has stopped only as the settings of the last one."""
    with suppress(FileNotFoundError):
        os.replace(folder / SERVER_FILE, folder / _LAST_FILE)


def last_server(folder: Path) -> LastServer:
    """Return the settings of the last server, as far as they are known."""
    try:
        content = json.loads((folder / _LAST_FILE).read_text())
        return LastServer(int(content["port"]), bool(content.get("tls")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LastServer()
