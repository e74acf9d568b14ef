"""The command `lakeflow mcp`: an MCP server for agents (docs/mcp.md)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.option_types import Local, Profile
from lakeflow.errors import UsageError


def mcp(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer only tools that change nothing.")
    ] = False,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="Allow to deploy wheels from below this folder. Repeatable.",
        ),
    ] = None,
    allow_build: Annotated[
        bool,
        typer.Option(
            "--allow-build", help="Allow to build packages below a --root, which runs their code."
        ),
    ] = False,
    all_resources: Annotated[
        bool,
        typer.Option(
            "--all-resources",
            help="Allow to change jobs and clusters that lakeflow did not create.",
        ),
    ] = False,
    max_copies: Annotated[
        int,
        typer.Option(
            "--max-copies", min=1, metavar="N", help="Maximum number of runs to start per call."
        ),
    ] = 100,
    max_workers: Annotated[
        int,
        typer.Option(
            "--max-workers", min=1, metavar="N", help="Maximum number of workers of a cluster."
        ),
    ] = 8,
    ask_above: Annotated[
        int,
        typer.Option(
            "--ask-above", min=0, metavar="N", help="Require confirmation to start more runs."
        ),
    ] = 10,
    secret_env_var: Annotated[
        list[str] | None,
        typer.Option(
            "--secret-env-var",
            metavar="K",
            help="Allow to pass this variable of the server to runs as a secret. Repeatable.",
        ),
    ] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Show links to the workspace, and so its address.")
    ] = False,
    http: Annotated[
        bool,
        typer.Option("--http", help="Serve HTTP on 127.0.0.1 instead; clients must send a token."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", help="Port of --http (default: 8454)."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File with the token of --http, created if missing. Default: mcp-token in the "
            "state folder.",
        ),
    ] = None,
    local: Local = False,
    profile: Profile = None,
) -> None:
    """Serve agents over the Model Context Protocol, on standard input and output or over HTTP.

    With --http the server's URL is printed on standard output, and the name of the token file on
    standard error.

    \b
    Examples:
      lakeflow mcp
      lakeflow mcp --read-only
      lakeflow mcp --root ~/projects --allow-build
      lakeflow mcp --http --port 8454
    """
    from lakeflow.mcp.policy import Policy

    if importlib.util.find_spec("mcp") is None:
        raise UsageError(
            "lakeflow mcp needs the package mcp\nhint: pip install 'lakeflow-launcher[mcp]'"
        )
    for folder in root or ():
        if not folder.is_dir():
            raise UsageError(f"--root {folder}: no such folder")
    if allow_build and not root:
        raise UsageError("--allow-build requires at least one --root")
    if not http and (port is not None or token_file is not None):
        raise UsageError("--port and --token-file require --http")
    policy = Policy(
        read_only=read_only,
        allow_build=allow_build,
        roots=tuple(folder.resolve() for folder in root or ()),
        all_resources=all_resources,
        max_copies=max_copies,
        max_workers=max_workers,
        ask_above=ask_above,
        links=links,
        secret_env_vars=tuple(secret_env_var or ()),
    )
    from lakeflow.mcp import serve

    if http:
        serve.serve_http(policy, port, token_file, typer.echo, local=local, profile=profile)
    else:
        serve.serve_stdio(policy, local=local, profile=profile)
