"""Multipart uploads to volumes and downloads from them, through presigned URLs.

A client starts an upload, gets a URL for each part, PUTs the parts in any order and lists them with
their entity tags to complete the upload. Only then the file appears, whole.
Source: databricks-sdk, databricks/sdk/mixins/files.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from starlette.responses import Response

from lakeflow_local.behaviors import NO_PART_ETAGS
from lakeflow_local.server.api import files
from lakeflow_local.server.api.authorization import anyone, on_volume_file
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.request import ApiRequest, ApiResponse
from lakeflow_local.server.api.route import Route
from lakeflow_local.storage.uploads import PartMissing, Upload, UploadMissing

PARTS, DOWNLOADS = "/storage/uploads/{path}", "/storage/files{path}"
MAX_PARTS = 10_000
"""docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


_NO_ETAG = "0" * 32
"""The tag that parts are stored with where clients get none."""


def post(request: ApiRequest) -> ApiResponse:
    """Start or complete an upload."""
    action = request.text("action")
    if action == "initiate-upload":
        return _begin(request)
    if action == "complete-upload":
        return _complete(request)
    raise not_served(f"POST of files with the action '{action}'")


def _begin(request: ApiRequest) -> ApiResponse:
    files.check_target(request, files.find(request))
    token = request.workspace.uploads.start(request.path, request.flag("overwrite"))
    return {"multipart_upload": {"session_token": token}}


def _complete(request: ApiRequest) -> ApiResponse:
    """Join the parts. Completing again changes nothing, since a response may be lost."""
    if request.text("upload_type") != "multipart":
        raise not_served(f"uploads of the type '{request.text('upload_type')}'")
    token, uploads = request.text("session_token"), request.workspace.uploads
    upload = _find(request, token, request.path)
    if upload.completed:
        return {}
    has_no_etags = NO_PART_ETAGS in request.workspace.behaviors
    parts = []
    for entry in request.objects("parts"):
        part = request.within(entry)
        tag = _NO_ETAG if has_no_etags else part.text("etag").strip('"')
        if not re.fullmatch(r"[0-9a-f]{32}", tag):
            raise _no_part(part.number("part_number"))
        parts.append((part.number("part_number"), tag))
    if not parts or [number for number, _ in parts] != sorted({number for number, _ in parts}):
        raise invalid("parts must hold at least one part, in the order of their numbers.")
    target = files.find(request)
    draft = request.workspace.mount.draft()
    try:
        uploads.assemble(token, parts, draft)
        files.place(request, draft, target, overwrite=upload.overwrite)
    except UploadMissing:
        raise _no_upload(token) from None
    except PartMissing as error:
        raise _no_part(error.args[0]) from None
    finally:
        draft.unlink(missing_ok=True)
    uploads.complete(token)
    return {}


def create_part_urls(request: ApiRequest) -> ApiResponse:
    """Return URLs for `count` parts from `start_part_number`, counted from 1."""
    token = request.text("session_token")
    _find(request, token, request.text("path"))
    first, count = request.number("start_part_number"), request.number("count")
    if first < 1 or count < 1 or first + count - 1 > MAX_PARTS:
        raise invalid(f"The parts of an upload have the numbers 1 to {MAX_PARTS}.")
    return {
        "upload_part_urls": [
            {"part_number": number, **_presigned(request, "PUT", f"{token}/{number}")}
            for number in range(first, first + count)
        ]
    }


def create_abort_url(request: ApiRequest) -> ApiResponse:
    token = request.text("session_token")
    _find(request, token, request.text("path"))
    return {"abort_upload_url": _presigned(request, "DELETE", token)}


def create_download_url(request: ApiRequest) -> ApiResponse:
    path = request.text("path")
    if not files.find(request, path).is_file():
        raise files.no_file(path)
    return _presigned(request, "GET", path, DOWNLOADS)


def put_part(request: ApiRequest) -> ApiResponse:
    token, _, number = request.path.partition("/")
    assert request.content is not None
    has_no_etags = NO_PART_ETAGS in request.workspace.behaviors
    try:
        tag = request.workspace.uploads.add(
            token, int(number), request.content, _NO_ETAG if has_no_etags else None
        )
    except UploadMissing:
        raise _no_upload(token) from None
    return Response(status_code=201) if has_no_etags else Response(headers={"ETag": f'"{tag}"'})


def abort(request: ApiRequest) -> ApiResponse:
    """Abort an upload; a missing one is not an error."""
    with suppress(UploadMissing):
        request.workspace.uploads.abort(request.path)
    return Response()


def _find(request: ApiRequest, token: str, path: str) -> Upload:
    try:
        upload = request.workspace.uploads.get(token)
    except UploadMissing:
        raise _no_upload(token) from None
    if upload.path != path:
        raise invalid(f"This session_token is of the upload to {upload.path}, not {path}.")
    return upload


def _presigned(
    request: ApiRequest, method: str, rest: str, route: str = PARTS
) -> Mapping[str, Any]:
    path = route.replace("{path}", rest)
    url = request.workspace.presigned.make(request.host, method, path, _expire_time(request))
    return {"url": url, "headers": []}


def _expire_time(request: ApiRequest) -> float:
    """Return `expire_time` in Unix seconds; by default an hour from now."""
    text = request.text("expire_time", "")
    if not text:
        return time.time() + 3600
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d+)?Z$", "+00:00", text)).timestamp()
    except ValueError:
        raise invalid(f"expire_time must be a time such as 2026-11-21T12:00:00Z: {text}") from None


def _no_upload(token: str) -> ApiError:
    text = f"Upload {token[:100]} does not exist: it was aborted, or unused for a week."
    return ApiError(404, "NOT_FOUND", text)


def _no_part(number: int) -> ApiError:
    return invalid(f"Part {number} of the upload has not come, or has another etag.")


ROUTES = (
    Route("POST", files.FILES, post, on_volume_file("WRITE_VOLUME")),
    Route(
        "POST",
        "/api/2.0/fs/create-upload-part-urls",
        create_part_urls,
        on_volume_file("WRITE_VOLUME"),
    ),
    Route(
        "POST",
        "/api/2.0/fs/create-abort-upload-url",
        create_abort_url,
        on_volume_file("WRITE_VOLUME"),
    ),
    Route(
        "POST",
        "/api/2.0/fs/create-download-url",
        create_download_url,
        on_volume_file("READ_VOLUME"),
    ),
    Route(
        "PUT", PARTS, put_part, anyone, body="file", limit=files.MAX_FILE_BYTES, is_presigned=True
    ),
    Route("DELETE", PARTS, abort, anyone, is_presigned=True),
    Route("GET", DOWNLOADS, files.download, anyone, is_presigned=True),
)
