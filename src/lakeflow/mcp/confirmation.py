"""Confirmation by a person: requested from the client if it can ask, else given by `confirm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit
from pydantic import BaseModel, Field

from lakeflow.errors import Refused
from lakeflow.mcp.sanitize import clean


class Answer(BaseModel):
    """A person's answer."""

    yes: Annotated[bool, Field(title="Confirm", description="Whether to do this.")] = False


class NoAnswer(Answer):
    """The client cannot ask a person, or there is nothing to ask."""


Confirmation = ElicitationResult[Answer]
"""What a tool with a question receives: the answer, a refusal to answer, or `NoAnswer`."""


def can_ask(ctx: Context) -> bool:
    """Return whether the client can show a question to a person (MCP, elicitation)."""
    capabilities = ctx.client_capabilities
    found = None if capabilities is None else capabilities.elicitation
    return found is not None and (found.form is not None or found.url is None)


def question(steps: Sequence[str], limit: int = 20) -> Elicit[Answer]:
    """Ask whether to do these steps, and show the first `limit` of them."""
    shown = [*steps[:limit], *([f"… {len(steps) - limit} more"] if len(steps) > limit else [])]
    return Elicit(clean("\n".join(["An agent asks to do this:", *shown])), Answer)


def require(confirmation: Confirmation, confirm: bool, action: str) -> None:
    """Raise Refused unless the action is confirmed. A person's answer overrides `confirm`."""
    if not isinstance(confirmation, AcceptedElicitation):
        raise Refused(
            f"The user was asked to {action} and did not confirm. Nothing was changed. Do not "
            "repeat the call unless the user wants it."
        )
    if isinstance(confirmation.data, NoAnswer):
        if not confirm:
            raise Refused(
                f"Confirmation needed to {action}. Nothing was changed.\n"
                "hint: ask the user, then send the same call with confirm=true."
            )
    elif not confirmation.data.yes:
        raise Refused(f"The user was asked to {action} and said no. Nothing was changed.")
