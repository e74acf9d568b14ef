"""The current principal: `/api/2.0/preview/scim/v2/Me`."""

from __future__ import annotations

from typing import Any

from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route


def me(request: ApiRequest) -> ApiResponse:
    """Return the principal; a service principal as a user named like its application id."""
    user = request.principal.name
    view: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(request.principal.number),
        "userName": user,
        "displayName": user.partition("@")[0],
        "active": True,
        "groups": [
            {"display": name, "type": "direct", "value": name} for name in request.principal.groups
        ],
    }
    if request.principal.kind == "user_name":
        view["emails"] = [{"type": "work", "value": user, "primary": True}]
    return view


ROUTES = (Route("GET", "/api/2.0/preview/scim/v2/Me", me, anyone),)
