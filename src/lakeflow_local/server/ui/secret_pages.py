"""The page of secrets."""

from __future__ import annotations

from starlette.responses import Response

from lakeflow_local.identity.permissions import LEVELS
from lakeflow_local.server.ui.page_request import PageRequest

MANAGE = LEVELS["secrets"]["MANAGE"]


def show_secrets(page: PageRequest) -> Response:
    """Show the names of secrets, in scopes that the principal may manage. No value is read."""
    scopes = []
    for scope in page.call_api("GET", "/api/2.0/secrets/scopes/list")["scopes"]:
        name = scope["name"]
        if page.workspace.permissions.on_secrets(page.principal, name) < MANAGE:
            continue
        secrets = page.call_api("GET", "/api/2.0/secrets/list", scope=name)["secrets"]
        acls = page.call_api("GET", "/api/2.0/secrets/acls/list", scope=name)["items"]
        scopes.append({"name": name, "secrets": secrets, "acls": acls})
    return page.render("secrets.html", scopes=scopes)
