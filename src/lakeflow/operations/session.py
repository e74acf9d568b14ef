"""What every operation works with: the workspace, its observers and how it was chosen."""

from __future__ import annotations

import logging
from functools import cached_property

from lakeflow.client.workspace import PATIENCE_SECONDS, Workspace, connect
from lakeflow.operations.observer import OnTransfer, RunObserver, unseen_transfer

_log = logging.getLogger(__name__)


class Session:
    """The workspace, connected to when it is first needed, and who observes runs and transfers."""

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
        """The workspace, connected. Raises what `lakeflow.client.workspace.connect` raises."""
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
    def where(self) -> list[str]:
        """The options that say which workspace, for commands that we print."""
        if self._local:
            return ["--local"]
        return ["--profile", self._profile] if self._profile else []


Context = Session
