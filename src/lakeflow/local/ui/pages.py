"""The pages."""

from __future__ import annotations

from starlette.routing import Route

from lakeflow.local.workspace import Workspace


def routes(workspace: Workspace, token: str) -> list[Route]:
    return []
