"""Redaction of secrets in what leaves this process: credentials, and the workspace's address.

The launcher hides its own credentials from its output through `credentials` (see
`lakeflow.cli.main`); the MCP server has a second redactor, which hides more.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterable
from itertools import takewhile
from typing import Any, TextIO

HIDDEN = "<redacted>"
HOST = "<workspace>"

_SHORTEST_SECRET = 4
"""Characters. Shorter values would match everywhere."""

_PIECE = 12
"""Characters of a secret that may remain visible where a text was cut within it."""

_SECRET_VARIABLES = (
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_PASSWORD",
    "ARM_CLIENT_SECRET",
    "GOOGLE_CREDENTIALS",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""Credentials that the SDK reads from the environment (databricks-sdk, config.Config)."""


class Redactor:
    """Replaces secrets in text: credentials, values of secrets, the workspace's address."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._hosts: set[str] = set()
        self._secret_pattern: re.Pattern[str] | None = None
        self._host_pattern: re.Pattern[str] | None = None

    @classmethod
    def for_environment(cls, secret_env_vars: Iterable[str] = ()) -> Redactor:
        """Hide the credentials in this process's environment, and these variables."""
        redact = cls()
        redact.hide_environment(secret_env_vars)
        return redact

    def hide_environment(self, secret_env_vars: Iterable[str] = ()) -> None:
        """Hide the credentials in this process's environment, and these variables."""
        names = (*_SECRET_VARIABLES, *secret_env_vars)
        self.hide(os.environ[name] for name in names if os.environ.get(name))
        host = os.environ.get("DATABRICKS_HOST", "")
        self.hide([host.rpartition("@")[0].rpartition("://")[2].partition(":")[2]])

    def hide(self, values: Iterable[str]) -> None:
        """Hide these values from now on, as a whole and line by line."""
        for value in filter(None, values):
            import json  # not at the start of commands that have nothing to hide

            quoted = urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1]
            parts = {part.strip() for part in (value, *value.splitlines(), *quoted)}
            self._secrets |= {part for part in parts if len(part) >= _SHORTEST_SECRET}
        self._secret_pattern = _any_of(self._secrets)

    def hide_host(self, host: str) -> None:
        """Hide the workspace's address, with and without scheme, user, port and path.

        The names of the local machine are hidden only together with a port.
        """
        address = host.strip().rstrip("/")
        address = address.partition("://")[2] or address
        authority = re.split("[/?#]", address, maxsplit=1)[0]
        user, _, name_and_port = authority.rpartition("@")
        name = name_and_port.partition(":")[0]
        forms = {address, authority, name_and_port, name} - {"127.0.0.1", "localhost"}
        self._hosts |= {form for form in forms if len(form) >= _SHORTEST_SECRET}
        self._host_pattern = _any_of(self._hosts, before="(?:https?://)?", flags=re.IGNORECASE)
        self.hide([user.partition(":")[2]])

    def __call__(self, text: str) -> str:
        """Replace every hidden value, and every beginning of a secret of `_PIECE` characters.

        A text may have been cut within a secret.
        """
        if self._host_pattern is not None:
            text = self._host_pattern.sub(HOST, text)
        if self._secret_pattern is not None:
            text = self._secret_pattern.sub(HIDDEN, text)
        for secret in list(self._secrets):  # threads may add some
            if len(secret) > _PIECE:
                text = _without_beginning(text, secret)
        return text


def _any_of(values: Iterable[str], *, before: str = "", flags: int = 0) -> re.Pattern[str] | None:
    longest_first = sorted(values, key=len, reverse=True)
    if not longest_first:
        return None
    return re.compile(f"{before}(?:{'|'.join(map(re.escape, longest_first))})", flags)


def _without_beginning(text: str, secret: str) -> str:
    """Replace the longest beginning of a secret wherever one occurs."""
    pieces = []
    done = 0
    while (at := text.find(secret[:_PIECE], done)) >= 0:
        pieces += [text[done:at], HIDDEN]
        pairs = zip(secret, text[at : at + len(secret)], strict=False)
        done = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return "".join([*pieces, text[done:]]) if pieces else text


class RedactedStream:
    """A text stream that redacts line by line. Replaces `sys.stderr` and `sys.stdout`."""

    def __init__(self, stream: TextIO, redact: Redactor) -> None:
        self._stream = stream
        self._redact = redact
        self._partial = ""

    def write(self, text: str) -> int:
        """Write the complete lines and keep the rest."""
        *lines, self._partial = (self._partial + text).split("\n")
        if lines:
            self._stream.write(self._redact("\n".join(lines) + "\n"))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing: complete lines are flushed, and a secret may not be written in two pieces."""

    def finish(self) -> None:
        """Write the incomplete last line."""
        if self._partial:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RedactedOutput:
    """A text stream that redacts each piece as it is written: prompts and progress have no lines.

    Tracebacks, warnings and log records of all threads are written to `sys.stderr`, and so redacted
    when this is what it is.
    """

    def __init__(self, stream: TextIO, redact: Redactor) -> None:
        self.unredacted = stream
        self._redact = redact

    def write(self, text: str) -> int:
        """Write a text without its secrets."""
        self.unredacted.write(self._redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def encoding(self) -> str:
        """UTF-8, since Click bypasses a stream of ASCII; what this one lacks is escaped."""
        return "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unredacted, name)


credentials = Redactor()
"""Hides the credentials that this process has read so far."""
