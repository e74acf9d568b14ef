"""Error responses of the API."""

from __future__ import annotations


class ApiError(Exception):
    """An error response: `{"error_code": ..., "message": ...}`."""

    def __init__(
        self, status: int, code: str | int, message: str, *, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason


def invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def missing(name: str) -> ApiError:
    return invalid(f"Missing required field: {name}")


def wrong_type(name: str, expected: str) -> ApiError:
    message = f"Could not parse request object: Expected {expected} for field '{name}'"
    return ApiError(400, "MALFORMED_REQUEST", message)


def denied(message: str) -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message)


def not_served(what: str) -> ApiError:
    """Refuse what Databricks supports and this workspace does not.

    400 is a status that no client retries or takes for a missing resource.
    """
    return ApiError(400, "NOT_IMPLEMENTED", f"The local workspace does not serve {what}.")
