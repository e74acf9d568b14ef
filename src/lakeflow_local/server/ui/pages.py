"""The pages. What they show is asked of the API, inside the process, so that both tell the same.

Jinja2 is loaded with the first page that is asked for: most servers never show one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lakeflow_local.identity.permissions import LEVELS
from lakeflow_local.runs.conditions import dependencies
from lakeflow_local.server.access import Authenticator, check_host
from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.api.route import Route as ApiRoute
from lakeflow_local.server.ui.graph import Box, lay_out
from lakeflow_local.server.ui.login import Login
from lakeflow_local.server.ui.page_request import (
    HEADERS,
    HERE,
    Answerer,
    Visit,
    more_of,
    page_token,
    problem,
    render,
)
from lakeflow_local.server.ui.run_page import cancel_run, repair_run, send_log, show_run
from lakeflow_local.server.workspace import Workspace
from lakeflow_local.storage.database import now
from lakeflow_local.storage.files import PathOutside, children
from lakeflow_local.storage.task_run_repository import ActiveTask

LINKS = "/lakeflow/login-links"
TREES = ("Workspace", "Volumes", "dbfs")
MAX_FORM_BYTES = 4096
MAY_MANAGE = LEVELS["secrets"]["MANAGE"]
MAX_SHOWN_FILE_BYTES = 512 * 1024
MAX_SHOWN_ENTRIES = 1000

ASSETS = {
    "style.css": "text/css",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def routes(
    workspace: Workspace, token: str, authenticator: Authenticator, api: Iterable[ApiRoute]
) -> list[Route]:
    """Every page. Whoever has a bearer token may look too; forms are for who is logged in."""
    login = Login(token)
    table = {(route.method, route.path): route for route in api}

    def visit(request: Request, session: str | None) -> Visit:
        if session is None:
            me = authenticator.authenticate(request).principal
        else:
            me = workspace.principals.by_number(login.who(session)) or workspace.principals.owner
        return Visit(request, workspace, me, table, login, session)

    async def make_link(request: Request) -> Response:
        """For the door `lakeflow local open`, which has a token; not for tasks, whose ends."""
        caller = authenticator.authenticate(request)
        if caller.run_id is not None:
            raise ApiError(403, "PERMISSION_DENIED", "A task can not log in to the web UI.")
        path = login.link(request.query_params.get("next", "/"), caller.principal.number)
        return JSONResponse({"path": path}, headers={"Cache-Control": "no-store"})

    async def enter(request: Request) -> Response:
        check_host(request)
        who = login.redeem(request.query_params.get("code", ""))
        if who is None:
            return _not_logged_in("This link was used before, or is too old.")
        target = request.query_params.get("next", "/")
        # A page, not a redirect: followed from another site, that would go without the cookie.
        target = target if re.match(r"/(?![/\\])", target) else "/"
        response = render("entered.html", target=target)
        login.begin(request, response, who)
        return response

    async def asset(request: Request) -> Response:
        check_host(request)
        name = request.path_params["name"]
        if name not in ASSETS:
            return problem(404, "Not found", f"There is no {request.url.path}.")
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return FileResponse(HERE / "assets" / name, media_type=ASSETS[name], headers=headers)

    def page(path: str, answer: Answerer) -> Route:
        async def endpoint(request: Request) -> Response:
            session = _session(request, authenticator, login)
            if session is None and "authorization" not in request.headers:
                return _not_logged_in("")
            return await _in_thread(visit(request, session), answer)

        return Route(path, endpoint, methods=["GET"])

    def form(path: str, answer: Answerer) -> Route:
        async def endpoint(request: Request) -> Response:
            session = _session(request, authenticator, login)
            if session is None:
                return _not_logged_in("")
            fields = parse_qs((await _read_form(request)).decode(errors="replace"))
            if not login.is_own_form(request, session, fields.get("token", [""])[0]):
                return problem(403, "Refused", "This form does not come from this page.")
            return await _in_thread(visit(request, session), answer)

        return Route(path, endpoint, methods=["POST"])

    return [
        Route(LINKS, make_link, methods=["POST"]),
        Route("/login", enter, methods=["GET"]),
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


def show_runs(visit: Visit) -> Response:
    """The latest runs of all jobs; `active` shows only those that have not ended."""
    active = "active" in visit.request.query_params
    listed = _list_runs(visit, active_only=active, **page_token(visit))
    return visit.show(
        "runs.html",
        runs=listed.get("runs", []),
        active=active,
        more=more_of(visit, listed),
        now=now(),
    )


def show_jobs(visit: Visit) -> Response:
    listed = visit.ask("GET", "/api/2.2/jobs/list", limit=50, **page_token(visit))
    rows = []
    for job in listed.get("jobs", []):
        latest = _list_runs(visit, job_id=job["job_id"]).get("runs", [])[:12]
        rows.append({"job": job, "runs": latest})
    return visit.show("jobs.html", rows=rows, more=more_of(visit, listed), now=now())


def show_job(visit: Visit) -> Response:
    job_id = visit.number("job")
    job = visit.ask("GET", "/api/2.2/jobs/get", job_id=job_id)
    listed = _list_runs(visit, job_id=job_id, **page_token(visit))
    return visit.show(
        "job.html",
        job=job,
        graph=lay_out(
            Box(task["task_key"], dependencies(task)) for task in job["settings"].get("tasks", ())
        ),
        runs=listed.get("runs", []),
        more=more_of(visit, listed),
        now=now(),
    )


def show_clusters(visit: Visit) -> Response:
    clusters = visit.ask("GET", "/api/2.1/clusters/list")["clusters"]
    tasks = _tasks_on_clusters(visit.workspace)
    rows = [(cluster, tasks.get(cluster["cluster_id"], [])) for cluster in clusters]
    return visit.show("clusters.html", rows=rows, now=now())


def show_cluster(visit: Visit) -> Response:
    cluster_id = visit.request.path_params["cluster"]
    cluster = visit.ask("GET", "/api/2.1/clusters/get", cluster_id=cluster_id)
    return visit.show(
        "cluster.html",
        cluster=cluster,
        tasks=_tasks_on_clusters(visit.workspace).get(cluster_id, []),
        libraries=visit.workspace.clusters.libraries.all(cluster_id),
        events=visit.workspace.storage.clusters.events(cluster_id)[:-51:-1],
        now=now(),
    )


@dataclass(frozen=True)
class Entry:
    """A file or folder of a folder. `size` in bytes, `modified` in ms since 1970."""

    name: str
    url: str
    is_folder: bool
    size: int
    modified: int


def show_files(visit: Visit) -> Response:
    """A folder's content, a file's text, or with `download` the file itself.

    Files are never answered as what they are: a page of a task's making would be one of ours.
    """
    names = [name for name in visit.request.path_params.get("path", "").split("/") if name]
    if not names:
        mount = visit.workspace.mount
        entries = [_entry(f"/files/{tree}", mount.real(f"/{tree}")) for tree in TREES]
        return visit.show("folder.html", crumbs=[], entries=entries, hidden=0)
    path = "/" + "/".join(names)
    if why := visit.workspace.permissions.why_unreadable(visit.me, path):
        raise ApiError(403, "PERMISSION_DENIED", why)
    target = visit.workspace.mount.real(path) if names[0] in TREES else None
    if target is None or not target.exists():
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"There is no /{'/'.join(names)}.")
    url, crumbs = "/files", []
    for name in names:
        url += f"/{quote(name)}"
        crumbs.append((name, url))
    if target.is_dir():
        found = [
            entry
            for entry in children(target)
            if not visit.workspace.permissions.why_unreadable(visit.me, f"{path}/{entry.name}")
        ]
        shown = sorted(found, key=lambda entry: not entry.is_dir())[:MAX_SHOWN_ENTRIES]
        entries = [_entry(f"{url}/{quote(os.fsencode(e.name))}", Path(e.path)) for e in shown]
        return visit.show(
            "folder.html", crumbs=crumbs, entries=entries, hidden=len(found) - len(shown)
        )
    if "download" in visit.request.query_params:
        kind = "application/octet-stream"
        return FileResponse(target, filename=target.name, media_type=kind, headers=HEADERS)
    return visit.show(
        "file.html", crumbs=crumbs, file=_entry(url, target), content=_text_of(target)
    )


def show_secrets(visit: Visit) -> Response:
    """Names only: no value is read."""
    scopes = []
    for scope in visit.ask("GET", "/api/2.0/secrets/scopes/list")["scopes"]:
        if visit.workspace.permissions.on_secrets(visit.me, scope["name"]) < MAY_MANAGE:
            continue
        listed = visit.ask("GET", "/api/2.0/secrets/list", scope=scope["name"])["secrets"]
        acls = visit.ask("GET", "/api/2.0/secrets/acls/list", scope=scope["name"])["items"]
        scopes.append({"name": scope["name"], "secrets": listed, "acls": acls})
    return visit.show("secrets.html", scopes=scopes)


def log_out(visit: Visit) -> Response:
    response = RedirectResponse("/", 303, HEADERS)
    visit.login.end(visit.request, response)
    return response


def _session(request: Request, authenticator: Authenticator, login: Login) -> str | None:
    """The session of who is logged in; None for who has a bearer token, or a browser without.

    Raises:
        ApiError: a wrong token; or nothing at all, from a client that does not ask for a page.
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
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return b""
    return body


