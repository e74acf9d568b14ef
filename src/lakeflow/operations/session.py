"""The session of a command: its workspace, and the observers of runs and transfers."""

from __future__ import annotations

import logging
from functools import cached_property

from lakeflow.client.connect import connect
from lakeflow.client.retry import PATIENCE_SECONDS
from lakeflow.client.workspace import Workspace
from lakeflow.errors import UsageError
from lakeflow.operations.observer import OnTransfer, RunObserver, unseen_transfer

_log = logging.getLogger(__name__)


class Session:
    """A workspace, connected when first needed, and the observers of runs and transfers."""

    def __init__(
        self,
        observer: RunObserver,
        on_transfer: OnTransfer = unseen_transfer,
        *,
        local: bool = False,
        profile: str | None = None,
        read_only: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.observer = observer
        self.on_transfer = on_transfer
        self._local = local
        self._profile = profile
        self._read_only = read_only
        self._patience = patience

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace, connected. Raises what `lakeflow.client.connect.connect` raises."""
        workspace = connect(
            local=self._local,
            profile=self._profile,
            read_only=self._read_only,
            patience=self._patience,
        )
        if workspace.notice:
            _log.info(workspace.notice)
        _log.info(f"workspace {workspace.host} ({workspace.origin})")
        return workspace

    @property
    def workspace_options(self) -> list[str]:
        """The options that name the workspace, for commands that are printed."""
        if self._local:
            return ["--local"]
        return ["--profile", self._profile] if self._profile else []

    def check_workspace(self, host: str) -> None:
        """Raise UsageError for a plan that was made for another workspace."""
        if host != self.workspace.host:
            raise UsageError(
                f"this plan is for {host}, not for {self.workspace.host}\nhint: plan again."
            )
