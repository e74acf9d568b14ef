"""Routes of the web UI: logging in, pages, and forms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lakeflow_local.server.access import Authenticator, check_host
from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.api.route import Route as ApiRoute
from lakeflow_local.server.ui.cluster_pages import show_cluster, show_clusters
from lakeflow_local.server.ui.file_pages import show_files
from lakeflow_local.server.ui.job_pages import show_job, show_jobs, show_runs
from lakeflow_local.server.ui.login import Login
from lakeflow_local.server.ui.page_request import (
    HEADERS,
    UI_FOLDER,
    Page,
    PageRequest,
    error_page,
    render,
)
from lakeflow_local.server.ui.run_page import cancel_run, repair_run, send_log, show_run
from lakeflow_local.server.ui.secret_pages import show_secrets
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.files import PathOutside

LOGIN_LINKS = "/lakeflow/login-links"
MAX_FORM_BYTES = 4096

ASSETS = {
    "style.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def routes(
    workspace: Workspace, token: str, authenticator: Authenticator, api: Iterable[ApiRoute]
) -> list[Route]:
    """Return the routes of the web UI.

    A bearer token gives access to pages too; forms need a session. `token` is the key that signs
    sessions.
    """
    login = Login(token)
    api_routes = {(route.method, route.path): route for route in api}

    def page_request(request: Request, session: str | None) -> PageRequest:
        if session is None:
            principal = authenticator.authenticate(request).principal
        else:
            number = login.principal_number(session)
            principal = workspace.principals.by_number(number) or workspace.principals.owner
        return PageRequest(request, workspace, principal, api_routes, login, session)

    async def create_login_link(request: Request) -> Response:
        """For `lakeflow-local open`. Tasks are refused: their tokens end with them."""
        caller = authenticator.authenticate(request)
        if caller.run_id is not None:
            raise ApiError(403, "PERMISSION_DENIED", "A task cannot log in to the web UI.")
        path = login.link(request.query_params.get("next", "/"), caller.principal.number)
        return JSONResponse({"path": path}, headers={"Cache-Control": "no-store"})

    async def log_in(request: Request) -> Response:
        check_host(request)
        principal_number = login.redeem(request.query_params.get("code", ""))
        if principal_number is None:
            return _login_page("This link was used before, or has expired.")
        target = request.query_params.get("next", "/")
        # A page instead of a redirect: followed from another site, that would send no cookie.
        target = target if re.match(r"/(?![/\\])", target) else "/"
        response = render("logged_in.html", target=target)
        login.start_session(request, response, principal_number)
        return response

    async def asset(request: Request) -> Response:
        check_host(request)
        name = request.path_params["name"]
        if name not in ASSETS:
            return error_page(404, "Not found", f"{request.url.path} does not exist.")
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return FileResponse(UI_FOLDER / "assets" / name, media_type=ASSETS[name], headers=headers)

    def page(path: str, show: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            session = _session(request, authenticator, login)
            if session is None and "authorization" not in request.headers:
                return _login_page()
            return await _respond(page_request(request, session), show)

        return Route(path, endpoint, methods=["GET"])

    def form(path: str, submit: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            session = _session(request, authenticator, login)
            if session is None:
                return _login_page()
            fields = parse_qs((await _read_form(request)).decode(errors="replace"))
            if not login.is_own_form(request, session, fields.get("token", [""])[0]):
                return error_page(403, "Refused", "This form was not sent by this page.")
            return await _respond(page_request(request, session), submit)

        return Route(path, endpoint, methods=["POST"])

    return [
        Route(LOGIN_LINKS, create_login_link, methods=["POST"]),
        Route("/login", log_in, methods=["GET"]),
        form("/logout", log_out),
        Route("/assets/{name}", asset, methods=["GET"]),
        page("/", show_runs),
        page("/jobs", show_jobs),
        page("/jobs/{job:int}", show_job),
        page("/jobs/{job:int}/runs/{run:int}", show_run),
        form("/jobs/{job:int}/runs/{run:int}/cancel", cancel_run),
        form("/jobs/{job:int}/runs/{run:int}/repair", repair_run),
        page("/jobs/{job:int}/runs/{run:int}/log/{task:int}", send_log),
        page("/clusters", show_clusters),
        page("/clusters/{cluster}", show_cluster),
        page("/files", show_files),
        page("/files/{path:path}", show_files),
        page("/secrets", show_secrets),
    ]


def log_out(page: PageRequest) -> Response:
    """End the session."""
    response = RedirectResponse("/", 303, HEADERS)
    page.login.end_session(page.request, response)
    return response


def _session(request: Request, authenticator: Authenticator, login: Login) -> str | None:
    """Return the browser's session; None for a bearer token, or a browser without a session.

    Raises:
        ApiError: The token is wrong, or a client that is not a browser sends none.
    """
    if "authorization" in request.headers:
        authenticator.authenticate(request)
        return None
    check_host(request)
    session = login.session(request)
    if session is None and "text/html" not in request.headers.get("accept", ""):
        authenticator.authenticate(request)
    return session


async def _read_form(request: Request) -> bytes:
    """Read the body of a form; nothing of one that is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return b""
    return body


async def _respond(page: PageRequest, show: Page) -> Response:
    try:
        return await run_in_threadpool(show, page)
    except ApiError as error:
        if error.status == 403:
            return error_page(403, "Permission denied", error.message)
        is_missing = "does not exist" in error.message or error.status == 404
        return error_page(404 if is_missing else error.status, "Not found", error.message)
    except PathOutside as error:
        return error_page(400, "Invalid path", f"{error} leads out of its folder.")


def _login_page(message: str = "") -> Response:
    return render("login.html", 401, message=message)
