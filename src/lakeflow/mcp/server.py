"""The MCP server: readable errors, strict arguments, bounded and redacted results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

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
from lakeflow.mcp.gateway import Gateway
from lakeflow.mcp.sanitize import clean, sanitize_json
from lakeflow.mcp.stdio import message_streams

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # pants: no-infer-dep

MAX_RESULT_CHARACTERS = 80_000
"""Of one result: clients cut results at about 25,000 tokens."""

_MAX_ERROR_CHARACTERS = 8000
"""Of an error: some clients cut errors at 11,000."""


class LakeflowServer(MCPServer[Any]):
    """An MCP server whose tools share a gateway and whose responses all pass its redactor."""

    def __init__(self, gateway: Gateway, *, tools: Sequence[Tool], instructions: str) -> None:
        super().__init__(
            "lakeflow",
            title="lakeflow",
            version=__version__,
            instructions=instructions,
            tools=list(tools),
            log_level="WARNING",
            middleware=[self._redact_response],
        )
        self.gateway = gateway
        self._redact = gateway.redact
        self._parameters = {tool.name: tool.parameters["properties"] for tool in tools}

    async def serve(self, stdin: TextIO, stdout: TextIO) -> None:
        """Serve the client at the other end of two streams until it closes them."""
        server = self._lowlevel_server
        async with message_streams(stdin, stdout) as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. The model reads the text of a `LakeflowError`.

        A null argument counts as left out: some clients send every parameter.
        """
        known = self._parameters.get(name, {})
        arguments = {k: v for k, v in arguments.items() if v is not None or k not in known}
        try:
            result = await super().call_tool(name, arguments, context)
        except ToolError as error:
            raise self._readable(name, error) from None
        if isinstance(result, InputRequiredResult) or result.structured_content is None:
            return result
        structured = self.sanitize(result.structured_content)
        text = json.dumps(structured, ensure_ascii=False)
        if len(text) > MAX_RESULT_CHARACTERS:
            raise ToolError(
                f"The result has {len(text):,} characters, more than {MAX_RESULT_CHARACTERS:,}.\n"
                "hint: request less, with limit, lines or max_bytes."
            )
        content = [TextContent(type="text", text=text)]
        return CallToolResult(content=list(content), structured_content=structured)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource. The client reads the text of a `LakeflowError`."""
        try:
            return await super().read_resource(uri, context)
        except ResourceError as error:
            cause = _lakeflow_error(error)
            if cause is None:
                raise
            kind = ResourceNotFoundError if isinstance(cause, UsageError) else ResourceError
            raise kind(self._sanitize_error(str(cause))) from None

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Render a prompt. Raises MCPError with the names of its arguments."""
        known = {p.name: [a.name for a in p.arguments or []] for p in await self.list_prompts()}
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"unknown prompt; available: {', '.join(known)}")
        if {*(arguments or {})} != {*known[name]}:
            raise MCPError(INVALID_PARAMS, f"{name} takes {', '.join(known[name])}")
        return await super().get_prompt(name, arguments, context)

    def sanitize(self, value: Any) -> Any:
        """Return a JSON value as clients may see it."""
        return sanitize_json(value, self._redact)

    def _readable(self, name: str, error: ToolError) -> ToolError:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            return ToolError(self._sanitize_error(self._invalid_arguments(name, cause)))
        expected = _lakeflow_error(error)
        if isinstance(expected, WorkspaceError):
            self.gateway.reconnect()
        if expected is not None:
            return ToolError(self._sanitize_error(str(expected)))
        if isinstance(error, UnexpectedToolError):
            return error
        return ToolError(self._sanitize_error(str(error)))

    def _invalid_arguments(self, name: str, error: ValidationError) -> str:
        """Describe what is wrong with the arguments of a call, without their values."""
        lines = []
        for found in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(str(part) for part in found["loc"]) or "arguments"
            unknown = found["type"] == "extra_forbidden"
            lines.append(f"{where}: {'unknown argument' if unknown else found['msg']}")
        known = ", ".join(self._parameters.get(name, ()))
        return "\n".join([f"Invalid arguments, nothing was done. {name} takes {known}.", *lines])

    def _sanitize_error(self, text: str) -> str:
        text = self._redact(clean(text))
        cut = len(text) > _MAX_ERROR_CHARACTERS
        return f"{text[:_MAX_ERROR_CHARACTERS]} …" if cut else text

    async def _redact_response(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Remove secrets from every response, whatever produced it."""
        try:
            result = await call_next(ctx)
        except MCPError as error:
            code, message = error.error.code, self._redact_json(error.error.message)
            raise MCPError(code, message, self._redact_json(error.error.data)) from None
        if isinstance(result, BaseModel):
            result = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return cast("HandlerResult", self._redact_json(result))

    def _redact_json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {key: self._redact_json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact_json(item) for item in value]
        return value


def gateway_of(ctx: Context[Any, Any]) -> Gateway:
    """Return the gateway of the server that a tool belongs to."""
    server = ctx.mcp_server
    assert isinstance(server, LakeflowServer)
    return server.gateway


def as_json(ctx: Context[Any, Any], result: DataclassInstance) -> str:
    """Return a result as the text of a resource."""
    server = ctx.mcp_server
    assert isinstance(server, LakeflowServer)
    return json.dumps(server.sanitize(dataclasses.asdict(result)), ensure_ascii=False)


def strict_tool(function: Callable[..., Any], annotations: ToolAnnotations) -> Tool:
    """Create a tool that refuses unknown arguments, which the SDK would drop silently."""
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
    """Return the LakeflowError that caused an error of the SDK, if one did."""
    while error is not None:
        if isinstance(error, LakeflowError):
            return error
        error = error.__cause__
    return None
