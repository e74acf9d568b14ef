"""Secrets and who may read them: `/api/2.0/secrets/`.

Source: docs.databricks.com/api/workspace/secrets.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3

from lakeflow_local.server.api.authorization import anyone, on_scope
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.database import now

MAX_SECRET_BYTES = 128 * 1024
MAX_SECRETS = 1000
MAX_SCOPES = 1000
PERMISSIONS = ("READ", "WRITE", "MANAGE")


def create_scope(request: ApiRequest) -> ApiResponse:
    """The creator, or everybody (`initial_manage_principal` `users`), gets MANAGE."""
    scope = _name(request, "scope")
    if request.text("scope_backend_type", "DATABRICKS") != "DATABRICKS":
        raise not_served("scopes that are not backed by Databricks")
    principal = request.text("initial_manage_principal", "") or request.principal.name
    if principal not in ("users", request.principal.name):
        raise invalid("initial_manage_principal can only be 'users'.")
    with request.workspace.store.transaction() as database:
        if database.execute("SELECT count(*) FROM secret_scopes").fetchone()[0] >= MAX_SCOPES:
            raise _limit(f"A workspace can have at most {MAX_SCOPES} secret scopes.")
        if _has_scope(database, scope):
            raise _exists(f"Scope {scope} already exists!")
        database.execute("INSERT INTO secret_scopes VALUES (?)", (scope,))
        database.execute("INSERT INTO secret_acls VALUES (?, ?, 'MANAGE')", (scope, principal))
    return {}


def delete_scope(request: ApiRequest) -> ApiResponse:
    with request.workspace.store.transaction() as database:
        scope = _scope(database, request)
        database.execute("DELETE FROM secret_scopes WHERE name = ?", (scope,))
    return {}


def list_scopes(request: ApiRequest) -> ApiResponse:
    rows = request.workspace.store.rows("SELECT name FROM secret_scopes ORDER BY name")
    return {"scopes": [{"name": row["name"], "backend_type": "DATABRICKS"} for row in rows]}


def put(request: ApiRequest) -> ApiResponse:
    """Store a secret, over one whose key is equal but for case."""
    key, value = _name(request, "key"), _value(request)
    if len(value) > MAX_SECRET_BYTES:
        raise _limit(f"A secret can have at most {MAX_SECRET_BYTES} bytes.")
    with request.workspace.store.transaction() as database:
        scope = _scope(database, request)
        others = database.execute(
            "SELECT count(*) FROM secrets WHERE scope = ? AND key != ?", (scope, key)
        ).fetchone()[0]
        if others >= MAX_SECRETS:
            raise _limit(f"A scope can have at most {MAX_SECRETS} secrets.")
        database.execute(
            "INSERT INTO secrets VALUES (?, ?, ?, ?) ON CONFLICT (scope, key)"
            " DO UPDATE SET value = excluded.value, updated = excluded.updated",
            (scope, key, value, now()),
        )
    return {}


def get(request: ApiRequest) -> ApiResponse:
    key = request.text("key")
    with request.workspace.store.transaction() as database:
        row = database.execute(
            "SELECT key, value FROM secrets WHERE scope = ? AND key = ?",
            (_scope(database, request), key),
        ).fetchone()
    if row is None:
        raise _no_secret(request)
    return {"key": row["key"], "value": base64.b64encode(row["value"]).decode()}


def delete(request: ApiRequest) -> ApiResponse:
    with request.workspace.store.transaction() as database:
        deleted = database.execute(
            "DELETE FROM secrets WHERE scope = ? AND key = ?",
            (_scope(database, request), request.text("key")),
        )
        if deleted.rowcount == 0:
            raise _no_secret(request)
    return {}


def list_secrets(request: ApiRequest) -> ApiResponse:
    """Names and times only."""
    with request.workspace.store.transaction() as database:
        rows = database.execute(
            "SELECT key, updated FROM secrets WHERE scope = ? ORDER BY key",
            (_scope(database, request),),
        ).fetchall()
    return {
        "secrets": [{"key": row["key"], "last_updated_timestamp": row["updated"]} for row in rows]
    }


def put_acl(request: ApiRequest) -> ApiResponse:
    principal, permission = request.text("principal"), request.text("permission")
    if permission not in PERMISSIONS:
        raise invalid(f"permission must be one of {', '.join(PERMISSIONS)}.")
    with request.workspace.store.transaction() as database:
        database.execute(
            "INSERT OR REPLACE INTO secret_acls VALUES (?, ?, ?)",
            (_scope(database, request), principal, permission),
        )
    return {}


def get_acl(request: ApiRequest) -> ApiResponse:
    principal = request.text("principal")
    with request.workspace.store.transaction() as database:
        row = database.execute(
            "SELECT principal, permission FROM secret_acls WHERE scope = ? AND principal = ?",
            (_scope(database, request), principal),
        ).fetchone()
    if row is None:
        raise _no_acl(request)
    return dict(row)


def list_acls(request: ApiRequest) -> ApiResponse:
    with request.workspace.store.transaction() as database:
        rows = database.execute(
            "SELECT principal, permission FROM secret_acls WHERE scope = ? ORDER BY principal",
            (_scope(database, request),),
        ).fetchall()
    return {"items": [dict(row) for row in rows]}


def delete_acl(request: ApiRequest) -> ApiResponse:
    with request.workspace.store.transaction() as database:
        deleted = database.execute(
            "DELETE FROM secret_acls WHERE scope = ? AND principal = ?",
            (_scope(database, request), request.text("principal")),
        )
        if deleted.rowcount == 0:
            raise _no_acl(request)
    return {}


def _name(request: ApiRequest, field: str) -> str:
    name = request.text(field)
    if not re.fullmatch(r"[\w.@-]{1,128}", name, re.ASCII):
        raise invalid(f"'{name}' is no name: use up to 128 letters, digits and '-_.@'.")
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


def _has_scope(database: sqlite3.Connection, scope: str) -> bool:
    row = database.execute("SELECT 1 FROM secret_scopes WHERE name = ?", (scope,)).fetchone()
    return row is not None


def _scope(database: sqlite3.Connection, request: ApiRequest) -> str:
    scope = request.text("scope")
    if not _has_scope(database, scope):
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
