"""Proof that a server knows the workspace's token, without sending the token.

The client sends a nonce, the server returns an HMAC of it that only the token's holder can compute.
The port is part of it, so that nobody on another port can pass on the server's own response.
"""

from __future__ import annotations

import hmac
import re
import secrets

CHALLENGE = "/lakeflow/challenge"
_NONCE = re.compile(r"[0-9a-f]{32,128}")


def make_nonce() -> str:
    """Return a random nonce, to be used once."""
    return secrets.token_hex(32)


def is_nonce(text: str) -> bool:
    """Return whether a text is a nonce that the server responds to."""
    return _NONCE.fullmatch(text) is not None


def prove(token: str, port: int, nonce: str) -> str:
    """Return the proof of the server on a port, in hexadecimal digits."""
    message = f"lakeflow-local server\0{port}\0{nonce}"
    return hmac.digest(token.encode(), message.encode(), "sha256").hex()


def is_proof(proof: object, token: str, port: int, nonce: str) -> bool:
    """Return whether a response proves that the server on a port knows the token."""
    expected = prove(token, port, nonce)
    return isinstance(proof, str) and hmac.compare_digest(
        proof.encode(errors="replace"), expected.encode()
    )
