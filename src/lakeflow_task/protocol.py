"""The call: arguments and environment of one run, encoded in one Databricks job parameter.

Arguments are data. Databricks replaces `{{...}}` in parameters by literal text before a task sees
them (dynamic value references), so a call is ASCII JSON without `{{` and `}}`, whatever the
arguments are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ENTRY_POINT = "lakeflow-task"
"""The name of the entry point that a job calls."""

CALL_LIMIT = 10_000
"""The most bytes that a call may have as JSON. The Jobs API documents it for `python_params` of
run-now and none for `job_parameters`, for which it is assumed too."""


class Call(NamedTuple):
    """Arguments, environment variables (name, value) and secret scope of one run."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    scope: str | None = None


def encode_call(argv: Sequence[str], env: Mapping[str, str], scope: str | None) -> str:
    """Return the value of the job parameter `lakeflow_call`.

    Raises ValueError for text that a process cannot receive (a NUL character, a lone surrogate, a
    malformed variable name), and for a call over `CALL_LIMIT`.
    """
    for ordinal, argument in enumerate(argv, 1):
        _check_text(argument, f"argument {ordinal}")
    for name, value in env.items():
        _check_variable(name, value)
    if scope is not None:
        _check_text(scope, "the secret scope")
    # All braces but the outer ones are in strings, where `_dumps` escapes them.
    parts = (
        f'"argv": {_dumps(list(argv))}',
        f'"env": {_dumps([[name, value] for name, value in env.items()])}',
        f'"scope": {_dumps(scope)}',
    )
    text = "{" + ", ".join(parts) + "}"
    size = len(json.dumps(text))
    if size > CALL_LIMIT:
        raise ValueError(
            f"the arguments and environment of one run have {size} bytes as JSON; Databricks "
            f"accepts {CALL_LIMIT}\nhint: put large data into a file and pass its path"
        )
    return text


def decode_call(text: str) -> Call:
    """Decode what `encode_call` returned. Raises ValueError for any other text."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the job parameter lakeflow_call is not JSON ({error})") from None
    is_call = isinstance(raw, dict) and set(raw) == {"argv", "env", "scope"}
    if not (
        is_call
        and _is_texts(raw["argv"])
        and isinstance(raw["env"], list)
        and all(_is_texts(pair) and len(pair) == 2 for pair in raw["env"])
        and (raw["scope"] is None or isinstance(raw["scope"], str))
    ):
        raise ValueError(
            "the job parameter lakeflow_call is not of the form "
            '{"argv": [text, ...], "env": [[name, value], ...], "scope": text or null}'
        )
    for ordinal, argument in enumerate(raw["argv"], 1):
        _check_text(argument, f"argument {ordinal}")
    for name, value in raw["env"]:
        _check_variable(name, value)
    return Call(tuple(raw["argv"]), tuple((n, v) for n, v in raw["env"]), raw["scope"])


def _dumps(value: object) -> str:
    return json.dumps(value).replace("{", "\\u007b").replace("}", "\\u007d")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _check_variable(name: str, value: str) -> None:
    if not name or "=" in name:
        raise ValueError(f"{name!r} is not a valid name of an environment variable")
    _check_text(name, f"the name of the environment variable {name!r}")
    _check_text(value, f"the value of the environment variable {name}")


def _check_text(text: str, what: str) -> None:
    if "\0" in text:
        raise ValueError(f"{what} has a NUL character, which no process can receive: {text!r}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{what} has a lone surrogate, which is not valid text: {text!r}")
