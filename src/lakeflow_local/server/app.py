"""The HTTP server: one table of routes, who may ask, and how errors look."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypedDict
from urllib.parse import unquote, unquote_plus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import Message

from lakeflow_local.compute.libraries import ClusterMissing
from lakeflow_local.server.absolute_form import OriginForm
from lakeflow_local.server.access import Askers, Hosts, check_host, check_token, find_asker
from lakeflow_local.server.api import (
    clusters,
    compute_catalog,
    dbfs,
    files,
    grants,
    identity,
    jobs,
    jobs_2_0,
    libraries,
    permissions,
    rules,
    runs,
    secret_scopes,
    task_values,
    telemetry,
    triggers,
    uploads,
    volumes,
    workspace_files,
)
from lakeflow_local.server.api.call import ApiError, Call, Route, invalid, not_served, wrong_type
from lakeflow_local.server.presigned_urls import EXPIRED
from lakeflow_local.server.ui import pages
from lakeflow_local.server.workspace import Workspace, make_home
from lakeflow_local.storage.files import PathOutside

log = logging.getLogger(__name__)

HEALTH = "/lakeflow/health"
PEOPLE = "/lakeflow/people"
MAX_SMALL_BYTES = 4096
DISCOVERY = "/.well-known/databricks-config"

MAPS = {
    *("custom_tags", "job_parameters", "named_parameters", "notebook_params"),
    *("python_named_params", "spark_conf", "spark_env_vars", "sql_params", "tags"),
}
"""Members of requests whose names are the caller's."""

MAX_FORM_BYTES = 2 * 1024**3 + 1024**2
"""Of a form with a file. The old Python CLI sends files of up to 2 GiB so (databricks_cli/dbfs)."""

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
    *grants.ROUTES,
    *workspace_files.ROUTES,
    *dbfs.ROUTES,
    *secret_scopes.ROUTES,
    *permissions.ROUTES,
    *task_values.ROUTES,
    *telemetry.ROUTES,
)


class Health(TypedDict):
    """What the server tells about itself; `started` in Unix seconds, `task_memory` in MiB."""

    pid: int
    port: int
    address: str
    listen: str
    tls: bool
    digest: str
    started: int
    faults: str | None
    max_processes: int
    task_memory: int | None
    any_python: bool


def make_app(workspace: Workspace, token: str, health: Health, hosts: Hosts) -> Starlette:
    """Return the application. Health responses are `health` and the number of active runs."""

    async def discovery(request: Request) -> Response:
        host = _host(request)
        workspace_id = str(workspace.workspace_id)
        return JSONResponse({"oidc_endpoint": f"{host}/oidc", "workspace_id": workspace_id})

    async def answer_health(request: Request) -> Response:
        check_token(request, token)
        return JSONResponse({**health, "active_runs": workspace.engine.active()})

    async def give_token(request: Request) -> Response:
        """For the door `lakeflow local token`, which has the workspace's own token."""
        check_token(request, token)
        given = _parse_json(await _receive(request, MAX_SMALL_BYTES))
        name, is_admin = given.get("name"), given.get("is_admin")
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+@-]{1,255}", name, re.ASCII):
            raise invalid("The name of a principal has letters, digits and '._+-@'.")
        if is_admin is not None and not isinstance(is_admin, bool):
            raise wrong_type("is_admin", "boolean")
        made = workspace.principals.token_for(name, is_admin=is_admin)
        found = workspace.principals.by_name(name)
        assert found is not None
        make_home(workspace, found.name)
        own = token if found == workspace.principals.first else made
        return JSONResponse({"name": found.name, "is_admin": found.is_admin, "token": own})

    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        table.setdefault(route.path, {})[route.method] = route
    routes = [HttpRoute(DISCOVERY, discovery), HttpRoute(HEALTH, answer_health)]
    routes.append(HttpRoute(PEOPLE, give_token, methods=["POST"]))
    askers = Askers(workspace, token)
    for path, methods in table.items():
        endpoint = _endpoint(workspace, askers, path, methods)
        pattern = path.replace("{path}", "{path:path}")
        routes.append(HttpRoute(pattern, endpoint, methods=list(ALL_METHODS)))

    async def unknown(request: Request) -> Response:
        find_asker(request, askers.of_token)
        raise _no_route(request)

    routes.extend(pages.routes(workspace, token, askers, ROUTES))
    routes.append(HttpRoute("/{path:path}", unknown, methods=list(ALL_METHODS)))
    app = Starlette(
        routes=routes,
        middleware=[Middleware(OriginForm)],
        exception_handlers={
            ApiError: _answer_api_error,
            HTTPException: _answer_http_exception,
            Exception: _answer_exception,
        },
    )
    app.router.redirect_slashes = False
    app.state.hosts = hosts
    return app


ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _endpoint(
    workspace: Workspace, askers: Askers, path: str, methods: Mapping[str, Route]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        route = methods.get(request.method)
        me, of_run = workspace.principals.first, None
        if route is not None and route.is_presigned:
            check_host(request)
            if not workspace.presigned.is_valid(
                request.method, _raw_path(request), request.query_params
            ):
                return Response(EXPIRED, 403, media_type="application/xml")
        else:
            me, of_run = find_asker(request, askers.of_token)
        if route is None:
            raise _no_route(request)
        parameters: dict[str, Any] = {}
        for name in request.query_params:
            values = request.query_params.getlist(name)
            parameters[name] = values[0] if len(values) == 1 else values
        content: Path | None = None
        try:
            if route.body == "file":
                content = await _receive_file(request, workspace, route.limit)
            elif route.body == "form" and _is_form(request):
                body = await _receive(request, route.limit)
                parameters |= await _form(request, body)
            elif route.body == "form-file" and _is_form(request):
                fields, content = await _receive_form(request, workspace)
                parameters |= fields
            elif route.method not in ("GET", "HEAD"):
                parameters |= _parse_json(await _receive(request, route.limit))
            call = Call(
                workspace,
                me,
                request.method,
                _host(request),
                parameters,
                _rest(request, path),
                content,
                request.headers,
                of_run,
            )
            answer = await run_in_threadpool(_answer, route, call)
        finally:
            if content is not None:
                content.unlink(missing_ok=True)
        return answer

    return endpoint


def _answer(route: Route, call: Call) -> Response:
    try:
        if not route.is_presigned:
            rules.check(call, route)
        answer = route.answer(call)
        return answer if isinstance(answer, Response) else JSONResponse(answer)
    except PathOutside as error:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {error}") from None
    except ClusterMissing as error:
        raise invalid(f"Cluster {error} does not exist") from None
    except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ApiError(
            409, "RESOURCE_CONFLICT", f"Another file or folder is in the way: {error.strerror}."
        ) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "A name is too long.") from None
    except UnicodeEncodeError:
        raise ApiError(
            400, "MALFORMED_REQUEST", "Could not parse request object: a text is not valid Unicode."
        ) from None


