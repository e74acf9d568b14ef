"""Who may ask the server: by the name it was called by, and by token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from lakeflow_local.config import ALL_ADDRESSES, LOOPBACK
from lakeflow_local.identity.principals import Principal
from lakeflow_local.server.api.call import ApiError
from lakeflow_local.server.workspace import Workspace

T = TypeVar("T")


class Hosts:
    """The names that a server answers to, by the address that it listens on.

    A web page could make a name of its own lead here (DNS rebinding), but not an address. So one
    that listens everywhere answers to any address, and to the name of its machine.
    """

    def __init__(self, address: str = LOOPBACK) -> None:
        self._names = {LOOPBACK, "localhost", address}
        self._takes_addresses = address == ALL_ADDRESSES
        if address != LOOPBACK:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def knows(self, host: str) -> bool:
        """Whether a request for this host, without its port, is one for this server."""
        return host in self._names or (self._takes_addresses and _is_address(host))

    def __str__(self) -> str:
        return ", ".join(sorted(self._names))


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def check_host(request: Request) -> None:
    """Refuse a host that is not this server's."""
    given = request.headers.get("host", "").lower()
    hosts: Hosts = request.app.state.hosts
    if not hosts.knows(given.rpartition(":")[0] or given):
        raise ApiError(403, 403, f"The local workspace answers to {hosts} only.")


def check_token(request: Request, token: str) -> None:
    """Refuse foreign host names, then who has no bearer token or not this one."""
    find_asker(request, lambda given: _is_equal(given, token) or None)


def find_asker(request: Request, who_is: Callable[[str], T | None]) -> T:
    """Who has the request's bearer token, by what `who_is` knows; not by a foreign host name."""
    check_host(request)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise ApiError(
            401,
            401,
            "Credential was not sent or was of an unsupported type for this API. "
            f"[ReqId: {secrets.token_hex(8)}]",
        )
    found = who_is(given.strip())
    if found is None:
        raise ApiError(403, 403, f"Invalid access token. [ReqId: {secrets.token_hex(8)}]")
    return found


class Askers:
    """Knows who has which token: the workspace's own is in a file, the others are in the store."""

    def __init__(self, workspace: Workspace, token: str) -> None:
        self._workspace = workspace
        self._token = token

    def of_token(self, given: str) -> tuple[Principal, int | None] | None:
        """Who has a token; if it is a task's, whose rights that has, and its job run."""
        if _is_equal(given, self._token):
            return self._workspace.principals.first, None
        if found := self._workspace.principals.by_token(given):
            return found, None
        return self._workspace.engine.of_token(given)


def _is_equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
