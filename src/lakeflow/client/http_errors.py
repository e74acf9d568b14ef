"""Turn failed requests into errors that say what was wrong and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lakeflow.client import discovery
from lakeflow.client.retry import Failure, TemporaryError
from lakeflow.errors import WorkspaceError

_NOT_FOUND_PAGE = re.compile(r"Error response|Not Found|\d{3}\b.*|.*\b404\b.*", re.IGNORECASE)
"""Titles of the pages that web servers send for an unknown address."""


class ApiError(WorkspaceError):
    """The workspace replied with an error. `code` is Databricks' `error_code`.

    `missing`: the object does not exist. `exists`: the object to be created exists already.
    """

    def __init__(self, message: str, code: str, *, missing: bool, exists: bool) -> None:
        super().__init__(message)
        self.code = code
        self.missing = missing
        self.exists = exists


class ReplyLost(WorkspaceError):
    """A request that must not be repeated may or may not have taken effect."""


@contextmanager
def suppress_missing() -> Iterator[None]:
    """Suppress an ApiError that says that something does not exist."""
    try:
        yield
    except ApiError as error:
        if not error.missing:
            raise


def not_a_workspace(host: str, origin: str, reason: str) -> WorkspaceError:
    """Return the error for a host that is not a Databricks workspace."""
    return WorkspaceError(
        f"{host} ({origin}) is not a Databricks workspace: {reason}\nhint: check the address"
    )


def reply_lost(host: str, error: TemporaryError) -> ReplyLost:
    """Return the error for a request that must not be repeated."""
    return ReplyLost(f"lost the reply from {host}: {error}")


def gave_up(host: str, origin: str, error: TemporaryError, waited: float) -> WorkspaceError:
    """Return the error for a request that was repeated for `waited` seconds in vain."""
    if error.failure is Failure.NO_REPLY:
        return WorkspaceError(
            f"the workspace {host} ({origin}) does not reply: {error}\n"
            "hint: check the address, the network and the proxy settings"
        )
    return WorkspaceError(
        f"the workspace {host} ({origin}) still replies with an error after {waited:.0f} s: {error}"
    )


def from_no_reply(host: str, origin: str, error: BaseException) -> Exception:
    """Return the error for a request without a reply: TemporaryError or WorkspaceError."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return discovery.untrusted(host, origin, error)
    return TemporaryError(str(error), Failure.NO_REPLY)


def from_reply(host: str, origin: str, error: Exception) -> Exception:
    """Return the error for an SDK error: TemporaryError, ApiError or WorkspaceError."""
    from databricks.sdk import errors

    failure = _failure(error)
    if failure is not None:
        retry_after = float(getattr(error, "retry_after_secs", None) or 0)
        return TemporaryError(str(error), failure, retry_after=retry_after)
    message, code = str(error), str(getattr(error, "error_code", None) or "")
    not_found = isinstance(error, (errors.NotFound, errors.NotImplemented))
    # Without a code the reply was empty, as replies to HEAD requests are.
    if not_found and code and _NOT_FOUND_PAGE.fullmatch(message.strip()):
        return not_a_workspace(host, origin, f"it sent a web page, {message.strip()!r}")
    if "likely a bug in the Databricks SDK" in message:  # a reply that the SDK cannot parse
        return not_a_workspace(host, origin, f"it sent {type(error).__name__} without JSON")
    if isinstance(error, (errors.Unauthenticated, errors.PermissionDenied)):
        text = (
            f"the workspace {host} refused: {_without_configuration(message)} "
            f"(host and credential: {origin})"
        )
    else:
        text = f"the workspace {host} replied: {message}"
    missing = isinstance(error, errors.NotFound) or (
        isinstance(error, errors.BadRequest) and "does not exist" in message
    )
    exists = isinstance(error, errors.ResourceConflict) or "already exists" in message
    return ApiError(text, code, missing=missing, exists=exists)


def from_unreadable(host: str, origin: str, status: int) -> Exception:
    """Return the error for a reply that is not JSON, such as the page of a proxy."""
    if status == 413:
        return ApiError(
            f"{host} ({origin}), or a proxy before it, takes no upload of this size (413)\n"
            "hint: set LAKEFLOW_ROOT to a folder of a volume, whose files are sent in parts; or "
            "let the proxy accept larger requests",
            "",
            missing=False,
            exists=False,
        )
    if status == 429 or status >= 500:
        failure = {429: Failure.THROTTLED, 500: Failure.SERVER_ERROR}
        return TemporaryError(f"it replied {status}", failure.get(status, Failure.UNAVAILABLE))
    reason = "it did not send JSON" if status < 400 else f"it replied {status} without JSON"
    return not_a_workspace(host, origin, reason)


def _failure(error: Exception) -> Failure | None:
    """Return how a request failed for now; None if it failed for good."""
    from databricks.sdk import errors
    from databricks.sdk.errors.base import DatabricksError

    if isinstance(error, errors.TooManyRequests):
        return Failure.THROTTLED
    if type(error) is errors.InternalError:
        return Failure.SERVER_ERROR
    if isinstance(
        error, (errors.InternalError, errors.TemporarilyUnavailable, errors.DeadlineExceeded)
    ):
        return Failure.UNAVAILABLE
    if type(error) is DatabricksError:  # a status without its own class, such as a proxy's 502
        return Failure.UNAVAILABLE
    return None


def _without_configuration(message: str) -> str:
    """Return the platform's message: the SDK appends its configuration to 401 and 403."""
    return message.split(". Config: ")[0].rstrip(".")
