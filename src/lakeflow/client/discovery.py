"""The first question to a host: is it there, and what does it say of itself?

Databricks answers `/.well-known/databricks-config` without a credential. The SDK asks for it
whenever a client is made; here it is asked once a day.
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
"""How long a host may take to answer a first request before it counts as dead."""

_MOST_BYTES = 1 << 20
"""Of a discovery document; what is longer is none."""


def recall(host: str, credential: str) -> dict[str, Any] | None:
    """The host's discovery document as it was asked for within a day; None where it was not.

    `credential` is what of it stands in the settings: another one may mean another workspace that
    has moved to the same address, as local ones do.
    """
    return cache.recall("host", host, credential)


def ask(host: str, credential: str, origin: str) -> dict[str, Any] | None:
    """The host's discovery document: empty without one, None where it is the SDK's to find.

    Goes through the proxy where there is one. Raises WorkspaceError within `PROBE_SECONDS` where
    the host does not answer, whatever takes so long: looking up the name, connecting, TLS or the
    answer.
    """
    document = check_reachable(host, origin)
    if document is not None:
        cache.remember("host", host, credential, facts=document)
    return document


def check_reachable(host: str, origin: str) -> dict[str, Any] | None:
    """See that a host answers (`ask`, without remembering it)."""
    try:
        url = urllib.parse.urlsplit(host if "://" in host else f"https://{host}")
        plausible = bool(url.hostname) and url.scheme in ("http", "https") and url.port != 0
    except ValueError:
        plausible = False
    if not plausible:
        raise WorkspaceError(
            f"{host!r} (from {origin}) is no address of a workspace. It looks like "
            "https://dbc-a1b2345c-d6e7.cloud.databricks.com"
        )
    answer: queue.SimpleQueue[dict[str, Any] | str | None] = queue.SimpleQueue()
    address = f"{url.scheme}://{url.netloc}/.well-known/databricks-config"
    # In a thread of its own, since nothing else ends the look-up of a name.
    threading.Thread(target=lambda: answer.put(_probe(address)), daemon=True).start()
    try:
        found = answer.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        found = f"no answer within {PROBE_SECONDS:.0f} s"
    if not isinstance(found, str):
        return found
    if "CERTIFICATE_VERIFY_FAILED" in found:
        raise untrusted(host, origin, found)
    raise WorkspaceError(
        f"cannot connect to {host} ({origin}): {found}. Check the address, the network and the "
        "proxy settings."
    )


def untrusted(host: str, origin: str, reason: object) -> WorkspaceError:
    """The error for a certificate that nobody vouches for."""
    return WorkspaceError(
        f"the certificate of {host} ({origin}) is not trusted: {reason}. Check the address; behind "
        "a proxy that makes certificates of its own, name its authority in REQUESTS_CA_BUNDLE."
    )


def _probe(address: str) -> dict[str, Any] | str | None:
    """The document at an address, or what is wrong where nothing is answered."""
    import requests

    try:
        with requests.get(  # auth: none from a .netrc
            address,
            auth=lambda request: request,
            timeout=2 * PROBE_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as reply:
            if reply.status_code == 404:
                return {}
            if reply.status_code != 200:
                return None
            return _document(next(reply.iter_content(_MOST_BYTES), b""))
    except (OSError, ValueError) as error:
        return str(error)


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
