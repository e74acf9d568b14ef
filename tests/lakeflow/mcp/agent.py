"""A client such as an agent's: it calls tools and reads what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp_types import CallToolResult, TextContent

READ_SECONDS = 300
"""How long an answer may take, on a machine that is busy with other tests too."""


class Failed(Exception):
    """A tool answered with an error; its text is what the model reads."""


class Agent:
    """A client that is connected."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        """The structured answer of a tool. Raises Failed with the text of its error."""
        result = await self.client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        if result.is_error:
            raise Failed(text_of(result))
        return result.structured_content

    async def tools(self) -> list[str]:
        """The names of the tools."""
        return [tool.name for tool in (await self.client.list_tools()).tools]


def text_of(result: CallToolResult) -> str:
    """The text of a result."""
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


@asynccontextmanager
async def connected(server: Any, mode: str = "auto", **options: Any) -> AsyncIterator[Agent]:
    """A client of a server: one in this process, or the command that starts one."""
    async with Client(server, mode=mode, read_timeout_seconds=READ_SECONDS, **options) as client:
        yield Agent(client)