async def _in_thread(visit: Visit, answer: Answerer) -> Response:
    try:
        return await run_in_threadpool(answer, visit)
    except ApiError as error:
        if error.status == 403:
            return problem(403, "Not allowed", error.message)
        missing = "does not exist" in error.message or error.status == 404
        return problem(404 if missing else error.status, "Not found", error.message)
    except PathOutside as error:
        return problem(400, "Not a path", f"{error} leads out of its folder.")


def _not_logged_in(why: str) -> Response:
    return render("entrance.html", 401, why=why)


def _list_runs(visit: Visit, **parameters: Any) -> Mapping[str, Any]:
    """A page of runs, the latest first, as long as the API gives."""
    return visit.ask("GET", "/api/2.2/jobs/runs/list", limit=0, **parameters)


def _tasks_on_clusters(workspace: Workspace) -> dict[str, list[ActiveTask]]:
    """Return the active tasks of each cluster."""
    found: dict[str, list[ActiveTask]] = {}
    for task in workspace.storage.task_runs.active_with_jobs():
        found.setdefault(task.cluster_id, []).append(task)
    return found


def _entry(url: str, path: Path) -> Entry:
    stat = path.stat()
    name = path.name.encode(errors="replace").decode()
    return Entry(name, url, path.is_dir(), stat.st_size, stat.st_mtime_ns // 1_000_000)


def _text_of(path: Path) -> str | None:
    """A file's content, if it is a text that is not too long to be shown."""
    if path.stat().st_size > MAX_SHOWN_FILE_BYTES:
        return None
    content = path.read_bytes()
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None
