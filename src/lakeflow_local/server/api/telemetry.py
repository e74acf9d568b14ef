"""Telemetry of clients: accepted and discarded, so that clients do not retry."""

from __future__ import annotations

from lakeflow_local.server.api.authorization import anyone
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route


def take(request: ApiRequest) -> ApiResponse:
    logs = request.parameters.get("protoLogs")
    return {"errors": [], "numProtoSuccess": len(logs) if isinstance(logs, list) else 0}


ROUTES = (Route("POST", "/telemetry-ext", take, anyone),)
