"""Requests for pages of the web UI, and how pages are rendered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lakeflow_local.identity.principals import Principal
from lakeflow_local.server.api.request import ApiRequest
from lakeflow_local.server.api.route import Route as ApiRoute
from lakeflow_local.server.api.route import respond
from lakeflow_local.server.ui import formatting
from lakeflow_local.server.ui.login import Login
from lakeflow_local.server.workspace import Workspace

if TYPE_CHECKING:
    import jinja2

UI_FOLDER = Path(__file__).parent

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src "
        "'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`, with which browsers send forms without their origin.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class PageRequest:
    """A request for a page by an authenticated principal.

    Attributes:
        request: The HTTP request.
        workspace: The workspace to show.
        principal: Who sees the page.
        api: The routes of the API by method and path.
        login: Signs the tokens of forms.
        session: The browser's session; None for a request with a bearer token.
    """

    request: Request
    workspace: Workspace
    principal: Principal
    api: Mapping[tuple[str, str], ApiRoute]
    login: Login
    session: str | None

    def call_api(self, method: str, path: str, **parameters: Any) -> Mapping[str, Any]:
        """Return the API's response to a request of the principal.

        Raises:
            ApiError: The API refuses it.
        """
        request = self.request
        host = f"{request.url.scheme}://{request.headers.get('host', '')}"
        api_request = ApiRequest(self.workspace, self.principal, method, host, parameters, "", None)
        response = respond(self.api[method, path], api_request)
        assert isinstance(response, Mapping)
        return response

    def number(self, name: str) -> int:
        """Return a number in the path."""
        return int(self.request.path_params[name])

    def page_token(self) -> dict[str, str]:
        """Return the API's parameter for the requested page of a list."""
        token = self.request.query_params.get("page")
        return {"page_token": token} if token else {}

    def next_page(self, response: Mapping[str, Any]) -> str | None:
        """Return the link to the next page of a list in an API's response, if there is one."""
        token = response.get("next_page_token")
        filters = {"active": ""} if "active" in self.request.query_params else {}
        return f"?{urlencode({**filters, 'page': token})}" if token else None

    def render(self, template: str, **values: Any) -> Response:
        """Render a template with the navigation and these values."""
        form_token = self.login.form_token(self.session) if self.session else None
        path, user = self.request.url.path, self.principal.name
        return render(template, path=path, user=user, form_token=form_token, **values)


Page = Callable[[PageRequest], Response]


def error_page(status: int, title: str, message: str) -> Response:
    """Render a page that only reports an error."""
    return render("error.html", status, title=title, message=message)


def render(template: str, status: int = 200, **values: Any) -> Response:
    """Render a template."""
    return HTMLResponse(_templates().get_template(template).render(values), status, HEADERS)


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2  # many servers never render a page

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(UI_FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        formatting.duration,
        formatting.iso,
        formatting.moment,
        formatting.parameters_of,
        formatting.plain,
        formatting.pretty,
        formatting.size,
        formatting.state_of,
        formatting.tone,
        formatting.words,
    ):
        environment.filters[function.__name__] = function
    return environment
