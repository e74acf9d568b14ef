"""Find out whether a host replies, and what its discovery document says.

Databricks serves `/.well-known/databricks-config` without a credential. The SDK requests it for
each client; here it is cached for a day.
"""

from __future__ import annotations

import json
import queue
import threading
import urllib.parse
from typing import Any

from lakeflow.errors import WorkspaceError
from lakeflow.state import cache

PROBE_SECONDS = 4.0
"""A host that does not reply to a first request within this time counts as unreachable."""

_MAX_BYTES = 1 << 20
"""The most that is read of a discovery document."""


def cached(host: str, credential: str) -> dict[str, Any] | None:
    """Return the host's discovery document if it was fetched within a day, else None.

    `credential` is a digest of the configured one: with another, the same address may be another
    workspace, as with local ones.
    """
    return cache.get("host", host, credential)


def fetch(host: str, credential: str, origin: str) -> dict[str, Any] | None:
    """Request and cache the host's discovery document.

    Returns an empty document if the host has none, and None if the reply cannot be used and the SDK
    has to find out itself. Raises WorkspaceError within `PROBE_SECONDS` if the host does not reply,
    be it for name lookup, connecting, TLS or the reply itself. Uses the configured proxy.
    """
    document = check_reachable(host, origin)
    if document is not None:
        cache.put("host", host, credential, value=document)
    return document


def check_reachable(host: str, origin: str) -> dict[str, Any] | None:
    """Like `fetch`, without caching the document."""
    url = _base_url(host, origin)
    replies: queue.SimpleQueue[dict[str, Any] | str | None] = queue.SimpleQueue()
    address = f"{url}/.well-known/databricks-config"
    # In a separate thread, since nothing else can give up a name lookup.
    threading.Thread(target=lambda: replies.put(_probe(address)), daemon=True).start()
    try:
        reply = replies.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        reply = f"no reply within {PROBE_SECONDS:.0f} s"
    if not isinstance(reply, str):
        return reply
    if "CERTIFICATE_VERIFY_FAILED" in reply:
        raise untrusted(host, origin, reply)
    raise WorkspaceError(
        f"cannot connect to {host} ({origin}): {reply}\n"
        "hint: check the address, the network and the proxy settings"
    )


def untrusted(host: str, origin: str, reason: object) -> WorkspaceError:
    """Return the error for a certificate that no known authority has signed."""
    return WorkspaceError(
        f"the certificate of {host} ({origin}) is not trusted: {reason}\n"
        "hint: check the address; behind a proxy that issues its own certificates, set "
        "REQUESTS_CA_BUNDLE to the file of its authority"
    )


def _base_url(host: str, origin: str) -> str:
    """Return the scheme and authority of a host. Raises WorkspaceError if it is malformed."""
    try:
        url = urllib.parse.urlsplit(host if "://" in host else f"https://{host}")
        is_valid = bool(url.hostname) and url.scheme in ("http", "https") and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise WorkspaceError(
            f"{host!r} (from {origin}) is not the address of a workspace\n"
            "hint: it looks like https://dbc-a1b2345c-d6e7.cloud.databricks.com"
        )
    return f"{url.scheme}://{url.netloc}"


def _probe(address: str) -> dict[str, Any] | str | None:
    """Return the document at an address, or as a text why there was no reply."""
    import requests

    try:
        with requests.get(
            address,
            auth=lambda request: request,  # none: requests would look into .netrc
            timeout=2 * PROBE_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as reply:
            if reply.status_code == 404:
                return {}
            if reply.status_code != 200:
                return None
            return _document(next(reply.iter_content(_MAX_BYTES), b""))
    except (OSError, ValueError) as error:
        return str(error)


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
