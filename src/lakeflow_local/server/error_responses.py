"""Turn exceptions into the error responses of the API."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from lakeflow_local.compute.errors import ClusterMissing
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.storage.files import PathOutside
from lakeflow_local.storage.names import NameInvalid

log = logging.getLogger(__name__)


@contextmanager
def errors_as_responses() -> Iterator[None]:
    """Raise the errors of lower layers as what they mean to a client of the API."""
    try:
        yield
    except PathOutside as error:
        raise invalid(f"Invalid path: {error}") from None
    except NameInvalid as error:
        raise invalid(
            f"Invalid path: {error}: names must be UTF-8 without control characters."
        ) from None
    except ClusterMissing as error:
        raise invalid(f"Cluster {error} does not exist") from None
    except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ApiError(
            409, "RESOURCE_CONFLICT", f"Another file or folder is in the way: {error.strerror}."
        ) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise invalid("A name is too long.") from None
    except UnicodeEncodeError:
        raise ApiError(
            400, "MALFORMED_REQUEST", "Could not parse request object: a text is not valid Unicode."
        ) from None


def unknown_route(request: Request) -> ApiError:
    """Return the error for a path or method without a route.

    Paths of the API are refused by name: a 404 would say that a resource is missing.
    """
    path = request.scope["path"]
    endpoint = path.removeprefix("/api/").partition("/")[2]
    is_api = re.match(r"/api/\d+\.\d+/.", path) is not None
    if is_api and endpoint != "fs/endpoints":  # clients take its 404 for "use the usual ones"
        return not_served(f"{request.method} {path} yet")
    return ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} /{endpoint}'")


async def respond_to_api_error(request: Request, error: Exception) -> Response:
    """Respond with the error that a handler raised."""
    assert isinstance(error, ApiError)
    message = error.message.encode(errors="replace").decode()  # it may quote invalid Unicode
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


async def respond_to_http_exception(request: Request, error: Exception) -> Response:
    """Respond to a request that the web framework refuses."""
    assert isinstance(error, HTTPException)
    body = {"error_code": "MALFORMED_REQUEST", "message": error.detail}
    return JSONResponse(body, error.status_code)


async def respond_to_failure(request: Request, error: Exception) -> Response:
    """Respond to a failure of the server itself, a full disk included."""
    if not isinstance(error, ClientDisconnect):
        log.error("%s %s", request.method, request.scope["path"], exc_info=error)
    text = f"The local workspace failed: {type(error).__name__}: {error}"
    return JSONResponse({"error_code": "INTERNAL_ERROR", "message": text}, 500)
