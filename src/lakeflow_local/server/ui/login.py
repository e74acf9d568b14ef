"""Logging in from a browser: a link that is good once leads to a cookie that is good for weeks.

Nothing is kept but the links that were not used yet: cookies and forms are signed with the
workspace's token, so that they outlive the server and end with its state folder.
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
"""Unused links that are kept; the oldest one makes room."""


class Login:
    """Hands out links, and knows who came in through one."""

    def __init__(self, token: str) -> None:
        self._key = token.encode()
        self._lock = threading.Lock()
        self._links: dict[str, tuple[float, int]] = {}

    def link(self, target: str, who: int) -> str:
        """A new link, as a path: good once, within `LINK_SECONDS`, and leading to `target`.

        `who` is the number of the principal that it logs in.
        """
        code = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._links) >= MAX_LINKS:
                del self._links[next(iter(self._links))]
            self._links[code] = (time.monotonic() + LINK_SECONDS, who)
        return f"/login?{urlencode({'code': code, 'next': target})}"

    def redeem(self, code: str) -> int | None:
        """Whom a link's code logs in, if it is good; it never is again."""
        with self._lock:
            until, who = self._links.pop(code, (0.0, 0))
        return who if until > time.monotonic() else None

    def begin(self, request: Request, response: Response, who: int) -> None:
        """Give the browser its cookie. Cookies don't tell ports apart, so its name does."""
        session = f"{int(time.time()) + SESSION_SECONDS}.{who}.{secrets.token_urlsafe(24)}"
        response.set_cookie(
            _cookie_name(request),
            f"{session}.{self._sign('session', session)}",
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def end(self, request: Request, response: Response) -> None:
        response.delete_cookie(_cookie_name(request), httponly=True, samesite="strict")

    def session(self, request: Request) -> str | None:
        """The session that the request's cookie proves, if it does."""
        session, _, signature = request.cookies.get(_cookie_name(request), "").rpartition(".")
        if not _equal(signature, self._sign("session", session)) or session.count(".") != 2:
            return None
        return session if int(session.partition(".")[0]) > time.time() else None

    @staticmethod
    def who(session: str) -> int:
        """The number of the principal whose session it is."""
        return int(session.split(".")[1])

    def form_token(self, session: str) -> str:
        """What a form of this session must carry."""
        return self._sign("form", session)

    def is_own_form(self, request: Request, session: str, given: str) -> bool:
        """Whether a form came from a page of this session, and not from another site's.

        The token is bound to the session; the browser itself vouches for the origin.
        """
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        return request.headers.get("origin") == own and _equal(given, self.form_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _cookie_name(request: Request) -> str:
    return f"lakeflow_{request.url.port or 80}"
