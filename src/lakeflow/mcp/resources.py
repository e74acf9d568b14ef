"""A job and a run as resources: what a link in an answer leads to."""

from __future__ import annotations

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from lakeflow.mcp import presenters
from lakeflow.mcp.server import LakeflowServer, as_json, guard_of


def job(job_id: str, ctx: Context) -> str:
    """A job: where it computes, the code it runs, its schedule."""
    guard = guard_of(ctx)
    return as_json(ctx, presenters.job_detail(guard, guard.job(_number(job_id))))


def run(run_id: str, ctx: Context) -> str:
    """A run: where it is, its arguments, its tasks."""
    guard = guard_of(ctx)
    return as_json(ctx, presenters.run_detail(guard, guard.run(_number(run_id))))


def add_to(server: LakeflowServer) -> None:
    """Offer the resources."""
    for template, function in (
        ("lakeflow://jobs/{job_id}", job),
        ("lakeflow://runs/{run_id}", run),
    ):
        server.resource(template, mime_type="application/json")(function)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ResourceNotFoundError("an id is a whole number")
    return int(text)
