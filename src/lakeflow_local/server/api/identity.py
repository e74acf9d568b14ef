"""Who is asking."""

from __future__ import annotations

from typing import Any

from lakeflow_local.server.api.call import Answer, Call, Route


def me(call: Call) -> Answer:
    """A service principal is shown as a user whose name is its application id."""
    user = call.me.name
    view: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(call.me.number),
        "userName": user,
        "displayName": user.partition("@")[0],
        "active": True,
        "groups": [{"display": name, "type": "direct", "value": name} for name in call.me.groups],
    }
    if call.me.kind == "user_name":
        view["emails"] = [{"type": "work", "value": user, "primary": True}]
    return view


ROUTES = (Route("GET", "/api/2.0/preview/scim/v2/Me", me),)