def _host(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def _rest(request: Request, path: str) -> str:
    """The rest of the path, decoded as Databricks does: the Files API reads `+` as a space."""
    start = path.removesuffix("{path}")
    if start == path:
        return ""
    raw = _raw_path(request)
    decode = unquote_plus if start.startswith("/api/2.0/fs/") else unquote
    return decode(raw[len(start) :], errors="surrogateescape")


def _raw_path(request: Request) -> str:
    return str(request.scope["raw_path"].decode("ascii", errors="replace").partition("?")[0])


async def _receive(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


async def _receive_file(request: Request, workspace: Workspace, limit: int) -> Path:
    """Write a body to a draft; nothing stays of one that breaks off."""
    draft = workspace.mount.draft()
    size = 0
    try:
        with open(draft, "xb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                await run_in_threadpool(file.write, chunk)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413, "REQUEST_TOO_LARGE", f"The body of this request may have at most {limit} bytes."
    )


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def _form(request: Request, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form; a file's content is bytes."""
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    fields: dict[str, Any] = {}
    async with Request(request.scope, receive).form(max_part_size=len(body) + 1) as form:
        for name, value in form.multi_items():
            fields[name] = await value.read() if isinstance(value, UploadFile) else value
    return fields


async def _receive_form(request: Request, workspace: Workspace) -> tuple[dict[str, str], Path]:
    """The fields of a form, and a draft of its file; nothing stays of one that breaks off."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > MAX_FORM_BYTES:
            raise _too_large(MAX_FORM_BYTES)
        return message

    async with Request(request.scope, receive).form() as form:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise ApiError(400, "MALFORMED_REQUEST", f"The form has {len(files)} files, not one.")
        draft = workspace.mount.draft()
        try:
            await run_in_threadpool(_copy, files[0].file, draft)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return {name: text for name, text in form.items() if isinstance(text, str)}, draft


def _copy(source: BinaryIO, target: Path) -> None:
    with open(target, "xb") as file:
        shutil.copyfileobj(source, file)


def _parse_json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
        if isinstance(value, dict):
            return _without_nulls(value)
    except (ValueError, RecursionError):
        raise ApiError(
            400,
            "MALFORMED_REQUEST",
            "Invalid JSON given in the body of the request - failed to parse given JSON",
        ) from None
    raise ApiError(400, "MALFORMED_REQUEST", "Could not parse request object: Expected an object.")


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object without members that are null: to Databricks these are not there.

    Except in maps from names to texts, where a null is a wrong value.
    """
    kept = {}
    for name, member in value.items():
        if isinstance(member, dict) and name not in MAPS:
            member = _without_nulls(member)
        elif isinstance(member, list):
            member = [_without_nulls(item) if isinstance(item, dict) else item for item in member]
        if member is not None:
            kept[name] = member
    return kept


def _no_route(request: Request) -> ApiError:
    """Every path of the API is refused by name: a 404 would say that some thing is missing."""
    path = request.scope["path"]
    area = path.removeprefix("/api/").partition("/")[2]
    is_api = re.match(r"/api/\d+\.\d+/.", path) is not None
    if is_api and area != "fs/endpoints":  # clients take its 404 for "use the usual ones"
        return not_served(f"{request.method} {path} yet")
    return ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} /{area}'")


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    message = error.message.encode(errors="replace").decode()  # it may say what is no Unicode
    body: dict[str, Any] = {"error_code": error.code, "message": message}
    if error.reason is not None:
        body["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.reason,
                "domain": "filesystem.databricks.com",
            }
        ]
    headers = {"X-Databricks-Reason-Phrase": message} if error.code == 403 else None
    return JSONResponse(body, error.status, headers)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"error_code": "MALFORMED_REQUEST", "message": error.detail}
    return JSONResponse(body, error.status_code)


async def _answer_exception(request: Request, error: Exception) -> Response:
    """Our own failure. A full disk is one too, and its text says so."""
    if not isinstance(error, ClientDisconnect):
        log.error("%s %s", request.method, request.scope["path"], exc_info=error)
    text = f"The local workspace failed: {type(error).__name__}: {error}"
    return JSONResponse({"error_code": "INTERNAL_ERROR", "message": text}, 500)
