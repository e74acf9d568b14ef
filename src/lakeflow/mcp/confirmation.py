"""Whether somebody said yes: asked by elicitation where the client can, else by `confirm`."""

from __future__ import annotations

from typing import Annotated

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit
from pydantic import BaseModel, Field

from lakeflow.errors import Refused
from lakeflow.mcp.sanitize import clean


class Yes(BaseModel):
    """What a person is asked for."""

    yes: Annotated[bool, Field(title="Do it", description="Whether this is to be done.")] = False


class NotAsked(Yes):
    """The client cannot ask a person, or there is nothing to ask."""


Consent = ElicitationResult[Yes]


def can_ask(ctx: Context) -> bool:
    """Whether the client says that it can show a question to a person (MCP, elicitation)."""
    capabilities = ctx.client_capabilities
    found = None if capabilities is None else capabilities.elicitation
    return found is not None and (found.form is not None or found.url is None)


def question(lines: list[str], most: int = 20) -> Elicit[Yes]:
    """The question whether these steps are to be done, of which `most` are shown."""
    shown = [*lines[:most], *([f"… {len(lines) - most} more"] if len(lines) > most else [])]
    return Elicit(clean("\n".join(["An agent asks to do this:", *shown])), Yes)


def require(consent: Consent, confirm: bool, what: str) -> None:
    """Raises Refused unless somebody said yes. A person's no counts, whatever `confirm` is."""
    if not isinstance(consent, AcceptedElicitation):
        raise Refused(
            f"a person was asked to {what}, and did not say yes. Nothing was changed. Don't ask "
            "for the same again unless they want it."
        )
    if isinstance(consent.data, NotAsked):
        if not confirm:
            raise Refused(
                f"to {what} needs a yes. Ask the person you work for, then send the same call with "
                "confirm=true. Nothing was changed."
            )
    elif not consent.data.yes:
        raise Refused(f"a person was asked to {what}, and said no. Nothing was changed.")
