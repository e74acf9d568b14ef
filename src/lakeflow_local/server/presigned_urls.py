"""Addresses that carry their own permission, such as a cloud's storage has them.

The API gives one to a client, who then uses it without a token: for one method on one path, until
it expires.
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
"""What S3 answers. Clients know it and ask the API for another address."""


class PresignedUrls:
    """Makes and checks addresses. Those of an ended server have expired: its key ends with it."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, host: str, method: str, path: str, expires: float) -> str:
        """The address of a path (not encoded yet), until `expires` (Unix s, at most a week on)."""
        encoded = quote(os.fsencode(path))
        until = str(int(min(expires, time.time() + MAX_SECONDS)))
        signature = self._sign(method, encoded, until)
        return f"{host}{encoded}?{urlencode({'expires': until, 'signature': signature})}"

    def is_valid(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """Whether a request may be answered. `path` is as it came, encoded."""
        until, signature = query.get("expires", ""), query.get("signature", "")
        is_ours = hmac.compare_digest(
            self._sign(method, path, until).encode(), signature.encode(errors="replace")
        )
        return is_ours and time.time() < int(until)

    def _sign(self, method: str, path: str, until: str) -> str:
        return hmac.digest(self._key, f"{method}\n{path}\n{until}".encode(), "sha256").hex()
