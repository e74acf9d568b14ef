"""The HTTP application: all routes, and the way of a request to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from lakeflow_local.server import administration, federation
from lakeflow_local.server.absolute_form import OriginForm
from lakeflow_local.server.access import Authenticator, Caller, Hosts, check_host
from lakeflow_local.server.administration import Health
from lakeflow_local.server.api import (
    clusters,
    compute_catalog,
    dbfs,
    files,
    identity,
    jobs,
    jobs_2_0,
    libraries,
    permissions,
    runs,
    secret_scopes,
    task_values,
    telemetry,
    triggers,
    uploads,
    volume_privileges,
    volumes,
    workspace_files,
)
from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.api.request import ApiRequest
from lakeflow_local.server.api.route import Route, respond
from lakeflow_local.server.error_responses import (
    errors_as_responses,
    respond_to_api_error,
    respond_to_failure,
    respond_to_http_exception,
    unknown_route,
)
from lakeflow_local.server.presigned_urls import EXPIRED
from lakeflow_local.server.request_bodies import read_body
from lakeflow_local.server.request_framing import UnambiguousLength
from lakeflow_local.server.ui import routes as ui_routes
from lakeflow_local.server.workspace import Workspace


class AnyPath(PathConvertor):
    """The rest of a path, line breaks included: they are refused by name, not as unknown paths."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyPath())

ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

ROUTES: tuple[Route, ...] = (
    *identity.ROUTES,
    *jobs.ROUTES,
    *jobs_2_0.ROUTES,
    *runs.ROUTES,
    *triggers.ROUTES,
    *clusters.ROUTES,
    *compute_catalog.ROUTES,
    *libraries.ROUTES,
    *files.ROUTES,
    *uploads.ROUTES,
    *volumes.ROUTES,
    *volume_privileges.ROUTES,
    *workspace_files.ROUTES,
    *dbfs.ROUTES,
    *secret_scopes.ROUTES,
    *permissions.ROUTES,
    *task_values.ROUTES,
    *telemetry.ROUTES,
)


def make_app(workspace: Workspace, token: str, health: Health, hosts: Hosts) -> Starlette:
    """Return the application. `token` is that of the workspace's owner."""
    authenticator = Authenticator(workspace, token)

    async def unknown(request: Request) -> Response:
        authenticator.authenticate(request)
        raise unknown_route(request)

    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    app = Starlette(
        routes=[
            *administration.routes(workspace, authenticator, token, health),
            *federation.routes(workspace, authenticator),
            *(
                HttpRoute(
                    path.replace("{path}", "{path:any}"),
                    _endpoint(workspace, authenticator, path, methods),
                    methods=list(ALL_METHODS),
                )
                for path, methods in paths.items()
            ),
            *ui_routes.routes(workspace, token, authenticator, ROUTES),
            HttpRoute("/{path:any}", unknown, methods=list(ALL_METHODS)),
        ],
        middleware=[Middleware(UnambiguousLength), Middleware(OriginForm)],
        exception_handlers={
            ApiError: respond_to_api_error,
            HTTPException: respond_to_http_exception,
            Exception: respond_to_failure,
        },
    )
    app.router.redirect_slashes = False
    app.state.hosts = hosts
    return app


def _endpoint(
    workspace: Workspace, authenticator: Authenticator, path: str, methods: Mapping[str, Route]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the function that serves all methods of a path."""

    async def endpoint(request: Request) -> Response:
        route = methods.get(request.method)
        if route is not None and route.is_presigned:
            check_host(request)
            if not workspace.presigned.is_valid(
                request.method, _raw_path(request), request.query_params
            ):
                return Response(EXPIRED, 403, media_type="application/xml")
            caller = Caller(workspace.principals.owner)
        else:
            caller = authenticator.authenticate(request)
        if route is None:
            raise unknown_route(request)
        async with read_body(request, route, workspace.mount) as (parameters, content):
            api_request = ApiRequest(
                workspace,
                caller.principal,
                request.method,
                f"{request.url.scheme}://{request.headers.get('host', '')}",
                {**_query_parameters(request), **parameters},
                _rest_of_path(request, path),
                content,
                request.headers,
                caller.run_id,
            )
            return await run_in_threadpool(_respond, route, api_request)

    return endpoint


def _respond(route: Route, request: ApiRequest) -> Response:
    with errors_as_responses():
        response = respond(route, request)
        return response if isinstance(response, Response) else JSONResponse(response)


def _query_parameters(request: Request) -> dict[str, Any]:
    """Return the parameters of the query; those sent several times as lists."""
    parameters: dict[str, str | list[str]] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        parameters[name] = values[0] if len(values) == 1 else values
    return parameters


def _rest_of_path(request: Request, path: str) -> str:
    """Decode the rest of the path as Databricks does: the Files API reads `+` as a space."""
    start = path.removesuffix("{path}")
    if start == path:
        return ""
    decode = unquote_plus if start.startswith("/api/2.0/fs/") else unquote
    return decode(_raw_path(request)[len(start) :], errors="surrogateescape")


def _raw_path(request: Request) -> str:
    return str(request.scope["raw_path"].decode("ascii", errors="replace").partition("?")[0])
