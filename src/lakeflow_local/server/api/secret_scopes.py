"""Secret scopes, secrets and their permissions: `/api/2.0/secrets/`.

Source: docs.databricks.com/api/workspace/secrets.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

from lakeflow_local.server.api.authorization import anyone, on_scope
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.secret_repository import SecretAcl

MAX_SECRET_BYTES = 128 * 1024
MAX_SECRETS = 1000
MAX_SCOPES = 1000
PERMISSIONS = ("READ", "WRITE", "MANAGE")


def create_scope(request: ApiRequest) -> ApiResponse:
    """Create a scope. The creator gets MANAGE, or all users (`initial_manage_principal`)."""
    scope = _name(request, "scope")
    if request.text("scope_backend_type", "DATABRICKS") != "DATABRICKS":
        raise not_served("scopes that are not backed by Databricks")
    principal = request.text("initial_manage_principal", "") or request.principal.name
    if principal not in ("users", request.principal.name):
        raise invalid("initial_manage_principal can only be 'users'.")
    storage = request.workspace.storage
    with storage.transaction():
        if len(storage.secrets.scopes()) >= MAX_SCOPES:
            raise _limit(f"A workspace can have at most {MAX_SCOPES} secret scopes.")
        if storage.secrets.has_scope(scope):
            raise _exists(f"Scope {scope} already exists!")
        storage.secrets.create_scope(scope, principal)
    return {}


def delete_scope(request: ApiRequest) -> ApiResponse:
    with request.workspace.storage.transaction():
        request.workspace.storage.secrets.delete_scope(_scope(request))
    return {}


def list_scopes(request: ApiRequest) -> ApiResponse:
    scopes = request.workspace.storage.secrets.scopes()
    return {"scopes": [{"name": scope, "backend_type": "DATABRICKS"} for scope in scopes]}


def put(request: ApiRequest) -> ApiResponse:
    """Store a secret; it replaces one whose key differs only in case."""
    key, value = _name(request, "key"), _value(request)
    if len(value) > MAX_SECRET_BYTES:
        raise _limit(f"A secret can have at most {MAX_SECRET_BYTES} bytes.")
    storage = request.workspace.storage
    with storage.transaction():
        scope = _scope(request)
        if storage.secrets.count_others(scope, key) >= MAX_SECRETS:
            raise _limit(f"A scope can have at most {MAX_SECRETS} secrets.")
        storage.secrets.put(scope, key, value)
    return {}


def get(request: ApiRequest) -> ApiResponse:
    key = request.text("key")
    with request.workspace.storage.snapshot():
        secret = request.workspace.storage.secrets.get(_scope(request), key)
    if secret is None:
        raise _no_secret(request)
    return {"key": secret.key, "value": base64.b64encode(secret.value).decode()}


def delete(request: ApiRequest) -> ApiResponse:
    with request.workspace.storage.transaction():
        if not request.workspace.storage.secrets.delete(_scope(request), request.text("key")):
            raise _no_secret(request)
    return {}


def list_secrets(request: ApiRequest) -> ApiResponse:
    """List names and times only."""
    with request.workspace.storage.snapshot():
        found = request.workspace.storage.secrets.list(_scope(request))
    return {
        "secrets": [
            {"key": secret.key, "last_updated_timestamp": secret.updated} for secret in found
        ]
    }


def put_acl(request: ApiRequest) -> ApiResponse:
    principal, permission = request.text("principal"), request.text("permission")
    if permission not in PERMISSIONS:
        raise invalid(f"permission must be one of {', '.join(PERMISSIONS)}.")
    with request.workspace.storage.transaction():
        request.workspace.storage.secrets.put_acl(_scope(request), SecretAcl(principal, permission))
    return {}


def get_acl(request: ApiRequest) -> ApiResponse:
    principal = request.text("principal")
    for acl in _acls(request):
        if acl.principal == principal:
            return _acl_view(acl)
    raise _no_acl(request)


def list_acls(request: ApiRequest) -> ApiResponse:
    return {"items": [_acl_view(acl) for acl in _acls(request)]}


def delete_acl(request: ApiRequest) -> ApiResponse:
    with request.workspace.storage.transaction():
        if not request.workspace.storage.secrets.delete_acl(
            _scope(request), request.text("principal")
        ):
            raise _no_acl(request)
    return {}


def _acls(request: ApiRequest) -> Sequence[SecretAcl]:
    with request.workspace.storage.snapshot():
        return request.workspace.storage.secrets.acls(_scope(request))


def _acl_view(acl: SecretAcl) -> Mapping[str, str]:
    return {"principal": acl.principal, "permission": acl.permission}


def _name(request: ApiRequest, field: str) -> str:
    name = request.text(field)
    if not re.fullmatch(r"[\w.@-]{1,128}", name, re.ASCII):
        raise invalid(f"'{name}' is not a valid name: use up to 128 letters, digits and '-_.@'.")
    return name


def _value(request: ApiRequest) -> bytes:
    given = [name for name in ("string_value", "bytes_value") if name in request.parameters]
    if len(given) != 1:
        raise ApiError(
            400, "MALFORMED_REQUEST", "Exactly one of string_value and bytes_value must be given."
        )
    text = request.text(given[0])
    if given[0] == "string_value":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("bytes_value must be base64.") from None


def _scope(request: ApiRequest) -> str:
    """Return the scope that the request names. Raises the error of one that does not exist."""
    scope = request.text("scope")
    if not request.workspace.storage.secrets.has_scope(scope):
        raise _missing(f"Scope {scope} does not exist!")
    return scope


def _no_secret(request: ApiRequest) -> ApiError:
    return _missing(
        f"Failed to get secret {request.text('key')} for scope {request.text('scope')}."
    )


def _no_acl(request: ApiRequest) -> ApiError:
    return _missing(f"{request.text('principal')} has no ACL on scope {request.text('scope')}.")


def _missing(message: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def _exists(message: str) -> ApiError:
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", message)


def _limit(message: str) -> ApiError:
    return ApiError(400, "RESOURCE_LIMIT_EXCEEDED", message)


ROUTES = (
    Route("POST", "/api/2.0/secrets/scopes/create", create_scope, anyone),
    Route("POST", "/api/2.0/secrets/scopes/delete", delete_scope, on_scope("MANAGE")),
    Route("GET", "/api/2.0/secrets/scopes/list", list_scopes, anyone),
    Route("POST", "/api/2.0/secrets/put", put, on_scope("WRITE")),
    Route("GET", "/api/2.0/secrets/get", get, on_scope("READ")),
    Route("POST", "/api/2.0/secrets/delete", delete, on_scope("WRITE")),
    Route("GET", "/api/2.0/secrets/list", list_secrets, on_scope("READ")),
    Route("POST", "/api/2.0/secrets/acls/put", put_acl, on_scope("MANAGE")),
    Route("GET", "/api/2.0/secrets/acls/get", get_acl, on_scope("MANAGE")),
    Route("GET", "/api/2.0/secrets/acls/list", list_acls, on_scope("MANAGE")),
    Route("POST", "/api/2.0/secrets/acls/delete", delete_acl, on_scope("MANAGE")),
)
