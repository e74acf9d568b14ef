"""Who is asking: there is one principal."""

from __future__ import annotations

from lakeflow.local.api.call import Answer, Call, Route


def me(call: Call) -> Answer:
    user = call.workspace.user
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "1",
        "userName": user,
        "displayName": user.partition("@")[0],
        "active": True,
        "emails": [{"type": "work", "value": user, "primary": True}],
        "groups": [{"display": "users", "type": "direct", "value": "1"}],
    }


ROUTES = (Route("GET", "/api/2.0/preview/scim/v2/Me", me),)
