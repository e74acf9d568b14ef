"""Secrets and who may read them: `/api/2.0/secrets/`.

Source: docs.databricks.com/api/workspace/secrets.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3

from lakeflow_local.server.api.call import Answer, ApiError, Call, Route, invalid, not_served
from lakeflow_local.storage.database import now

MAX_SECRET_BYTES = 128 * 1024
MAX_SECRETS = 1000
MAX_SCOPES = 1000
PERMISSIONS = ("READ", "WRITE", "MANAGE")


def create_scope(call: Call) -> Answer:
    """The creator, or everybody (`initial_manage_principal` `users`), gets MANAGE."""
    scope = _name(call, "scope")
    if call.text("scope_backend_type", "DATABRICKS") != "DATABRICKS":
        raise not_served("scopes that are not backed by Databricks")
    principal = call.text("initial_manage_principal", "") or call.me.name
    if principal not in ("users", call.me.name):
        raise invalid("initial_manage_principal can only be 'users'.")
    with call.workspace.store.transaction() as database:
        if database.execute("SELECT count(*) FROM secret_scopes").fetchone()[0] >= MAX_SCOPES:
            raise _limit(f"A workspace can have at most {MAX_SCOPES} secret scopes.")
        if _has_scope(database, scope):
            raise _exists(f"Scope {scope} already exists!")
        database.execute("INSERT INTO secret_scopes VALUES (?)", (scope,))
        database.execute("INSERT INTO secret_acls VALUES (?, ?, 'MANAGE')", (scope, principal))
    return {}


def delete_scope(call: Call) -> Answer:
    with call.workspace.store.transaction() as database:
        scope = _scope(database, call)
        database.execute("DELETE FROM secret_scopes WHERE name = ?", (scope,))
    return {}


def list_scopes(call: Call) -> Answer:
    rows = call.workspace.store.rows("SELECT name FROM secret_scopes ORDER BY name")
    return {"scopes": [{"name": row["name"], "backend_type": "DATABRICKS"} for row in rows]}


def put(call: Call) -> Answer:
    """Store a secret, over one whose key is equal but for case."""
    key, value = _name(call, "key"), _value(call)
    if len(value) > MAX_SECRET_BYTES:
        raise _limit(f"A secret can have at most {MAX_SECRET_BYTES} bytes.")
    with call.workspace.store.transaction() as database:
        scope = _scope(database, call)
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


def get(call: Call) -> Answer:
    key = call.text("key")
    with call.workspace.store.transaction() as database:
        row = database.execute(
            "SELECT key, value FROM secrets WHERE scope = ? AND key = ?",
            (_scope(database, call), key),
        ).fetchone()
    if row is None:
        raise _no_secret(call)
    return {"key": row["key"], "value": base64.b64encode(row["value"]).decode()}


def delete(call: Call) -> Answer:
    with call.workspace.store.transaction() as database:
        deleted = database.execute(
            "DELETE FROM secrets WHERE scope = ? AND key = ?",
            (_scope(database, call), call.text("key")),
        )
        if deleted.rowcount == 0:
            raise _no_secret(call)
    return {}


def list_secrets(call: Call) -> Answer:
    """Names and times only."""
    with call.workspace.store.transaction() as database:
        rows = database.execute(
            "SELECT key, updated FROM secrets WHERE scope = ? ORDER BY key",
            (_scope(database, call),),
        ).fetchall()
    return {
        "secrets": [{"key": row["key"], "last_updated_timestamp": row["updated"]} for row in rows]
    }


def put_acl(call: Call) -> Answer:
    principal, permission = call.text("principal"), call.text("permission")
    if permission not in PERMISSIONS:
        raise invalid(f"permission must be one of {', '.join(PERMISSIONS)}.")
    with call.workspace.store.transaction() as database:
        database.execute(
            "INSERT OR REPLACE INTO secret_acls VALUES (?, ?, ?)",
            (_scope(database, call), principal, permission),
        )
    return {}


def get_acl(call: Call) -> Answer:
    principal = call.text("principal")
    with call.workspace.store.transaction() as database:
        row = database.execute(
            "SELECT principal, permission FROM secret_acls WHERE scope = ? AND principal = ?",
            (_scope(database, call), principal),
        ).fetchone()
    if row is None:
        raise _no_acl(call)
    return dict(row)


def list_acls(call: Call) -> Answer:
    with call.workspace.store.transaction() as database:
        rows = database.execute(
            "SELECT principal, permission FROM secret_acls WHERE scope = ? ORDER BY principal",
            (_scope(database, call),),
        ).fetchall()
    return {"items": [dict(row) for row in rows]}


def delete_acl(call: Call) -> Answer:
    with call.workspace.store.transaction() as database:
        deleted = database.execute(
            "DELETE FROM secret_acls WHERE scope = ? AND principal = ?",
            (_scope(database, call), call.text("principal")),
        )
        if deleted.rowcount == 0:
            raise _no_acl(call)
    return {}


def _name(call: Call, field: str) -> str:
    name = call.text(field)
    if not re.fullmatch(r"[\w.@-]{1,128}", name, re.ASCII):
        raise invalid(f"'{name}' is no name: use up to 128 letters, digits and '-_.@'.")
    return name


def _value(call: Call) -> bytes:
    given = [name for name in ("string_value", "bytes_value") if name in call.parameters]
    if len(given) != 1:
        raise ApiError(
            400, "MALFORMED_REQUEST", "Exactly one of string_value and bytes_value must be given."
        )
    text = call.text(given[0])
    if given[0] == "string_value":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("bytes_value must be base64.") from None


def _has_scope(database: sqlite3.Connection, scope: str) -> bool:
    row = database.execute("SELECT 1 FROM secret_scopes WHERE name = ?", (scope,)).fetchone()
    return row is not None


def _scope(database: sqlite3.Connection, call: Call) -> str:
    scope = call.text("scope")
    if not _has_scope(database, scope):
        raise _missing(f"Scope {scope} does not exist!")
    return scope


def _no_secret(call: Call) -> ApiError:
    return _missing(f"Failed to get secret {call.text('key')} for scope {call.text('scope')}.")


def _no_acl(call: Call) -> ApiError:
    return _missing(f"{call.text('principal')} has no ACL on scope {call.text('scope')}.")


def _missing(message: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def _exists(message: str) -> ApiError:
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", message)


def _limit(message: str) -> ApiError:
    return ApiError(400, "RESOURCE_LIMIT_EXCEEDED", message)


ROUTES = (
    Route("POST", "/api/2.0/secrets/scopes/create", create_scope),
    Route("POST", "/api/2.0/secrets/scopes/delete", delete_scope),
    Route("GET", "/api/2.0/secrets/scopes/list", list_scopes),
    Route("POST", "/api/2.0/secrets/put", put),
    Route("GET", "/api/2.0/secrets/get", get),
    Route("POST", "/api/2.0/secrets/delete", delete),
    Route("GET", "/api/2.0/secrets/list", list_secrets),
    Route("POST", "/api/2.0/secrets/acls/put", put_acl),
    Route("GET", "/api/2.0/secrets/acls/get", get_acl),
    Route("GET", "/api/2.0/secrets/acls/list", list_acls),
    Route("POST", "/api/2.0/secrets/acls/delete", delete_acl),
)
