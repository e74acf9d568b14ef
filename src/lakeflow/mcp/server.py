"""The server: MCP's own, with errors for people, unknown arguments refused, and nothing secret."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ResourceNotFoundError,
    ToolError,
    UnexpectedToolError,
)
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    TextContent,
    ToolAnnotations,
)
from pydantic import AnyUrl, BaseModel, ConfigDict, ValidationError

from lakeflow import __version__
from lakeflow.errors import LakeflowError, UsageError, WorkspaceError
from lakeflow.mcp.guard import Guard
from lakeflow.mcp.sanitize import Redactor, clean, told
from lakeflow.mcp.stdio import message_streams

MOST_CHARACTERS = 80_000
"""Of one answer: clients cut what has more than some 25,000 tokens."""

_MOST_OF_ERRORS = 8000
"""Characters of an error, which some clients cut at 11,000."""


class LakeflowServer(MCPServer[Any]):
    """An MCP server whose tools have a guarded launcher, and whose answers pass a redactor."""

    def __init__(
        self, guard: Guard, redact: Redactor, *, tools: Sequence[Tool], instructions: str
    ) -> None:
        super().__init__(
            "lakeflow",
            title="lakeflow",
            version=__version__,
            instructions=instructions,
            tools=list(tools),
            log_level="WARNING",
            middleware=[self._redacted],
        )
        self.guard = guard
        self._redact = redact
        self._takes = {tool.name: tool.parameters["properties"] for tool in tools}

    async def serve(self, stdin: TextIO, stdout: TextIO) -> None:
        """Serve the client at the other ends of two streams, until it closes its own."""
        server = self._lowlevel_server
        async with message_streams(stdin, stdout) as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. A `LakeflowError` is told to the model in its own words.

        An argument that is null is one that was left out: some clients send all there are.
        """
        takes = self._takes.get(name, {})
        arguments = {k: v for k, v in arguments.items() if v is not None or k not in takes}
        try:
            result = await super().call_tool(name, arguments, context)
        except ToolError as error:
            raise self._explained(name, error) from None
        if isinstance(result, InputRequiredResult) or result.structured_content is None:
            return result
        answer = self.told(result.structured_content)
        text = json.dumps(answer, ensure_ascii=False)
        if len(text) > MOST_CHARACTERS:
            raise ToolError(
                f"the answer has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are "
                "sent: ask for less of it, with limit, lines or the like"
            )
        content = [TextContent(type="text", text=text)]
        return CallToolResult(content=list(content), structured_content=answer)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource. A `LakeflowError` is told in its own words."""
        try:
            return await super().read_resource(uri, context)
        except ResourceError as error:
            cause = _lakeflow_error(error)
            if cause is None:
                raise
            kind = ResourceNotFoundError if isinstance(cause, UsageError) else ResourceError
            raise kind(self._told(str(cause))) from None

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt with its arguments. Raises MCPError that names what it takes."""
        takes = {p.name: [a.name for a in p.arguments or []] for p in await self.list_prompts()}
        if name not in takes:
            raise MCPError(INVALID_PARAMS, f"there is no such prompt; there are {', '.join(takes)}")
        if {*(arguments or {})} != {*takes[name]}:
            raise MCPError(INVALID_PARAMS, f"{name} takes {', '.join(takes[name])}")
        return await super().get_prompt(name, arguments, context)

    def told(self, value: Any) -> Any:
        """A JSON value as clients may see it."""
        return told(value, self._redact)

    def _explained(self, name: str, error: ToolError) -> ToolError:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            return ToolError(self._told(self._misused(name, cause)))
        known = _lakeflow_error(error)
        if isinstance(known, WorkspaceError):
            self.guard.reconnect()
        if known is not None:
            return ToolError(self._told(str(known)))
        return (
            error if isinstance(error, UnexpectedToolError) else ToolError(self._told(str(error)))
        )

    def _misused(self, name: str, error: ValidationError) -> str:
        """What is wrong with the arguments of a call; their values are not repeated."""
        lines = []
        for found in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(str(part) for part in found["loc"]) or "the arguments"
            unknown = found["type"] == "extra_forbidden"
            lines.append(f"{where}: {'there is no such argument' if unknown else found['msg']}")
        takes = ", ".join(self._takes.get(name, ()))
        return "\n".join([f"nothing was done. {name} takes {takes}.", *lines])

    def _told(self, text: str) -> str:
        text = self._redact(clean(text))
        return text if len(text) <= _MOST_OF_ERRORS else text[:_MOST_OF_ERRORS] + " …"

    async def _redacted(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Whatever is answered, without what is secret: the last one to see it."""
        try:
            result = await call_next(ctx)
        except MCPError as error:
            code, message = error.error.code, self._redact(error.error.message)
            raise MCPError(code, message, self._hidden(error.error.data)) from None
        if isinstance(result, BaseModel):
            result = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return cast("HandlerResult", self._hidden(result))

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {key: self._hidden(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        return value


def guard_of(ctx: Context[Any, Any]) -> Guard:
    """What a tool works with."""
    server = ctx.mcp_server
    assert isinstance(server, LakeflowServer)
    return server.guard


def as_json(ctx: Context[Any, Any], answer: Any) -> str:
    """An answer, a dataclass, as the text of a resource."""
    server = ctx.mcp_server
    assert isinstance(server, LakeflowServer)
    return json.dumps(server.told(dataclasses.asdict(answer)), ensure_ascii=False)


def strict(function: Callable[..., Any], annotations: ToolAnnotations) -> Tool:
    """A tool that refuses arguments it does not have: the SDK would drop them silently."""
    description = " ".join((function.__doc__ or "").split())
    tool = Tool.from_function(function, description=description, annotations=annotations)
    loose = tool.fn_metadata.arg_model
    model: type[BaseModel] = type(
        loose.__name__, (loose,), {"model_config": ConfigDict(extra="forbid")}
    )
    tool.fn_metadata.arg_model = cast("Any", model)
    tool.parameters = model.model_json_schema(by_alias=True)
    return tool


def _lakeflow_error(error: BaseException | None) -> LakeflowError | None:
    """What was raised below an error of the SDK's."""
    while error is not None:
        if isinstance(error, LakeflowError):
            return error
        error = error.__cause__
    return None
