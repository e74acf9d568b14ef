"""Authenticate requests: by the host name they use, and by their token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass

from starlette.requests import Request

from lakeflow_local.config import ALL_ADDRESSES, LOOPBACK
from lakeflow_local.identity.principals import Principal
from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.workspace import Workspace


class Hosts:
    """The host names that a server accepts, by the address that it listens on.

    A web page could make its own name resolve to this server (DNS rebinding), but not an
    address. So a server that listens on all addresses accepts any address, and the name of its
    machine.
    """

    def __init__(self, address: str = LOOPBACK) -> None:
        self._names = {LOOPBACK, "localhost", address}
        self._accepts_addresses = address == ALL_ADDRESSES
        if address != LOOPBACK:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def accepts(self, host: str) -> bool:
        """Return whether a host name, without its port, is one of this server."""
        return host in self._names or (self._accepts_addresses and _is_address(host))

    def __str__(self) -> str:
        return ", ".join(sorted(self._names))


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def check_host(request: Request) -> None:
    """Refuse a host name that is not this server's.

    Raises:
        ApiError: 403.
    """
    given = request.headers.get("host", "").lower()
    hosts: Hosts = request.app.state.hosts
    if not hosts.accepts(given.rpartition(":")[0] or given):
        raise ApiError(403, 403, f"The local workspace responds to {hosts} only.")


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `run_id` is the job run if a task sent it with its own token."""

    principal: Principal
    run_id: int | None = None


class Authenticator:
    """Find the principal of a bearer token: the owner's, another principal's or a task's."""

    def __init__(self, workspace: Workspace, owner_token: str) -> None:
        self._workspace = workspace
        self._owner_token = owner_token

    def authenticate(self, request: Request) -> Caller:
        """Return who sent a request.

        Raises:
            ApiError: 401 without a token, 403 for a wrong token or host name.
        """
        token = _bearer_token(request)
        if self._is_owner(token):
            return Caller(self._workspace.principals.owner)
        if principal := self._workspace.principals.by_token(token):
            return Caller(principal)
        if task := self._workspace.scheduler.identity_of_token(token):
            return Caller(task.principal, task.job_run_id)
        raise _invalid_token()

    def authenticate_owner(self, request: Request) -> None:
        """Refuse everyone but the workspace's owner.

        Raises:
            ApiError: 401 without a token, 403 for another token or a wrong host name.
        """
        if not self._is_owner(_bearer_token(request)):
            raise _invalid_token()

    def _is_owner(self, token: str) -> bool:
        return hmac.compare_digest(
            token.encode(errors="replace"), self._owner_token.encode(errors="replace")
        )


def _bearer_token(request: Request) -> str:
    check_host(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(
            401,
            401,
            "Credential was not sent or was of an unsupported type for this API. "
            f"[ReqId: {secrets.token_hex(8)}]",
        )
    return token.strip()


def _invalid_token() -> ApiError:
    return ApiError(403, 403, f"Invalid access token. [ReqId: {secrets.token_hex(8)}]")
