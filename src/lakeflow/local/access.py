"""Who may ask the server: by the name it was called by, and by token."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from starlette.requests import Request

from lakeflow.local.api.call import ApiError

ALLOWED_HOSTS = ("127.0.0.1", "localhost")


def check_host(request: Request) -> None:
    """Refuse foreign host names: a web page could make its own name lead here (DNS rebinding)."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if host not in ALLOWED_HOSTS:
        raise ApiError(403, 403, "The local workspace answers to 127.0.0.1 and localhost only.")


def check_token(
    request: Request, token: str, is_also_good: Callable[[str], bool] | None = None
) -> None:
    """Refuse foreign host names, then who has no or another bearer token."""
    check_host(request)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise ApiError(
            401,
            401,
            "Credential was not sent or was of an unsupported type for this API. "
            f"[ReqId: {secrets.token_hex(8)}]",
        )
    given = given.strip()
    if not hmac.compare_digest(given.encode(), token.encode()) and not (
        is_also_good and is_also_good(given)
    ):
        raise ApiError(403, 403, f"Invalid access token. [ReqId: {secrets.token_hex(8)}]")
