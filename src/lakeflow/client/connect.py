"""Connect to the workspace that the options, environment or configuration file name."""

from __future__ import annotations

import configparser
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from lakeflow._version import __version__
from lakeflow.client import discovery, redaction, sdk
from lakeflow.client.configuration import REMEDY, choose, syntax_error
from lakeflow.client.retry import PATIENCE_SECONDS, RetryPolicy
from lakeflow.client.workspace import Workspace
from lakeflow.errors import WorkspaceError
from lakeflow.state.hashing import digest

if TYPE_CHECKING:
    from databricks.sdk.clock import Clock
    from databricks.sdk.core import Config


def connect(
    *,
    local: bool = False,
    profile: str | None = None,
    read_only: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Workspace:
    """Connect to a workspace.

    `local` and `profile` have precedence over LAKEFLOW_WORKSPACE (`auto`, `local` or `databricks`).
    `auto` takes Databricks if anything is configured, otherwise the local workspace, except where
    `CI` is set. A `read_only` workspace refuses requests that could change something; `patience` is
    the longest time in seconds that a request is repeated.

    Raises UsageError for contradictory settings, and WorkspaceError for a broken configuration or a
    host that does not reply within a few seconds.
    """
    choice = choose(os.environ, local=local, profile=profile)
    credential = digest(choice.settings.get("token") or os.environ.get("DATABRICKS_TOKEN") or "")
    document, is_reachable = None, True
    if choice.host is not None:
        document = discovery.cached(choice.host, credential)
        # A host whose document is cached shows with the first request whether it still replies.
        is_reachable = choice.is_up or document is None
        if document is None:
            document = discovery.fetch(choice.host, credential, choice.origin)
    sdk.load()
    from databricks.sdk.core import with_product

    with_product("lakeflow", __version__)
    sdk_log = logging.getLogger("databricks.sdk")
    if sdk_log.level == logging.NOTSET:  # it warns if a workspace has no discovery document
        sdk_log.setLevel(logging.ERROR)
    try:
        config = _config(choice.settings, document)
    except configparser.Error as error:  # the SDK reads the file if the host has no credential
        raise WorkspaceError(
            f"cannot read the Databricks configuration: {syntax_error(error)}"
        ) from None
    except (ValueError, TypeError, AttributeError, LookupError, OSError) as error:
        raise WorkspaceError(f"cannot log in with {choice.origin}: {error}") from error
    if not config.host:
        raise WorkspaceError(f"{choice.origin} names no host\nhint: {REMEDY}")
    workspace = Workspace(
        config,
        choice.origin,
        choice.notice,
        is_reachable=is_reachable,
        read_only=read_only,
        retries=RetryPolicy(patience),
    )
    redaction.credentials.hide(workspace.secret_values())
    return workspace


def _config(settings: Mapping[str, Any], document: Mapping[str, Any] | None) -> Config:
    """Return the SDK's configuration, without a request for a discovery document that is known.

    With a token only the workspace's id is needed; the SDK resolves other kinds of authentication.
    """
    from databricks.sdk.core import Config

    Config.attributes()  # cached on the class, so that the subclass does not compute it again

    class CachedConfig(Config):
        def _resolve_host_metadata(self) -> None:
            if document is None or not self.token or self.auth_type not in (None, "", "pat"):
                super()._resolve_host_metadata()
            elif not self.workspace_id and document.get("workspace_id"):
                self.workspace_id = document["workspace_id"]

    clock = cast("Clock", _SkippingClock())
    return CachedConfig(**settings, retry_timeout_seconds=1, clock=clock)


class _SkippingClock(threading.local):
    """A clock that skips each pause, so that the SDK gives up after one attempt.

    The SDK would also repeat a POST whose reply was lost, which creates two jobs instead of one.
    """

    def __init__(self) -> None:
        self._skipped = 0.0

    def time(self) -> float:
        return time.time() + self._skipped

    def sleep(self, seconds: float) -> None:
        self._skipped += 3600.0  # past `retry_timeout_seconds`, however long the pause
