"""Pages of lists. A page token holds the numbers after which the next page starts."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from lakeflow_local.server.api.errors import invalid
from lakeflow_local.server.api.request import ApiRequest, ApiResponse


def slice_tasks(
    request: ApiRequest, items: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int, str | None]:
    """Return the 100 items of a page, the position of the first, and the next page's token."""
    token = request.text("page_token", "")
    start = decode_token(token, 1)[0] if token else 0
    end = start + 100
    return list(items[start:end]), start, encode_token([end]) if len(items) > end else None


def with_next_page(view: dict[str, Any], token: str | None) -> dict[str, Any]:
    return view | {"next_page_token": token} if token else view


def page_limit(request: ApiRequest, default: int, most: int, zero_is_most: bool = False) -> int:
    limit = request.number("limit", default)
    if limit == 0 and zero_is_most:
        return most
    if not 0 < limit <= most:
        raise invalid(f"limit must be between 1 and {most}, not {limit}.")
    return limit


def page(name: str, items: list[dict[str, Any]], has_more: bool, position: Any) -> ApiResponse:
    response: dict[str, Any] = {"has_more": has_more}
    if items:
        response[name] = items
    if has_more:
        response["next_page_token"] = encode_token(position(items[-1]))
    return response


def after(request: ApiRequest, default: int) -> int:
    token = request.text("page_token", "")
    return decode_token(token, 1)[0] if token else default


def encode_token(numbers: Sequence[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(numbers)).encode()).decode().rstrip("=")


def decode_token(token: str, length: int) -> list[int]:
    try:
        numbers = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if len(numbers) == length and all(type(n) is int and 0 <= n < 2**62 for n in numbers):
            return list(numbers)
    except (ValueError, TypeError):
        pass
    raise invalid(f"'{token[:100]}' is not a page token of this list.")
