"""Routes of the API: path, handler and the permission that a request needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lakeflow_local.server.api.request import ApiRequest, ApiResponse

Handler = Callable[[ApiRequest], ApiResponse]
PermissionCheck = Callable[[ApiRequest], None]
"""Raises the 403 of a request whose principal lacks the permission."""
Body = Literal["json", "form", "form-file", "file"]


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: It ends in `{path}` if the rest of the path is a parameter.
        handler: Called with the request, after the permission was checked.
        permission: Checks who may send the request; see `authorization.py`.
        body: What a body may be.
        limit: The maximum size of the body in bytes.
        is_presigned: Whether the address itself is the permission and no token is needed; see
            `presigned_urls.py`.
    """

    method: str
    path: str
    handler: Handler
    permission: PermissionCheck
    body: Body = "json"
    limit: int = 10 * 1024 * 1024
    is_presigned: bool = False

    @property
    def operation(self) -> str:
        """The same for all versions of the API: `POST jobs/create`."""
        return f"{self.method} {re.sub('^/api/[0-9.]+/', '', self.path)}"


def versioned(
    versions: Sequence[str], method: str, path: str, handler: Handler, permission: PermissionCheck
) -> list[Route]:
    """Return the route of an endpoint in several versions of the API."""
    return [Route(method, f"/api/{version}/{path}", handler, permission) for version in versions]


def respond(route: Route, request: ApiRequest) -> ApiResponse:
    """Check the request's permission and call the handler."""
    if not route.is_presigned:
        route.permission(request)
    return route.handler(request)
