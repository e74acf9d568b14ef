"""What every verb works with: the workspace, who watches, and how the workspace was named."""

from __future__ import annotations

from functools import cached_property

from lakeflow.client.workspace import PATIENCE_SECONDS, Workspace, connect
from lakeflow.operations.console import Console


class Session:
    """The workspace, connected to when it is first needed, and the console that is told of it."""

    def __init__(
        self,
        console: Console,
        *,
        local: bool = False,
        profile: str | None = None,
        read_only: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.console = console
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
            say=self.console.say,
            read_only=self._read_only,
            patience=self._patience,
        )
        if workspace.notice:
            self.console.say(workspace.notice)
        self.console.say(f"workspace {workspace.host} ({workspace.origin})")
        return workspace

    @property
    def where(self) -> list[str]:
        """The options that say which workspace, for commands that we print."""
        if self._local:
            return ["--local"]
        return ["--profile", self._profile] if self._profile else []


Context = Session
