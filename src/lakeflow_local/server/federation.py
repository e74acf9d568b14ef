"""Workload identity federation: exchange the token of a CI system for one of a principal.

A policy says whose tokens a principal accepts. As on Databricks, the token has to be signed by the
issuer, not expired, and issuer, subject and audience have to match; the audience is the URL of the
token endpoint unless the policy names others. The policies are those of this server's process.

Sources: RFC 8693 (token exchange), RFC 7517 (JWK), RFC 7519 (JWT), and docs.databricks.com
/dev-tools/auth/oauth-federation.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lakeflow_local.server.access import Authenticator
from lakeflow_local.server.api.errors import invalid
from lakeflow_local.server.request_bodies import parse_json, read_bytes
from lakeflow_local.server.workspace import Workspace

METADATA = "/oidc/.well-known/oauth-authorization-server"
TOKEN = "/oidc/v1/token"
POLICIES = "/lakeflow/federation-policies"

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_MAX_BODY_BYTES = 65536
_ISSUER_SECONDS = 10
_LIFETIME_SECONDS = 3600
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
"""DER of the algorithm, before the digest, in a signature with RS256 (RFC 8017, 9.2)."""


@dataclass(frozen=True)
class Policy:
    """Whose tokens a principal accepts; no `audiences` stand for the URL of the token endpoint."""

    principal: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]


class _InvalidToken(Exception):
    """A token that no policy accepts."""


def routes(workspace: Workspace, authenticator: Authenticator) -> list[Route]:
    """Return the routes: the token endpoint, its metadata, and the policies for the owner."""
    policies: list[Policy] = []

    async def metadata(request: Request) -> Response:
        issuer = f"{request.url.scheme}://{request.headers.get('host', '')}/oidc"
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/v1/authorize",
                "token_endpoint": f"{issuer}/v1/token",
            }
        )

    async def create_policy(request: Request) -> Response:
        authenticator.authenticate_owner(request)
        policy = _policy(parse_json(await read_bytes(request, _MAX_BODY_BYTES)))
        workspace.principals.token_for(policy.principal)
        policies.append(policy)
        return JSONResponse({"principal": policy.principal})

    async def exchange(request: Request) -> Response:
        form = parse_qs((await read_bytes(request, _MAX_BODY_BYTES)).decode("utf-8", "replace"))
        fields = {name: values[0] for name, values in form.items()}
        if (fields.get("grant_type"), fields.get("subject_token_type")) != (_EXCHANGE, _JWT):
            return _error("unsupported_grant_type", "only the exchange of a JWT is supported")
        endpoint = f"{request.url.scheme}://{request.headers.get('host', '')}{TOKEN}"
        found = [p for p in policies if p.principal == fields.get("client_id")]
        try:
            policy = await run_in_threadpool(
                _accepting, found, fields.get("subject_token", ""), endpoint
            )
        except _InvalidToken as error:
            return _error("invalid_grant", str(error))
        return JSONResponse(
            {
                "access_token": workspace.principals.token_for(policy.principal),
                "token_type": "Bearer",
                "expires_in": _LIFETIME_SECONDS,
                "scope": fields.get("scope", "all-apis"),
            }
        )

    return [
        Route(METADATA, metadata),
        Route(POLICIES, create_policy, methods=["POST"]),
        Route(TOKEN, exchange, methods=["POST"]),
    ]


def _policy(body: Mapping[str, Any]) -> Policy:
    texts = [body.get(name) for name in ("principal", "issuer", "subject")]
    audiences = body.get("audiences", [])
    if not all(isinstance(text, str) and text for text in texts) or not isinstance(audiences, list):
        raise invalid("A policy has a principal, an issuer, a subject and a list of audiences.")
    principal, issuer, subject = map(str, texts)
    return Policy(principal, issuer, subject, tuple(map(str, audiences)))


def _error(code: str, description: str) -> Response:
    return JSONResponse({"error": code, "error_description": description}, status_code=401)


def _accepting(policies: list[Policy], token: str, endpoint: str) -> Policy:
    """Return the policy that accepts a token. Raises _InvalidToken."""
    try:
        head, body, signature = token.split(".")
        header, claims = _json(head), _json(body)
    except ValueError:
        raise _InvalidToken("the subject token is not a JWT") from None
    audiences = claims.get("aud", [])
    audiences = [audiences] if isinstance(audiences, str) else audiences
    for policy in policies:
        expected = policy.audiences or (endpoint,)
        if (policy.issuer, policy.subject) != (claims.get("iss"), claims.get("sub")):
            continue
        if set(expected).isdisjoint(audiences):
            continue
        _check_signature(policy.issuer, header, f"{head}.{body}".encode(), _bytes(signature))
        if not isinstance(claims.get("exp"), int) or claims["exp"] < time.time():
            raise _InvalidToken("the subject token has expired")
        return policy
    raise _InvalidToken(
        f"no federation policy of the service principal accepts issuer {claims.get('iss')}, "
        f"subject {claims.get('sub')}, audience {', '.join(map(str, audiences))}"
    )


def _check_signature(
    issuer: str, header: Mapping[str, Any], signed: bytes, signature: bytes
) -> None:
    """Check an RS256 signature by the issuer's published keys. Raises _InvalidToken."""
    if header.get("alg") != "RS256":
        raise _InvalidToken("the subject token is not signed with RS256")
    try:
        configuration = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        keys = _fetch(str(configuration["jwks_uri"]))["keys"]
        (key,) = (key for key in keys if key["kid"] == header.get("kid"))
        modulus, exponent = (int.from_bytes(_bytes(key[name]), "big") for name in ("n", "e"))
    except (OSError, ValueError, KeyError, TypeError):
        raise _InvalidToken(f"the issuer {issuer} publishes no such key") from None
    size = (modulus.bit_length() + 7) // 8
    digest = _SHA256_PREFIX + hashlib.sha256(signed).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    number = int.from_bytes(signature, "big")
    if len(signature) != size or pow(number, exponent, modulus).to_bytes(size, "big") != padded:
        raise _InvalidToken("the signature of the subject token is wrong")


def _fetch(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=_ISSUER_SECONDS) as response:
        return _object(json.load(response))


def _json(part: str) -> dict[str, Any]:
    return _object(json.loads(_bytes(part)))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
