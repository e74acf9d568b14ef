"""The way from tools to a workspace: the launcher, and the policy and plans that go with it."""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import TYPE_CHECKING

from lakeflow.client.redaction import Redactor
from lakeflow.mcp.plans import PlanStore
from lakeflow.mcp.policy import Policy

if TYPE_CHECKING:
    from lakeflow.launcher import Launcher

PATIENCE_SECONDS = 20.0
"""How long to retry if the workspace is unreachable: clients give up on a call after a minute."""


class Gateway:
    """Gives tools a launcher that is as limited as `policy` says. Thread-safe.

    With a read-only policy the launcher sends only GET and HEAD requests, whatever is called.
    The redactor learns the workspace's address and credentials before anything can name them.
    """

    def __init__(
        self,
        policy: Policy,
        redact: Redactor | None = None,
        *,
        local: bool = False,
        profile: str | None = None,
    ) -> None:
        self.policy = policy
        self.redact = redact or Redactor.for_environment(policy.secret_env_vars)
        self._local = local
        self._profile = profile
        self._lock = threading.Lock()
        self._launcher: Launcher | None = None
        self._hide_host(os.environ.get("DATABRICKS_HOST"))

    @property
    def launcher(self) -> Launcher:
        """The launcher, connected at the first use. Raises what connecting raises."""
        with self._lock:
            if self._launcher is None:
                self._launcher = self._connect()
            return self._launcher

    def reconnect(self) -> None:
        """Connect again at the next use: the workspace or its credentials may have changed."""
        with self._lock:
            self._launcher = None

    @cached_property
    def plans(self) -> PlanStore:
        """The plans that clients were shown, in the state folder."""
        from lakeflow.state.paths import state_dir

        return PlanStore(state_dir() / "plans")

    def _connect(self) -> Launcher:
        from lakeflow.client.configuration import choose
        from lakeflow.launcher import Launcher
        from lakeflow.operations.observer import NullObserver

        # Before connecting, whose errors name the host.
        self._hide_host(choose(os.environ, local=self._local, profile=self._profile).host)
        launcher = Launcher(
            local=self._local,
            profile=self._profile,
            observer=NullObserver(),
            read_only=self.policy.read_only,
            patience=PATIENCE_SECONDS,
        )
        self.redact.hide(launcher.workspace.secret_values())
        self._hide_host(launcher.workspace.host)
        return launcher

    def _hide_host(self, host: str | None) -> None:
        if host and not self.policy.links:
            self.redact.hide_host(host)
