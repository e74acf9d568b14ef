"""Execution contexts: how many tasks a cluster's driver takes at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

DRIVER_CONTEXTS = 145
"""The most that a cluster has (docs: notebooks, execution contexts)."""


class ContextsExceeded(Exception):
    """A cluster's driver has as many execution contexts as it may."""


class ExecutionContexts:
    """Who has a context where. A task has one while its process runs, not while it waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, cluster_id: str | None) -> Iterator[None]:
        """Have a context of a cluster; None is serverless compute, which is not limited.

        Raises ContextsExceeded at once where there is none left: they are not waited for.
        """
        if cluster_id is None:
            yield
            return
        with self._lock:
            if self._held[cluster_id] >= DRIVER_CONTEXTS:
                raise ContextsExceeded(cluster_id)
            self._held[cluster_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[cluster_id] -= 1
                if not self._held[cluster_id]:
                    del self._held[cluster_id]
