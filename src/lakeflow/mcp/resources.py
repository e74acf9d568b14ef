"""A job and a run as MCP resources: the targets of links in results."""

from __future__ import annotations

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from lakeflow.mcp import presenters
from lakeflow.mcp.server import LakeflowServer, as_json, gateway_of


def job(job_id: str, ctx: Context) -> str:
    """A job: its compute, code and schedule."""
    gateway = gateway_of(ctx)
    found = gateway.launcher.jobs.get(_parse_id(job_id))
    return as_json(ctx, presenters.job_detail(gateway, found))


def run(run_id: str, ctx: Context) -> str:
    """A run: its state, arguments and tasks."""
    gateway = gateway_of(ctx)
    found = gateway.launcher.runs.get(_parse_id(run_id))
    return as_json(ctx, presenters.run_detail(gateway, found))


def add_to(server: LakeflowServer) -> None:
    """Register the resources."""
    for template, function in (
        ("lakeflow://jobs/{job_id}", job),
        ("lakeflow://runs/{run_id}", run),
    ):
        server.resource(template, mime_type="application/json")(function)


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ResourceNotFoundError("an id is a positive integer")
    return int(text)
