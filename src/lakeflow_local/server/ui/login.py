"""Log a browser in: a link that works once leads to a cookie that is valid for weeks.

Only unused links are kept in memory. Cookies and forms are signed with the token of the workspace's
owner, so they survive a restart of the server and end with its state folder.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

LINK_SECONDS = 5 * 60
SESSION_SECONDS = 30 * 24 * 60 * 60
MAX_LINKS = 100
"""Unused links that are kept; a new one replaces the oldest."""


class Login:
    """Create login links and check sessions and forms."""

    def __init__(self, token: str) -> None:
        self._key = token.encode()
        self._lock = threading.Lock()
        self._links: dict[str, tuple[float, int]] = {}

    def link(self, target: str, principal_number: int) -> str:
        """Return a login link, as a path: valid once, for `LINK_SECONDS`, leading to `target`."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._links) >= MAX_LINKS:
                del self._links[next(iter(self._links))]
            self._links[code] = (time.monotonic() + LINK_SECONDS, principal_number)
        return f"/login?{urlencode({'code': code, 'next': target})}"

    def redeem(self, code: str) -> int | None:
        """Use up a link's code. Return the number of its principal, or None if it is invalid."""
        with self._lock:
            expires, principal_number = self._links.pop(code, (0.0, 0))
        return principal_number if expires > time.monotonic() else None

    def start_session(self, request: Request, response: Response, principal_number: int) -> None:
        """Set the browser's cookie."""
        expires = int(time.time()) + SESSION_SECONDS
        session = f"{expires}.{principal_number}.{secrets.token_urlsafe(24)}"
        response.set_cookie(
            _cookie_name(request),
            f"{session}.{self._sign('session', session)}",
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def end_session(self, request: Request, response: Response) -> None:
        """Delete the browser's cookie."""
        response.delete_cookie(_cookie_name(request), httponly=True, samesite="strict")

    def session(self, request: Request) -> str | None:
        """Return the session of the request's cookie; None without a valid one."""
        session, _, signature = request.cookies.get(_cookie_name(request), "").rpartition(".")
        if not _equal(signature, self._sign("session", session)) or session.count(".") != 2:
            return None
        return session if int(session.partition(".")[0]) > time.time() else None

    @staticmethod
    def principal_number(session: str) -> int:
        """Return the number of a session's principal."""
        return int(session.split(".")[1])

    def form_token(self, session: str) -> str:
        """Return the token that a form of this session must contain."""
        return self._sign("form", session)

    def is_own_form(self, request: Request, session: str, token: str) -> bool:
        """Return whether a form was sent by a page of this session, not by another site.

        The token belongs to the session; the browser vouches for the origin.
        """
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        return request.headers.get("origin") == own and _equal(token, self.form_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _cookie_name(request: Request) -> str:
    """Return a name with the port, because browsers send cookies to all ports of a host."""
    return f"lakeflow_{request.url.port or 80}"
