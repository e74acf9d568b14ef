"""Presigned URLs, which carry their own permission as those of cloud storage do.

A client gets one from the API and uses it without a token: for one method of one path, until it
expires.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Mapping
from urllib.parse import quote, urlencode

MAX_SECONDS = 7 * 86_400
"""docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html"""

EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
"""The response of S3, at which clients ask the API for a new URL."""


class PresignedUrls:
    """Create and check presigned URLs. They expire with the server, which alone has the key."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, host: str, method: str, path: str, expires: float) -> str:
        """Return a URL of a path (not encoded), valid until `expires` (Unix s, at most a week)."""
        encoded = quote(os.fsencode(path))
        until = str(int(min(expires, time.time() + MAX_SECONDS)))
        signature = self._sign(method, encoded, until)
        return f"{host}{encoded}?{urlencode({'expires': until, 'signature': signature})}"

    def is_valid(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """Return whether a request has a valid signature. `path` is encoded, as received."""
        until, signature = query.get("expires", ""), query.get("signature", "")
        is_ours = hmac.compare_digest(
            self._sign(method, path, until).encode(), signature.encode(errors="replace")
        )
        return is_ours and time.time() < int(until)

    def _sign(self, method: str, path: str, until: str) -> str:
        return hmac.digest(self._key, f"{method}\n{path}\n{until}".encode(), "sha256").hex()
