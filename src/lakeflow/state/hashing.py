"""Digests of JSON values."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
