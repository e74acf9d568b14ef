"""Which redirects are followed: those to the same host that do not change the request.

`requests` sends the body of a 307 or 308 to whatever host the reply names, and turns a POST into a
GET after a 301, 302 or 303, whose reply would then count as the effect of the POST.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import PreparedRequest, Response


class RedirectRefused(Exception):
    """A reply redirects to another host, or asks for another request."""


def on_reply(request: PreparedRequest, seen: Callable[[int], object]) -> None:
    """Call `seen` with the status of the reply, and of each redirect that is followed.

    Any other redirect raises RedirectRefused.
    """

    def look(reply: Response, *args: Any, **kwargs: Any) -> None:
        seen(reply.status_code)
        _check(reply)

    request.register_hook("response", look)  # type: ignore[no-untyped-call]


def _check(reply: Response) -> None:
    if not reply.is_redirect:
        return
    target = urllib.parse.urljoin(reply.url, reply.headers["location"])
    if _origin(target) != _origin(reply.url):
        raise RedirectRefused(f"it redirects to another address, {_shown(target)}")
    if reply.status_code not in (307, 308) and reply.request.method not in ("GET", "HEAD"):
        raise RedirectRefused(f"it redirects a {reply.request.method} ({reply.status_code})")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # of a port that is no number
        return url, None, None
    return parts.scheme, parts.hostname, port


def _shown(url: str) -> str:
    """Return an address without path, query and user: they may hold a secret."""
    scheme, name, port = _origin(url)
    return f"{scheme}://{name}:{port}" if name else "which is malformed"
