"""What every page is made with: who visits it, what it asks of the API, and the templates."""

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

HERE = Path(__file__).parent

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src "
        "'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`: forms would then come without their origin.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Visit:
    """One request of a page by somebody who may look. `session` is None for a bearer token.

    `api` are the API's routes by method and path.
    """

    request: Request
    workspace: Workspace
    me: Principal
    api: Mapping[tuple[str, str], ApiRoute]
    login: Login
    session: str | None

    def ask(self, method: str, path: str, **parameters: Any) -> Mapping[str, Any]:
        """What the API answers to a call."""
        request = self.request
        host = f"{request.url.scheme}://{request.headers.get('host', '')}"
        api_request = ApiRequest(self.workspace, self.me, method, host, parameters, "", None)
        response = respond(self.api[method, path], api_request)
        assert isinstance(response, Mapping)
        return response

    def number(self, name: str) -> int:
        """A number of the path."""
        return int(self.request.path_params[name])

    def show(self, template: str, **facts: Any) -> Response:
        """A page, made of a template and these facts."""
        form_token = self.login.form_token(self.session) if self.session else None
        path, user = self.request.url.path, self.me.name
        return render(template, path=path, user=user, form_token=form_token, **facts)


Answerer = Callable[[Visit], Response]


def page_token(visit: Visit) -> dict[str, str]:
    token = visit.request.query_params.get("page")
    return {"page_token": token} if token else {}


def more_of(visit: Visit, listed: Mapping[str, Any]) -> str | None:
    """The address of a list's next page."""
    token = listed.get("next_page_token")
    kept = {"active": ""} if "active" in visit.request.query_params else {}
    return f"?{urlencode({**kept, 'page': token})}" if token else None


def problem(status: int, title: str, message: str) -> Response:
    return render("problem.html", status, title=title, message=message)


def render(template: str, status: int = 200, **facts: Any) -> Response:
    return HTMLResponse(_templates().get_template(template).render(facts), status, HEADERS)


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
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
