"""Routes of the server's own: its proof, health, discovery document, and tokens of principals."""

from __future__ import annotations

import re
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lakeflow_local.server.access import Authenticator, check_host
from lakeflow_local.server.api.errors import invalid, wrong_type
from lakeflow_local.server.request_bodies import parse_json, read_bytes
from lakeflow_local.server.workspace import Workspace, create_home
from lakeflow_local.server_proof import CHALLENGE, is_nonce, prove

DISCOVERY = "/.well-known/databricks-config"
HEALTH = "/lakeflow/health"
PRINCIPALS = "/lakeflow/principals"
MAX_BODY_BYTES = 4096


class Health(TypedDict):
    """What the server tells about itself; `started` in Unix seconds, `task_memory` in MiB."""

    pid: int
    port: int
    address: str
    listen: str
    tls: bool
    digest: str
    started: int
    faults: str | None
    max_processes: int
    task_memory: int | None
    any_python: bool


def routes(
    workspace: Workspace, authenticator: Authenticator, token: str, health: Health
) -> list[Route]:
    """Return the routes. `token` is that of the workspace's owner."""

    async def discovery(request: Request) -> Response:
        host = f"{request.url.scheme}://{request.headers.get('host', '')}"
        workspace_id = str(workspace.workspace_id)
        return JSONResponse({"oidc_endpoint": f"{host}/oidc", "workspace_id": workspace_id})

    async def challenge(request: Request) -> Response:
        """Prove who the server is to a client that has not sent its token yet."""
        check_host(request)
        nonce = request.query_params.get("nonce", "")
        if not is_nonce(nonce):
            raise invalid("nonce must have 32 to 128 hexadecimal digits.")
        return JSONResponse({"proof": prove(token, health["port"], nonce)})

    async def get_health(request: Request) -> Response:
        authenticator.authenticate_owner(request)
        return JSONResponse({**health, "active_runs": workspace.scheduler.active_runs()})

    async def create_principal(request: Request) -> Response:
        """Return a principal's token, creating the principal if necessary."""
        authenticator.authenticate_owner(request)
        body = parse_json(await read_bytes(request, MAX_BODY_BYTES))
        name, is_admin = body.get("name"), body.get("is_admin")
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+@-]{1,255}", name, re.ASCII):
            raise invalid("The name of a principal has letters, digits and '._+-@'.")
        if is_admin is not None and not isinstance(is_admin, bool):
            raise wrong_type("is_admin", "boolean")
        principals = workspace.principals
        own_token = principals.token_for(name, is_admin=is_admin)
        principal = principals.by_name(name)
        assert principal is not None
        create_home(workspace, principal.name)
        return JSONResponse(
            {
                "name": principal.name,
                "is_admin": principal.is_admin,
                "token": token if principal == principals.owner else own_token,
            }
        )

    return [
        Route(DISCOVERY, discovery),
        Route(CHALLENGE, challenge),
        Route(HEALTH, get_health),
        Route(PRINCIPALS, create_principal, methods=["POST"]),
    ]
