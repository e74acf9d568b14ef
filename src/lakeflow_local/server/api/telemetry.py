"""What clients tell Databricks of their use: taken and dropped, so that none of them waits."""

from __future__ import annotations

from lakeflow_local.server.api.call import Answer, Call, Route


def take(call: Call) -> Answer:
    logs = call.parameters.get("protoLogs")
    return {"errors": [], "numProtoSuccess": len(logs) if isinstance(logs, list) else 0}


ROUTES = (Route("POST", "/telemetry-ext", take),)
