"""What every endpoint gets and may answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from starlette.responses import Response

from lakeflow_local.identity.principals import Principal
from lakeflow_local.server.workspace import Workspace

Answer = Mapping[str, Any] | Response
Body = Literal["json", "form", "form-file", "file"]


@dataclass(frozen=True)
class Call:
    """One request. `parameters` are the query's, or the members of a JSON body.

    `path` is the decoded rest of the path where the route ends in one. `content` is the body of
    routes that take a file: a whole draft on the mount's file system, removed after the call.
    Names of `headers` are small letters. `me` is who asks, by a task's token as the run `of_run`.
    """

    workspace: Workspace
    me: Principal
    method: str
    host: str
    parameters: Mapping[str, Any]
    path: str
    content: Path | None
    headers: Mapping[str, str] = field(default_factory=dict)
    of_run: int | None = None

    def within(self, parameters: Mapping[str, Any]) -> Call:
        """The same request, looking at an object inside its parameters."""
        return replace(self, parameters=parameters, path="", content=None)

    def text(self, name: str, default: str | None = None) -> str:
        """A parameter that is a text. Raises a 400 where it is missing or something else."""
        value = self.parameters.get(name, default)
        if value is None:
            raise missing(name)
        if not isinstance(value, str):
            raise wrong_type(name, "string")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A parameter that is a whole number, or a text that is one."""
        value: object = self.parameters.get(name, default)
        if value is None:
            raise missing(name)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise wrong_type(name, "integer")
        return value

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false where it is missing."""
        value = self.parameters.get(name, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise wrong_type(name, "boolean")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A parameter that is an object; empty where it is missing."""
        value = self.parameters.get(name) or {}
        if not isinstance(value, dict):
            raise wrong_type(name, "object")
        return value

    def objects(self, name: str) -> Sequence[Mapping[str, Any]]:
        """A parameter that is a list of objects; empty where it is missing."""
        value = self.parameters.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise wrong_type(name, "list of objects")
        return value


@dataclass(frozen=True)
class Route:
    """`path` ends in `{path}` where the rest of the path is a parameter.

    Whoever has the address of a presigned route may use it (presigned.py): it asks for no token.
    """

    method: str
    path: str
    answer: Callable[[Call], Answer]
    body: Body = "json"
    limit: int = 10 * 1024 * 1024
    is_presigned: bool = False


class ApiError(Exception):
    """An answer that is an error: `{"error_code": ..., "message": ...}`."""

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


def not_served(what: str) -> ApiError:
    """Refuse what Databricks does and this workspace does not.

    400 is a status that no client retries or takes for a missing resource.
    """
    return ApiError(400, "NOT_IMPLEMENTED", f"The local workspace does not serve {what}.")


def check_texts(values: Any, name: str) -> None:
    """Raise the error for what is neither missing nor a list of texts."""
    if values is not None and not (
        isinstance(values, list) and all(isinstance(value, str) for value in values)
    ):
        raise wrong_type(name, "list of strings")
