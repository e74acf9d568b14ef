"""What it means when a request fails: nobody is there, try again, or this is what was said."""

from __future__ import annotations

import re

from lakeflow.client import discovery
from lakeflow.errors import WorkspaceError

PATIENCE_SECONDS = 600.0
"""How long a request that may be repeated is repeated while a workspace that was there is not."""

ERROR_PATIENCE_SECONDS = 30.0
"""The same while it answers with an error of its own (HTTP 500)."""


_PAGE = re.compile(r"Error response|Not Found|\d{3}\b.*|.*\b404\b.*", re.IGNORECASE)
"""What web servers call the page that says that there is none."""


class ApiError(WorkspaceError):
    """The workspace answered with an error. `code` is Databricks' `error_code`."""

    def __init__(self, message: str, code: str, *, missing: bool, exists: bool) -> None:
        super().__init__(message)
        self.code = code
        self.missing = missing
        """What was asked for does not exist."""
        self.exists = exists
        """What was to be made exists already."""


class ReplyLost(WorkspaceError):
    """A request that must not be repeated blindly may or may not have taken effect."""


class Transient(Exception):
    """A request that may work when it is sent again."""

    def __init__(
        self,
        text: str,
        *,
        may_have_happened: bool,
        answered: bool = False,
        retry_after: float = 0.0,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__(text)
        self.may_have_happened = may_have_happened
        self.answered = answered
        self.retry_after = retry_after
        self.patience = patience


def no_workspace(host: str, origin: str, why: str) -> WorkspaceError:
    """The error for a host where something else than Databricks answers."""
    return WorkspaceError(
        f"what answers at {host} ({origin}) is no Databricks workspace: {why}. "
        "Check the address."
    )


def unreachable(host: str, origin: str, error: BaseException) -> Exception:
    """The error for a request that was not answered: Transient, or WorkspaceError for good."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return discovery.untrusted(host, origin, error)
    return Transient(str(error), may_have_happened=True)


def explained(host: str, origin: str, error: Exception) -> Exception:
    """The error for one that was answered: Transient, ApiError or WorkspaceError."""
    from databricks.sdk import errors
    from databricks.sdk.errors.base import DatabricksError

    code = str(getattr(error, "error_code", None) or "")
    if isinstance(error, errors.TooManyRequests):
        return Transient(
            str(error),
            may_have_happened=False,
            answered=True,
            retry_after=_retry_after(error),
        )
    overloaded = (
        errors.InternalError,
        errors.TemporarilyUnavailable,
        errors.DeadlineExceeded,
    )
    unmapped = type(error) is DatabricksError  # a proxy's 502, say
    if isinstance(error, overloaded) or unmapped:
        broken = type(error) is errors.InternalError
        return Transient(
            str(error),
            may_have_happened=True,
            answered=True,
            retry_after=_retry_after(error),
            patience=ERROR_PATIENCE_SECONDS if broken else PATIENCE_SECONDS,
        )
    lost = isinstance(error, (errors.NotFound, errors.NotImplemented))
    if lost and code and _PAGE.fullmatch(str(error).strip()):  # no code: an empty answer, to a HEAD
        return no_workspace(host, origin, f"it sent a page, {str(error).strip()!r}")
    if "likely a bug in the Databricks SDK" in str(error):  # an answer it could not read
        return no_workspace(host, origin, f"it sent {type(error).__name__}, no JSON")
    if isinstance(error, (errors.Unauthenticated, errors.PermissionDenied)):
        text = (
            f"the workspace {host} refused: {_without_config(error)} "
            f"(host and credential: {origin})"
        )
    else:
        text = f"the workspace {host} answered: {error}"
    missing = isinstance(error, errors.NotFound) or (
        isinstance(error, errors.BadRequest) and "does not exist" in str(error)
    )
    exists = isinstance(error, errors.ResourceConflict) or "already exists" in str(error)
    return ApiError(text, code, missing=missing, exists=exists)


def _retry_after(error: Exception) -> float:
    """The seconds of a `Retry-After` header; 0.0 without one."""
    return float(getattr(error, "retry_after_secs", None) or 0)


def _without_config(error: Exception) -> str:
    """The platform's own words: the SDK appends its configuration to 401 and 403."""
    return str(error).split(". Config: ")[0].rstrip(".")
