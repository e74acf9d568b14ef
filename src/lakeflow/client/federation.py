"""Workload identity federation: the token of a CI system that the SDK exchanges for another."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTH_TYPES = ("github-oidc", "azure-devops-oidc", "env-oidc", "file-oidc")
"""Values of DATABRICKS_AUTH_TYPE that exchange a token (databricks-sdk, credentials_provider)."""


@dataclass(frozen=True)
class Identity:
    """What a token claims: a federation policy has to name the same."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]

    def __str__(self) -> str:
        audiences = ", ".join(self.audiences)
        return f"issuer {self.issuer}, subject {self.subject}, audience {audiences}"


class NoToken(Exception):
    """The CI system gives no token; `remedy` says what to set."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def read_identity(auth_type: str, environ: Mapping[str, str]) -> Identity:
    """Request the token that the SDK would exchange, and return what it claims.

    Raises NoToken.
    """
    host = environ.get("DATABRICKS_HOST", "").rstrip("/")
    audience = environ.get("DATABRICKS_TOKEN_AUDIENCE") or f"{host}/oidc/v1/token"
    try:
        token = _request(auth_type, environ, audience)
    except (OSError, ValueError) as error:
        raise NoToken(str(error), _REMEDIES[auth_type]) from None
    if not token:
        raise NoToken("the CI system gives no ID token", _REMEDIES[auth_type])
    try:
        body = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        given = claims.get("aud", [])
        audiences = (given,) if isinstance(given, str) else tuple(map(str, given))
        return Identity(str(claims.get("iss")), str(claims.get("sub")), audiences)
    except (ValueError, IndexError, AttributeError, TypeError):
        raise NoToken("the ID token is not a JWT", _REMEDIES[auth_type]) from None


_REMEDIES: Mapping[str, str] = {
    "github-oidc": "Give the workflow's job `permissions: id-token: write`.",
    "azure-devops-oidc": "Add `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` to the step's env.",
    "env-oidc": "Let the pipeline set DATABRICKS_OIDC_TOKEN (GitLab: `id_tokens`).",
    "file-oidc": "Let DATABRICKS_OIDC_TOKEN_FILEPATH name a file with the token.",
}


def _request(auth_type: str, environ: Mapping[str, str], audience: str) -> str | None:
    if auth_type == "env-oidc":
        name = environ.get("DATABRICKS_OIDC_TOKEN_ENV") or "DATABRICKS_OIDC_TOKEN"
        return environ.get(name)
    if auth_type == "file-oidc":
        path = environ.get("DATABRICKS_OIDC_TOKEN_FILEPATH") or environ.get(
            "DATABRICKS_OIDC_TOKEN_FILE", ""
        )
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    from databricks.sdk import oidc_token_supplier

    suppliers: Mapping[str, Any] = {
        "github-oidc": oidc_token_supplier.GitHubOIDCTokenSupplier,
        "azure-devops-oidc": oidc_token_supplier.AzureDevOpsOIDCTokenSupplier,
    }
    token = suppliers[auth_type]().get_oidc_token(audience)
    return None if token is None else str(token)
