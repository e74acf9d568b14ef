"""Messages of the protocol over standard input and output, one in each line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TextIO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
)
from mcp_types.jsonrpc import jsonrpc_message_adapter
from pydantic import ValidationError


class InvalidMessage(Exception):
    """A line that holds no valid message. `response` is the error to send back."""

    def __init__(self, response: JSONRPCError) -> None:
        super().__init__(response.error.message)
        self.response = response


def read_message(line: str) -> JSONRPCMessage:
    """Parse a line of the protocol. Raises InvalidMessage."""
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]
        if reason["type"] == "json_invalid":
            raise _invalid(line, PARSE_ERROR, f"not valid JSON: {reason['ctx']['error']}") from None
        raise _invalid(line, INVALID_REQUEST, "not a JSON-RPC 2.0 message") from None
    # An id that is neither a string nor an integer is ignored, and nobody would get a response.
    if isinstance(message, JSONRPCNotification) and "id" in json.loads(line):
        raise _invalid(line, INVALID_REQUEST, "the id is neither a string nor an integer")
    return message


def _invalid(line: str, code: int, reason: str) -> InvalidMessage:
    error = ErrorData(code=code, message=f"cannot read this message: {reason}")
    return InvalidMessage(JSONRPCError(jsonrpc="2.0", id=_request_id(line), error=error))


def _request_id(line: str) -> str | int | None:
    """Find the id of a request that is not valid; None if it has none that can be sent back."""
    try:
        found = json.loads(line, strict=False, parse_int=_bounded_int)
    except (ValueError, RecursionError):
        return None
    request_id = found.get("id") if isinstance(found, dict) else None
    if isinstance(request_id, str):
        return None if any("\ud800" <= char <= "\udfff" for char in request_id) else request_id
    return request_id if type(request_id) is int else None


def _bounded_int(digits: str) -> int | None:
    """Parse an integer of at most 19 digits: Python refuses thousands of them."""
    return int(digits) if len(digits) <= 20 else None


@asynccontextmanager
async def message_streams(
    stdin: TextIO, stdout: TextIO
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage], MemoryObjectSendStream[SessionMessage]]
]:
    """Read and write messages, one in each line. A line without a valid message gets an error.

    `mcp.server.stdio.stdio_server` leaves such a line without a response, and its sender waiting.
    """
    received, reading = anyio.create_memory_object_stream[SessionMessage]()
    writing, sent = anyio.create_memory_object_stream[SessionMessage]()

    async def read() -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the server is done
            async with received:
                async for line in anyio.wrap_file(stdin):
                    try:
                        message = read_message(line)
                    except InvalidMessage as invalid:
                        await writing.send(SessionMessage(invalid.response))
                    else:
                        await received.send(SessionMessage(message))

    async def write() -> None:
        output = anyio.wrap_file(stdout)
        async with sent:
            async for item in sent:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await output.write(f"{text}\n")
                await output.flush()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(write)
        yield reading, writing
