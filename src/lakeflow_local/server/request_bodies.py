"""Read the bodies of requests: JSON, forms, and files of any size."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.files import Mount

MAPS = {
    *("custom_tags", "job_parameters", "named_parameters", "notebook_params"),
    *("python_named_params", "spark_conf", "spark_env_vars", "sql_params", "tags"),
}
"""Members of requests whose own members have names that the caller chose."""

MAX_FORM_BYTES = 2 * 1024**3 + 1024**2
"""Of a form with a file: the old Python CLI sends up to 2 GiB in one (databricks_cli/dbfs)."""


@asynccontextmanager
async def read_body(
    request: Request, route: Route, mount: Mount
) -> AsyncIterator[tuple[Mapping[str, Any], Path | None]]:
    """Read a body as the route expects it: its parameters, and a temporary file of its content.

    The file is deleted at the end.
    """
    parameters: Mapping[str, Any] = {}
    content: Path | None = None
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    try:
        if route.body == "file":
            content = await _read_file(request, mount, route.limit)
        elif route.body == "form" and is_form:
            parameters = await _read_form(request, await read_bytes(request, route.limit))
        elif route.body == "form-file" and is_form:
            parameters, content = await _read_form_with_file(request, mount)
        elif route.method not in ("GET", "HEAD"):
            parameters = parse_json(await read_bytes(request, route.limit))
        yield parameters, content
    finally:
        if content is not None:
            content.unlink(missing_ok=True)


async def read_bytes(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Raises:
        ApiError: 413, it is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds, without its null members; empty for an empty body.

    Raises:
        ApiError: 400, it is not JSON or not an object.
    """
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
    """Remove members that are null, which Databricks ignores; in maps a null is an error."""
    kept = {}
    for name, member in value.items():
        if isinstance(member, dict) and name not in MAPS:
            member = _without_nulls(member)
        elif isinstance(member, list):
            member = [_without_nulls(item) if isinstance(item, dict) else item for item in member]
        if member is not None:
            kept[name] = member
    return kept


async def _read_file(request: Request, mount: Mount, limit: int) -> Path:
    """Write a body to a temporary file; an interrupted one is deleted."""
    draft = mount.draft()
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


async def _read_form(request: Request, body: bytes) -> dict[str, str | bytes]:
    """Return the fields of a multipart form; the content of files as bytes."""
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    fields: dict[str, str | bytes] = {}
    async with Request(request.scope, receive).form(max_part_size=len(body) + 1) as form:
        for name, value in form.multi_items():
            fields[name] = await value.read() if isinstance(value, UploadFile) else value
    return fields


async def _read_form_with_file(request: Request, mount: Mount) -> tuple[dict[str, str], Path]:
    """Return the fields of a form, and a temporary file with the content of its one file."""
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
        draft = mount.draft()
        try:
            await run_in_threadpool(_copy, files[0].file, draft)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return {name: text for name, text in form.items() if isinstance(text, str)}, draft


def _copy(source: BinaryIO, target: Path) -> None:
    with open(target, "xb") as file:
        shutil.copyfileobj(source, file)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413, "REQUEST_TOO_LARGE", f"The body of this request may have at most {limit} bytes."
    )
