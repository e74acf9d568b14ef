"""The command `lakeflow mcp`: a server for agents (docs/mcp.md)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from lakeflow.cli.options import Local, Profile
from lakeflow.errors import UsageError


def mcp(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer no tool that changes anything.")
    ] = False,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="Wheels may be deployed from below this folder. Repeatable.",
        ),
    ] = None,
    allow_build: Annotated[
        bool,
        typer.Option("--allow-build", help="Packages below a --root may be built: it runs code."),
    ] = False,
    all_resources: Annotated[
        bool,
        typer.Option("--all-resources", help="Also change jobs that lakeflow did not deploy."),
    ] = False,
    max_copies: Annotated[
        int, typer.Option("--max-copies", min=1, metavar="N", help="Runs that a call may start.")
    ] = 100,
    max_workers: Annotated[
        int,
        typer.Option("--max-workers", min=1, metavar="N", help="Workers that a cluster may have."),
    ] = 8,
    ask_above: Annotated[
        int,
        typer.Option(
            "--ask-above", min=0, metavar="N", help="Runs that a call may start without a yes."
        ),
    ] = 10,
    secret_env_var: Annotated[
        list[str] | None,
        typer.Option(
            "--secret-env-var",
            metavar="K",
            help="Runs may be handed this variable of the server as a secret. Repeatable.",
        ),
    ] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Show links to pages, and so the workspace's address.")
    ] = False,
    http: Annotated[
        bool,
        typer.Option(
            "--http", help="Serve HTTP on 127.0.0.1 instead, for who sends the token of a file."
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", help="The port of --http (default: 8454)."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The token of --http, made where there is none (default: mcp-token in the state "
            "folder).",
        ),
    ] = None,
    local: Local = False,
    profile: Profile = None,
) -> None:
    """Serve agents over the Model Context Protocol, on standard input and output or over HTTP.

    With --http the server's address is printed on standard output, and on standard error which
    file holds the token that clients have to send.

    \b
    Examples:
      lakeflow mcp
      lakeflow mcp --read-only
      lakeflow mcp --root ~/projects --allow-build
      lakeflow mcp --http --port 8454
    """
    from lakeflow.mcp.policy import Limits

    if importlib.util.find_spec("mcp") is None:
        raise UsageError("this needs the package mcp: pip install 'lakeflow-launcher[mcp]'")
    for folder in root or ():
        if not folder.is_dir():
            raise UsageError(f"--root {folder}: there is no such folder")
    if allow_build and not root:
        raise UsageError("--allow-build is for folders below a --root: say at least one")
    if not http and (port is not None or token_file is not None):
        raise UsageError("--port and --token-file are for --http")
    limits = Limits(
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
        serve.serve_http(limits, port, token_file, typer.echo, local=local, profile=profile)
    else:
        serve.serve_stdio(limits, local=local, profile=profile)
