"""What a handler of the API receives and returns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starlette.responses import Response

from lakeflow_local.identity.principals import Principal
from lakeflow_local.server.api.errors import missing, wrong_type
from lakeflow_local.server.workspace import Workspace

ApiResponse = Mapping[str, Any] | Response


@dataclass(frozen=True)
class ApiRequest:
    """One request to the API.

    Attributes:
        workspace: The workspace it is about.
        principal: Who sent it.
        method: The HTTP method.
        host: The URL by which the client addressed the workspace.
        parameters: The parameters of the query and the members of a JSON body or form.
        path: The decoded rest of the path, for routes that end in `{path}`.
        content: For routes that take a file, a temporary file with the body on the file system of
            the mount; it is removed after the request.
        headers: By their names in lower case.
        token_run_id: The job run whose task sent it with its own token.
    """

    workspace: Workspace
    principal: Principal
    method: str
    host: str
    parameters: Mapping[str, Any]
    path: str
    content: Path | None
    headers: Mapping[str, str] = field(default_factory=dict)
    token_run_id: int | None = None

    def within(self, parameters: Mapping[str, Any]) -> ApiRequest:
        """Return a request whose parameters are an object inside these."""
        return replace(self, parameters=parameters, path="", content=None)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string parameter.

        Raises:
            ApiError: It is missing or has another type.
        """
        value = self.parameters.get(name, default)
        if value is None:
            raise missing(name)
        if not isinstance(value, str):
            raise wrong_type(name, "string")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer parameter, which may be sent as a string."""
        value: object = self.parameters.get(name, default)
        if value is None:
            raise missing(name)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise wrong_type(name, "integer")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean parameter; False if it is missing."""
        value = self.parameters.get(name, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise wrong_type(name, "boolean")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a parameter that is an object; empty if it is missing."""
        value = self.parameters.get(name) or {}
        if not isinstance(value, dict):
            raise wrong_type(name, "object")
        return value

    def objects(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return a parameter that is a list of objects; empty if it is missing."""
        value = self.parameters.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise wrong_type(name, "list of objects")
        return value


def check_strings(values: Any, name: str) -> None:
    """Raise a 400 unless a value is missing or a list of strings."""
    if values is not None and not (
        isinstance(values, list) and all(isinstance(value, str) for value in values)
    ):
        raise wrong_type(name, "list of strings")
